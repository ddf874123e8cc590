"""Which places of the table changed since they were saved, how soon that matters, and to whom.

On the event loop, but for a start. That a unit was heard again is saved now and then, for a disk
that is written to at each poll does not live long; what it was told or runs is saved soon; what an
answer waits for comes first.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable

_CLEAN, _HEARD, _SOON = 0, 1, 2
MOST_AT_ONCE = 500  # rows that are made in one go on the event loop, some two milliseconds


class Changes:
    """The places to save."""

    def __init__(self) -> None:
        self._state = bytearray()
        self._urgent: list[int] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wake: Callable[[], object] | None = None
        self._soon = array("I")

    def __bool__(self) -> bool:
        return bool(self._urgent or self._soon)

    def save_by(self, wake: Callable[[], object]) -> None:
        """From now on changes are saved by somebody, who is woken where that is urgent."""
        self._wake = wake

    async def kept(self, within: float) -> bool:
        """Whether all that changed until now is on the disk, or cannot be, after some seconds."""
        if self._wake is None:
            return True
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._wake()
        await asyncio.wait({waiting}, timeout=within)
        return waiting.done()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for what changed to be on the disk."""
        return bool(self._waiting)

    def take_waiting(self) -> list[asyncio.Future[None]]:
        """Those who wait for what changed until now; whoever takes them lets them go."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def heard(self, place: int) -> None:
        """A unit was heard again, and nothing else."""
        if place >= len(self._state):
            self._state.extend(bytes(place + 1 - len(self._state)))
        if not self._state[place]:
            self._state[place] = _HEARD

    def note(self, place: int, *, urgent: bool = False) -> None:
        """Something is to be saved."""
        if place >= len(self._state):
            self._state.extend(bytes(place + 1 - len(self._state)))
        if urgent:
            self._urgent.append(place)
            if self._wake is not None:
                self._wake()
        elif self._state[place] != _SOON:
            self._soon.append(place)
        self._state[place] = _SOON

    def put_back(self, places: Iterable[int]) -> None:
        """Those places were not saved."""
        for place in places:
            self.note(place)

    async def note_heard(self) -> None:
        """Have those saved too that were only heard, some at a time: there may be very many."""
        place = self._state.find(_HEARD)
        while place >= 0:
            for _ in range(MOST_AT_ONCE):
                self.note(place)
                place = self._state.find(_HEARD, place + 1)
                if place < 0:
                    return
            await asyncio.sleep(0)

    def take(self) -> list[int]:
        """Places to save now, all that are urgent among them, each once."""
        taken: dict[int, None] = dict.fromkeys(self._urgent)
        self._urgent.clear()
        while self._soon and len(taken) < MOST_AT_ONCE:
            place = self._soon.pop()
            if self._state[place] == _SOON:  # else it was urgent, and went with those
                taken[place] = None
        for place in taken:
            self._state[place] = _CLEAN
        return list(taken)
