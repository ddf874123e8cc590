"""What a pusher wrote about a release for people: a summary, and the address of a page. Pure.

Trust: the pusher chooses both, and they end as text and as a link in other people's browsers, by
ESPHome's manifest and by Home Assistant. So a link is one that a browser opens and does not run,
and text neither controls a terminal nor turns what stands around it.
"""

from __future__ import annotations

import re

MAX_NOTE = 500  # characters of either; a summary is cut, an address that is longer is none

_PAGE = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:[/?#][!-~]*)?", re.IGNORECASE)
_LINES = frozenset("\n\t")


def summary_of(text: str) -> str:
    """A summary without what cannot be printed, but for its lines."""
    start = text[:MAX_NOTE]
    return "".join(each for each in start if each.isprintable() or each in _LINES)


def page_of(text: str) -> str:
    """The address of a page of the web; empty where it is none."""
    return text if len(text) <= MAX_NOTE and _PAGE.fullmatch(text) else ""
