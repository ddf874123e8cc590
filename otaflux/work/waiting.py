"""A key that waits for its run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from otaflux.model.event import Priority, Touch
from otaflux.work.outcome import Outcome


@dataclass(slots=True)
class Waiting:
    """A key that waits: why, since which place in line, until when, and who wants to know."""

    touch: Touch
    order: int
    ready: float
    ended: asyncio.Future[Outcome]
    urgent: bool = False
    outage: bool = False
    polls_only: bool = False  # no reason but first polls put it in

    @property
    def priority(self) -> Priority:
        """Whose place it takes: a first poll's only where nobody else asked for the device."""
        priority = self.touch.priority
        if priority is Priority.FIRST_POLL and not self.polls_only:
            return Priority.START
        return priority

    @property
    def rank(self) -> int:
        """Which line it stands in: fresh hooks, then by priority."""
        return 0 if self.urgent else 1 + self.priority

    def add(self, touch: Touch) -> None:
        """One more reason, after those that there are."""
        self.touch += touch
        self.polls_only &= touch.priority is Priority.FIRST_POLL

    def put_before(self, touch: Touch) -> None:
        """One that came before all that there are."""
        self.touch = touch + self.touch
        self.polls_only &= touch.priority is Priority.FIRST_POLL

    def pass_on(self, to: asyncio.Future[Outcome]) -> None:
        """Let whoever waits for another future hear how this ends."""

        def ends(ended: asyncio.Future[Outcome]) -> None:
            if ended.cancelled():
                to.cancel()
            elif not to.done():
                to.set_result(ended.result())

        self.ended.add_done_callback(ends)
