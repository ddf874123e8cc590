"""Foreign text in messages: short, printable, and plainly somebody else's."""

from __future__ import annotations

MAX_SHOWN = 80  # characters of foreign text in a message


def shown(text: str) -> str:
    """In quotes, without control characters, cut off where it is long."""
    return ascii(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def plain(text: object) -> str:
    """The same without quotes, for what reads as a name."""
    return shown(str(text))[1:-1]
