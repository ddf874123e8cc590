"""Units packed into columns: what one takes in memory is a few numbers and its name.

A unit has a place, a number below `most`, and its words stand at that place in each column. It is
found by its name and its key, which is the number of its device; 0 is the key of those that no
device is known for, or that named their device themselves. Places are in the order in which units
were heard of, a list linked both ways; where all are taken, the one heard of longest ago gives its
place to the next.

On one thread at a time. Nothing is checked here: see `units.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from otaflux.units.flags import BY_ATTRIBUTE
from otaflux.units.words import Words

NOWHERE = 0xFFFFFFFF
_MIN_WASTED = 1 << 16  # bytes of names that nobody has any more, before they are cleared away
_MOVED_AT_ONCE = 64  # places whose names are moved at each change, while that goes on


class Table:
    """The columns; `most` is how many units there may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        # A unit looks through one or two others on the way to its own.
        self._beginnings = array("I", [NOWHERE]) * (1 << (most + most // 4).bit_length())
        self._mask = len(self._beginnings) - 1
        self._next = array("I")  # … whose names begin at the same place
        self._names, self._wasted = bytearray(), 0
        # Names are cleared away by moving those of a few places at each change: of the first
        # `_moved` places they lie here by now.
        self._packed, self._moved = bytearray(), 0
        self._is_packing = False
        self._at, self._length = array("I"), bytearray()
        self._newer, self._older = array("I"), array("I")
        self._newest = self._oldest = NOWHERE
        self._free: list[int] = []
        self.words = Words()
        self.device = array("I")
        self.runs, self.said, self.told = array("I"), array("I"), array("I")
        self.heard = array("I")
        self.closed, self.action = array("I"), array("I")
        self.flags, self.protocol = bytearray(), bytearray()
        # Few units fail: place → (failures, when the last was, number of the version).
        self.failed: dict[int, tuple[int, int, int]] = {}
        self.count = 0

    @property
    def places(self) -> int:
        """How many places there are; some may be free."""
        return len(self._at)

    @property
    def is_full(self) -> bool:
        """Whether the next unit takes the place of another."""
        return self.count >= self._most

    @property
    def oldest(self) -> int:
        """The place of the unit that was heard of longest ago; `NOWHERE` without any."""
        return self._oldest

    @property
    def newest(self) -> int:
        """The place of the unit that was heard of last; `NOWHERE` without any."""
        return self._newest

    def find(self, key: int, name: bytes) -> int:
        """The place of a unit, or `NOWHERE`."""
        place = self._beginnings[hash((key, name)) & self._mask]
        while place != NOWHERE and not (self.name(place) == name and self.key(place) == key):
            place = self._next[place]
        return place

    def key(self, place: int) -> int:
        """What a unit is found by besides its name."""
        return 0 if self.flags[place] & BY_ATTRIBUTE else self.device[place]

    def name(self, place: int) -> bytearray:
        """A unit's name."""
        at = self._at[place]
        names = self._names if place >= self._moved else self._packed
        return names[at : at + self._length[place]]

    def device_name(self, place: int) -> str:
        """The name of a unit's device; empty where nobody knows it."""
        return self.words.texts[self.device[place]]

    def is_taken(self, place: int) -> bool:
        """Whether there is a unit at a place."""
        return self._length[place] > 0

    def add(self, device: int, name: bytes, *, flags: int, place: int | None = None) -> int:
        """A place for a unit that has none; one is free, or `place` is. It now uses `device`."""
        if place is None:
            place = self._free.pop() if self._free else self._append()
        while self.places <= place:
            self._append()
        names = self._names if place >= self._moved else self._packed
        self._at[place], self._length[place] = len(names), len(name)
        names += name
        self.device[place], self.flags[place] = device, flags
        at = hash((self.key(place), name)) & self._mask
        self._next[place] = self._beginnings[at]
        self._beginnings[at] = place
        self._link(place)
        self.count += 1
        return place

    def remove(self, place: int) -> None:
        """Take a unit out; its words are given back, and its place is free."""
        self._unhang(place)
        self._unlink(place)
        words = self.words
        for column in (self.device, self.runs, self.said, self.told):
            words.give_back(column[place])
            column[place] = 0
        words.give_back(self.failed.pop(place, (0, 0, 0))[2])
        self.closed[place] = self.action[place] = self.heard[place] = 0
        self.flags[place] = self.protocol[place] = 0
        if place < self._moved or not self._is_packing:  # else it is left behind
            self._wasted += self._length[place]
        self._length[place] = 0
        self._free.append(place)
        self.count -= 1
        if self._is_packing:
            self._pack_some()
        elif self._wasted > max(_MIN_WASTED, len(self._names) // 2):
            self._is_packing, self._wasted = True, 0

    def find_free(self) -> None:
        """Places were given by hand: find those that nobody has."""
        self._free = [place for place in range(self.places) if not self.is_taken(place)]

    def touch(self, place: int) -> None:
        """This unit was heard of last."""
        if place != self._newest:
            self._unlink(place)
            self._link(place)

    def rename(self, column: array[int], place: int, word: str) -> None:
        """Another word for a unit in one of the columns of words, but for its key."""
        old = column[place]
        column[place] = self.words.take(word)
        self.words.give_back(old)

    def taken(self) -> Iterator[int]:
        """The places of all units, the one heard of longest ago first."""
        place = self._oldest
        while place != NOWHERE:
            yield place
            place = self._newer[place]

    def _append(self) -> int:
        columns = (self._at, self._next, self._newer, self._older, self.device, self.runs)
        for column in (*columns, self.said, self.told, self.heard, self.closed, self.action):
            column.append(0)
        for small in (self._length, self.flags, self.protocol):
            small.append(0)
        return len(self._at) - 1

    def _link(self, place: int) -> None:
        newest = self._newest
        self._older[place], self._newer[place] = newest, NOWHERE
        if newest == NOWHERE:
            self._oldest = place
        else:
            self._newer[newest] = place
        self._newest = place

    def _unlink(self, place: int) -> None:
        older, newer = self._older[place], self._newer[place]
        if older == NOWHERE:
            self._oldest = newer
        else:
            self._newer[older] = newer
        if newer == NOWHERE:
            self._newest = older
        else:
            self._older[newer] = older

    def _unhang(self, place: int) -> None:
        """Take a place out of those that begin where it does."""
        following = self._next
        at = hash((self.key(place), bytes(self.name(place)))) & self._mask
        each = self._beginnings[at]
        if each == place:
            self._beginnings[at] = following[place]
            return
        while following[each] != place:
            each = following[each]
        following[each] = following[place]

    def _pack_some(self) -> None:
        """Move the names of the next places together; those that nobody has stay behind."""
        for place in range(self._moved, min(self._moved + _MOVED_AT_ONCE, self.places)):
            name = self.name(place)
            self._at[place] = len(self._packed)
            self._packed += name
            self._moved = place + 1
        if self._moved >= self.places:
            self._names, self._packed = self._packed, bytearray()
            self._moved, self._is_packing = 0, False
