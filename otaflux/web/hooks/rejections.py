"""Rejected hooks in the log: the first at once, the rest counted.

A registry with a wrong secret tries again for ever, ten times at once and then each second, and
anyone can send rubbish. So a sender's rejections as one source with one status are one line a
minute, which says how many more there were, and all senders together are `MAX_LINES` a minute; what
is over is counted into the next line. Lives on the event loop; the table of senders is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from otaflux.log import Event, log

QUIET = 60.0  # seconds
MAX_LINES = 60  # lines in that time, from all senders
MAX_SENDERS = 256  # remembered; the one heard of longest ago is forgotten first


@dataclass(slots=True)
class _Heard:
    """When a line was last written for a sender, and how many were not since."""

    at: float
    more: int = 0


class Rejections:
    """Writes `hook_rejected`; `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._senders: dict[tuple[str, str, int], _Heard] = {}
        self._window = -QUIET
        self._lines = 0
        self._more = 0

    def note(self, sender: str, source: str, status: int, reason: str) -> None:
        """A hook from `sender` was answered with `status`, for that reason."""
        now = self._clock()
        kind = sender, source, status
        heard = self._senders.pop(kind, None)
        if heard is not None and now - heard.at < QUIET:
            heard.more += 1
            self._senders[kind] = heard
            return
        if now - self._window >= QUIET:
            self._window, self._lines = now, 0
        if self._lines >= MAX_LINES:
            self._more += 1
            return
        self._lines += 1
        more = self._more + (heard.more if heard else 0)
        self._more = 0
        self._senders[kind] = _Heard(now)
        if len(self._senders) > MAX_SENDERS:
            forgotten = self._senders.pop(next(iter(self._senders)))
            self._more += forgotten.more
        fields = {"more_since_last": more} if more else {}
        log.warning(
            Event.HOOK_REJECTED,
            sender=sender,
            source=source,
            status=status,
            reason=reason,
            **fields,
        )
