"""Foreign text in messages: short, printable, and plainly somebody else's."""

from __future__ import annotations

import re

MAX_SHOWN = 80  # characters of foreign text in a message


def shown(text: str) -> str:
    """In quotes, without control characters, cut off where it is long."""
    return ascii(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def plain(text: object) -> str:
    """The same without quotes, for what reads as a name."""
    return shown(str(text))[1:-1]


def shown_address(text: str) -> str:
    """What should have been an address, in quotes, without what may prove somebody's identity.

    That is what stands before an `@`, and a query, which may be signed.
    """
    address, query, _ = text.partition("?")
    scheme = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?/*", address)
    start = scheme[0] if scheme else ""
    return shown(start + address[len(start) :].rpartition("@")[2] + query)
