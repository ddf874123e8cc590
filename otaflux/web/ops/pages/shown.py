"""How times, sizes, numbers and what others wrote are shown to people. Pure."""

from __future__ import annotations

from htpy import Element, span
from htpy import time as time_element

from otaflux.web.ops.moments import iso
from otaflux.wording import plain

MAX_TEXT = 600  # characters of what others wrote; the longest of our own sentences have some 400

_STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_UNITS = ("bytes", "KiB", "MiB", "GiB")


def text(foreign: str) -> str:
    """What others may have written: short, and with nothing that turns the text beside it around.

    Markup in it is left as it is, for whoever renders it escapes it.
    """
    return plain(foreign, MAX_TEXT)


def moment(at: float | None, now: float, *, never: str = "—") -> Element:
    """How long ago something was, with the time itself where one points at it.

    Of a clock that was nowhere that is its number.
    """
    if at is None:
        return span(".soft")[never]
    text = iso(at) or f"{at:.0f}"
    return time_element(datetime=text, title=text.replace("T", " "))[ago(now - at)]


def ago(seconds: float) -> str:
    """So many seconds, in the largest unit that fits."""
    if seconds < 1:
        return "just now"
    return f"{lasting(seconds)} ago"


def lasting(seconds: float) -> str:
    """How long something lasts."""
    for length, unit in _STEPS:
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' * (count != 1)}"
    return "0 seconds"


def size(count: int) -> str:
    """A number of bytes."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - a KiB
        number, unit = number / 1024, unit + 1
    return f"{number:.{1 if unit else 0}f} {_UNITS[unit]}"


def devices(count: int) -> str:
    """So many devices."""
    return f"{count:,} device{'s' * (count != 1)}"
