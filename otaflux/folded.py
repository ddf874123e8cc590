"""A log line that strangers can cause: the first of its kind at once, the rest counted.

A registry with a wrong secret tries again for ever, ten times at once and then each second, and
anyone can send rubbish. So a kind is one line a minute, which says how many more there were, and
all kinds together are `MAX_LINES` a minute; what is over is counted into the next line. Lives on
the event loop; the table of kinds is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from otaflux.log import Event, log

QUIET = 60.0  # seconds
MAX_LINES = 60  # lines in that time, of all kinds
MAX_KINDS = 256  # remembered; the one heard of longest ago is forgotten first


@dataclass(slots=True)
class _Heard:
    """When a line was last written for a kind, and how many were not since."""

    at: float
    more: int = 0


class Folded:
    """Writes warnings of one event; `clock` counts seconds and never goes back."""

    def __init__(self, event: Event, clock: Callable[[], float]) -> None:
        self._event = event
        self._clock = clock
        self._kinds: dict[Hashable, _Heard] = {}
        self._window = -QUIET
        self._lines = 0
        self._more = 0

    def note(self, kind: Hashable, **fields: object) -> None:
        """It happened, in a way that is told by `fields` and is the same as others of its kind."""
        now = self._clock()
        heard = self._kinds.pop(kind, None)
        if heard is not None and now - heard.at < QUIET:
            heard.more += 1
            self._kinds[kind] = heard
            return
        if now - self._window >= QUIET:
            self._window, self._lines = now, 0
        if self._lines >= MAX_LINES:
            self._more += 1
            return
        self._lines += 1
        more = self._more + (heard.more if heard else 0)
        self._more = 0
        self._kinds[kind] = _Heard(now)
        if len(self._kinds) > MAX_KINDS:
            forgotten = self._kinds.pop(next(iter(self._kinds)))
            self._more += forgotten.more
        counted = {"more_since_last": more} if more else {}
        log.warning(self._event, **fields, **counted)
