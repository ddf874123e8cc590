"""Whether more units ask than are remembered, so that those who still ask are forgotten.

It is said once an hour at most, for a fleet above the bound forgets a unit at each poll, and
whoever makes up names has it do so too. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable

from otaflux.log import Event, log

EARLY = 24 * 3600  # seconds in which a unit that still asks was heard of; no poll is further apart
AGAIN = 3600  # seconds until it is said again


class Crowding:
    """Counts units, of at most `most`, that gave their place to another though they still ask.

    `now` gives seconds since the epoch.
    """

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._said_at = float("-inf")
        self.forgotten = 0

    def note(self, heard: int) -> None:
        """A unit that was `heard` of then gave its place to another."""
        now = self._now()
        if not 0 <= now - heard < EARLY:
            return
        self.forgotten += 1
        if now - self._said_at >= AGAIN or now < self._said_at:
            self._said_at = now
            log.warning(
                Event.UNITS_CROWDED,
                units=self._most,
                heard_ago=round(now - heard),
                forgotten=self.forgotten,
                reason="more units ask than UNITS remembers, or somebody makes up names",
                hint="Set UNITS above the number of your units; one of hawkBit's protocol that is"
                " forgotten between two polls is never told to update",
            )
