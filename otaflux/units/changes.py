"""Which places of the table changed since they were saved, and how soon that matters.

On one thread at a time. That a unit was heard again is saved now and then, for a disk that is
written to at each poll does not live long; what it was told or runs is saved soon; what an answer
waits for comes first.
"""

from __future__ import annotations

from array import array

_CLEAN, _HEARD, _SOON = 0, 1, 2
MOST_AT_ONCE = 500  # rows that are made in one go on the event loop, some two milliseconds


class Changes:
    """The places to save."""

    def __init__(self) -> None:
        self._state = bytearray()
        self._urgent: list[int] = []
        self._soon = array("I")

    def __bool__(self) -> bool:
        return bool(self._urgent or self._soon)

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
        elif self._state[place] != _SOON:
            self._soon.append(place)
        self._state[place] = _SOON

    def note_heard(self) -> None:
        """Have those saved too that were only heard."""
        place = self._state.find(_HEARD)
        while place >= 0:
            self.note(place)
            place = self._state.find(_HEARD, place + 1)

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
