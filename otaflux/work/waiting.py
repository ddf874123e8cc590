"""A key of the queue that waits for its run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otaflux.model.event import Touch

if TYPE_CHECKING:
    from otaflux.work.queue import Outcome


@dataclass(slots=True)
class Waiting:
    """Why a key waits, since which place in line, until when, and who wants to know."""

    touch: Touch
    order: int
    ready: float
    ended: asyncio.Future[Outcome]
    urgent: bool = False
    outage: bool = False
    polls_only: bool = False  # no reason but first polls put it in

    @property
    def rank(self) -> int:
        """Which line it stands in: fresh hooks, then by priority."""
        return 0 if self.urgent else 1 + self.touch.priority
