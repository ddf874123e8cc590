"""The keys that wait, and the lines in which they stand: one for each rank, and one by time.

A key is in one place at a time; where it stood before, an entry is left that counts no more. On one
event loop.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator

from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.work.waiting import Waiting

Entry = tuple[int, Device]


class Lines:
    """Who waits where; `ranks` is how many lines there are, the first goes first."""

    def __init__(self, ranks: int) -> None:
        self._waiting: dict[Device, Waiting] = {}
        self._lines: tuple[list[Entry], ...] = tuple([] for _ in range(ranks))
        self._later: list[tuple[float, int, Device]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        """How many keys wait."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def get(self, device: Device) -> Waiting | None:
        """A key that waits; None for one that does not."""
        return self._waiting.get(device)

    def remove(self, device: Device) -> Waiting:
        """Take out a key that waits."""
        return self._waiting.pop(device)

    def enqueue(
        self, touch: Touch, ready: float, now: float, *, urgent: bool = False, outage: bool = False
    ) -> Waiting:
        """Have a key wait that does not yet, until it is `ready`."""
        ended = asyncio.get_running_loop().create_future()
        polls_only = touch.priority is Priority.FIRST_POLL
        waiting = Waiting(touch, next(self._order), ready, ended, urgent, outage, polls_only)
        self.put(waiting, now)
        return waiting

    def put(self, waiting: Waiting, now: float) -> None:
        """Put a key where its time and rank say, for the first time or anew."""
        device = waiting.touch.device
        self._waiting[device] = waiting
        if waiting.ready > now:
            heapq.heappush(self._later, (waiting.ready, waiting.order, device))
        else:
            heapq.heappush(self._lines[waiting.rank], (waiting.order, device))

    def bring_in(self, now: float) -> None:
        """Put into the lines whose time has come."""
        while self._later and self._later[0][0] <= now:
            _, order, device = heapq.heappop(self._later)
            waiting = self._waiting.get(device)
            if waiting is not None and waiting.order == order and waiting.ready <= now:
                self.put(waiting, now)

    def first(self, rank: int, now: float) -> Waiting | None:
        """Who stands first in a line."""
        line = self._lines[rank]
        while line:
            order, device = line[0]
            waiting = self._waiting.get(device)
            if (
                waiting is not None
                and (waiting.order, waiting.rank) == (order, rank)
                and waiting.ready <= now
            ):
                return waiting
            heapq.heappop(line)
        return None

    def step_out(self, rank: int) -> Entry:
        """Have the first of a line leave it; `rejoin` puts him back where he was."""
        return heapq.heappop(self._lines[rank])

    def rejoin(self, rank: int, entries: list[Entry]) -> None:
        """Put back who stepped out."""
        for entry in entries:
            heapq.heappush(self._lines[rank], entry)

    def length(self, rank: int) -> int:
        """How many stand in a line, at most."""
        return len(self._lines[rank])

    @property
    def are_empty(self) -> bool:
        """Whether nobody's time has come."""
        return not any(self._lines)

    @property
    def next_time(self) -> float | None:
        """When the next one's time comes; None where nobody waits for one."""
        return self._later[0][0] if self._later else None
