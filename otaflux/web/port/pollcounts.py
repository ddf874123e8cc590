"""Polls that were answered, counted by kind, on their way to the observer some at a time.

A server of 100,000 devices may have answered thousands of kinds in a second, and whoever counts
them takes some microseconds for each: others have their turn in between.
"""

from __future__ import annotations

from collections import Counter

from otaflux.web.observer import Observer, Polled

AT_ONCE = 100  # kinds, a millisecond or two


class PollCounts:
    """What waits to be told."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._waiting: list[tuple[Polled, int]] = []

    def add(self, counts: Counter[Polled]) -> None:
        """Those that are above 0 shall be told."""
        self._waiting += (+counts).items()

    def tell_some(self, most: int = AT_ONCE) -> bool:
        """Tell of so many kinds; whether there are more."""
        some, self._waiting = self._waiting[:most], self._waiting[most:]
        if some:
            self._observer.quick(dict(some))
        return bool(self._waiting)
