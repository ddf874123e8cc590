"""What is wrong, as the page says it: what it is, of whom, why, and what to do."""

from __future__ import annotations

import htpy as h
from htpy import Element, Node

from otaflux.overheard import Warned
from otaflux.web.ops.advice import advice, title
from otaflux.web.ops.attention import Fault, FaultKind, Group
from otaflux.web.ops.moments import seconds_of
from otaflux.web.ops.pages import shown

TITLES = {
    FaultKind.FAILING: ("cannot be brought up to date", "cannot be brought up to date"),
    FaultKind.REFUSED: ("has a release that is refused", "have a release that is refused"),
    FaultKind.LOOPING: (
        "has units that take one release again and again",
        "have units that take one release again and again",
    ),
    FaultKind.NOTHING: ("has no release", "have no release"),
    FaultKind.LEFT_ALONE: ("is not served", "are not served"),
    FaultKind.ODD: ("has an odd release", "have odd releases"),
}
STATES = {
    FaultKind.FAILING: ("failing", "bad"),
    FaultKind.REFUSED: ("release refused", "bad"),
    FaultKind.LOOPING: ("units loop", "bad"),
    FaultKind.NOTHING: ("no release", "warn"),
    FaultKind.LEFT_ALONE: ("not served", "warn"),
    FaultKind.ODD: ("odd release", "warn"),
}
BAD = frozenset({FaultKind.FAILING, FaultKind.REFUSED, FaultKind.LOOPING})


def link(device: str) -> Element:
    """A device's name, leading to its page."""
    return h.a(href=f"/device/{device}")[device]


def group(found: Group, now: float) -> Element:
    """One thing that is wrong, of one device or of many."""
    one, many = TITLES[found.fault.kind]
    if found.count == 1:
        heading: Node = [link(found.example.name), f" {one}"]
        besides: Node = None
    else:
        heading = [f"{shown.devices(found.count)} {many}"]
        besides = [
            " · such as ",
            link(found.example.name),
            " · ",
            h.a(href="/?show=wrong")["show all"],
        ]
    return _wrong(found.fault, heading, besides, now)


def nobody(found: Fault, now: float) -> Element:
    """Nothing is known to be told to anybody."""
    return _wrong(found, "No device is known", None, now)


def fault(found: Fault, now: float) -> Element:
    """One thing that is wrong with the device of the page."""
    return _wrong(found, f"It {TITLES[found.kind][0]}", None, now)


def warned(line: Warned, now: float) -> Element:
    """One line of the log that warns."""
    what = line.reason or ", ".join(f"{name}: {value}" for name, value in line.fields)
    details = ", ".join(f"{name}={value}" for name, value in line.fields if line.reason)
    times = f", {line.times} times" if line.times > 1 else ""
    at = seconds_of(line.at)
    return h.li(class_="wrong calm" if line.level == "info" else "wrong")[
        h.h3[title(line.event), [" · ", link(line.device)] if line.device else None],
        h.p(".why")[shown.text(what)],
        _to_do(line.hint or advice(line.event)),
        h.p(".small.soft")[
            shown.moment(at, now),
            times,
            f" · {line.event}",
            f" · {shown.text(details)}" if details else "",
        ],
    ]


def state(faults: tuple[Fault, ...], *, waits: bool, told: bool) -> Element:
    """How a device is, in two words."""
    if faults:
        text, kind = STATES[faults[0].kind]
    elif waits:
        text, kind = "first look to come", ""
    elif told:
        text, kind = "fine", "good"
    else:
        text, kind = "nothing to tell", ""
    return h.span(class_=f"badge {kind}".rstrip())[text]


def _wrong(found: Fault, heading: Node, besides: Node, now: float) -> Element:
    kind = "bad" if found.kind in BAD else "calm" if found.kind is FaultKind.ODD else ""
    since = found.since
    return h.li(class_=f"wrong {kind}".rstrip())[
        h.h3[heading],
        h.p(".why")[[h.code[found.tag], " "] if found.tag else None, shown.text(found.reason)],
        _to_do(found.hint),
        h.p(".small.soft")[["since ", shown.moment(since, now)] if since else None, besides]
        if since or besides
        else None,
    ]


def _to_do(hint: str) -> Node:
    return h.p(".do")[h.b["What to do: "], shown.text(hint)] if hint else None
