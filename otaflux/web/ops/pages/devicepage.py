"""One device's own page: what is wrong with it, what it is told, and what happened to it."""

from __future__ import annotations

import htpy as h
from htpy import Element, Node

from otaflux.errors import NotFound
from otaflux.journal import Noted, Notes
from otaflux.model.names import Device
from otaflux.model.record import Record, Standing
from otaflux.web.answers import Answer
from otaflux.web.ops.attention import all_refused, is_above, signers_of
from otaflux.web.ops.pages import faults, frame, shown
from otaflux.web.ops.sight import Sight


class DevicePage:
    """Answers `/device/NAME`."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    async def answer(self, name: str) -> Answer:
        """The page; raises `BadName` or `NotFound` for what is no device here."""
        device = Device.parse(name)
        sight = self._sight
        if not sight.roster.is_there(device):
            raise NotFound(f"Device '{device}' is not known here")
        content = self._content(device)
        page = frame.page(device.name, sight.source, content, device=device.name)
        return frame.html(await frame.render(page))

    def _content(self, device: Device) -> Node:
        sight, now = self._sight, self._sight.machine.now()
        record, notes = sight.catalog.get(device), sight.journal.of(device)
        wrong = sight.attention.of(device)
        waits = device.name not in sight.journal.tried
        told = record is not None and bool(record.channels)
        channels = sorted(record.channels.items()) if record is not None else []
        return [
            h.p(".small")[h.a(href="/")["← All devices"]],
            h.h1[device.name, " ", faults.state(wrong, waits=waits, told=told)],
            h.ul(".wrongs")[(faults.fault(each, now) for each in wrong)] if wrong else None,
            h.h2["What devices are told"],
            _channels(
                [
                    (channel, each, notes.came.get(channel, ""), signers_of(record, each))
                    for channel, each in channels
                ],
                now,
            ),
            h.h2["What is known of it"],
            h.div(".box")[_facts(device, record, notes, sight, now)],
            _refused(record, notes, now),
            h.h2["What happened"],
            _events(list(sight.journal.events(device)), now),
        ]  # fmt: skip


def _channels(told: list[tuple[str, Standing, str, str]], now: float) -> Node:
    if not told:
        return h.p(".box.soft")["Nothing: there is no release for it yet."]
    names = ("Channel", "Version", "Since", "Signature", "Size", "Digest")
    return h.div(".frame")[
        h.table[
            h.thead[h.tr[(h.th(scope="col")[name] for name in names)]],
            h.tbody[(_channel(*each, now) for each in told)],
        ]
    ]


def _channel(channel: str, standing: Standing, came: str, signers: str, now: float) -> Element:
    release = standing.release
    tag = f"tag {release.tag}" if release.tag.text != release.version.text else ""
    return h.tr[
        h.td(".device", data_name="channel")[channel],
        h.td(data_name="version")[
            h.span(".version")[release.version.text], h.span(".below")[tag] if tag else None
        ],
        h.td(data_name="since")[
            shown.moment(standing.since, now), h.span(".below")[f"by {came}"] if came else None
        ],
        h.td(data_name="signature")[shown.text(signers) or "—"],
        h.td(data_name="size")[shown.size(release.firmware.sums.size)],
        h.td(data_name="digest")[h.code[str(release.manifest_digest)]],
    ]


def _facts(device: Device, record: Record | None, notes: Notes, sight: Sight, now: float) -> Node:
    kept = ", ".join(each.version.text for each in (record.kept if record is not None else ()))
    words = ", ".join(sorted(sight.roster.words(device)))
    runs = sorted(notes.runs.items(), key=lambda item: -item[1])
    units = sight.units_running(device)
    facts: list[tuple[str, Node]] = [
        ("Known by", words or "—"),
        ("Last hook", [shown.moment(notes.hook_at, now), f" · {notes.hook}" if notes.hook else ""]),
        ("Last look", [shown.moment(notes.looked_at, now),
                       f" · {notes.looked_for}" if notes.looked_for else ""]),
        ("Last poll", [shown.moment(notes.poll_at, now), f" · {notes.polls:,} since the start"]),
        ("Downloads", f"{notes.downloads:,} sent, {notes.broken_off:,} broken off by the board"),
        ("Units run",
         ", ".join(f"{version}: {count:,}" for version, count in units.items()) or "—"),
        ("Polls say they run",
         ", ".join(f"{version}: {count:,}" for version, count in runs) or "—"),
        ("Kept besides", kept or "—"),
    ]  # fmt: skip
    return h.dl(".facts")[([h.dt[name], h.dd[value]] for name, value in facts)]


def _refused(record: Record | None, notes: Notes, now: float) -> Node:
    refused = [each for each, _ in all_refused(record, notes)]
    if not refused:
        return None
    names = ("Tag", "Why it is refused", "Last looked at", "Digest")
    return [
        h.h2["Releases that cannot be served"],
        h.div(".frame")[
            h.table[
                h.thead[h.tr[(h.th(scope="col")[name] for name in names)]],
                h.tbody[
                    (
                        h.tr[
                            h.td(".device", data_name="tag")[
                                each.tag,
                                None
                                if is_above(record, each.version)
                                else h.span(".below")["below what is told"],
                            ],
                            h.td(data_name="why")[shown.text(each.reason)],
                            h.td(data_name="looked at")[shown.moment(each.at or None, now)],
                            h.td(data_name="digest")[h.code[each.digest or "—"]],
                        ]
                        for each in refused
                    )
                ],
            ]
        ],
    ]


def _events(events: list[Noted], now: float) -> Element:
    if not events:
        return h.p(".box.soft")["Nothing since the server began."]
    return h.div(".box")[h.ol(".events")[(_event(each, now) for each in events)]]


def _event(entry: Noted, now: float) -> Element:
    times = f" ({entry.times} times)" if entry.times > 1 else ""
    return h.li[
        shown.moment(entry.at, now),
        h.div[
            h.p[[h.code[entry.tag], " "] if entry.tag else None, shown.text(entry.text), times],
            h.p(".small.soft")[entry.word, f" · {shown.text(entry.hint)}" if entry.hint else ""],
        ],
    ]
