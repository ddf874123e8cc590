"""Whose firmware the disk has room for: devices that only polls found give way.

They have at most a quarter of what would be free without them, and all of it goes, the one polled
longest ago first, where the release of a device that is known needs it. On one event loop.
"""

from __future__ import annotations

from collections.abc import Iterable

from otaflux.errors import DiskFull
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest
from otaflux.model.names import Device
from otaflux.roster.evictions import NO_ROOM, Evictions
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.store import Store

SHARE = 4  # a quarter is for devices that only polls found


class Space:
    """Makes room for firmware, before it is pulled and once its size is known."""

    def __init__(
        self,
        roster: Roster,
        evictions: Evictions,
        catalog: Catalog,
        store: Store,
        *,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._roster = roster
        self._evictions = evictions
        self._catalog = catalog
        self._store = store
        self._in_thread = machine.in_thread

    async def make_room(self, size: int) -> None:
        """Make room for `size` bytes of a device that is known, as far as others can give way.

        Raises `Undecided` where the disk does not say how much is free.
        """
        for device in self._roster.found_by_polls():
            if await self._in_thread(self._store.free) >= size:
                return
            await self._evictions.evict(device, NO_ROOM)

    async def clear(self, size: int) -> bool:
        """Have all give way who can, for what may have up to `size` bytes and found no room.

        Returns whether anybody did; nobody does where so much is free, for then something else was
        wrong. Raises `Undecided` where the disk does not say.
        """
        if await self._in_thread(self._store.free) >= size:
            return False
        gone = [
            await self._evictions.evict(device, NO_ROOM) for device in self._roster.found_by_polls()
        ]
        return any(gone)

    async def allowed(self, device: Device) -> int:
        """The bytes that one more firmware of a device may take that only polls found."""
        free = await self._in_thread(self._store.free)
        return max(0, (free + self._taken()) // SHARE - self._taken_by(device))

    async def fit(self, device: Device, size: int) -> None:
        """Have others that only polls found give way to a new file of this one, written already.

        Raises `DiskFull` where that is not enough.
        """
        others = [each for each in self._roster.found_by_polls() if each != device]
        while True:
            free = await self._in_thread(self._store.free)
            taken = self._taken() + size
            if taken <= (free + taken) // SHARE:
                return
            if not others:
                raise DiskFull(
                    f"its firmware has {size} bytes, and devices that only polls found have a"
                    " quarter of the free disk together",
                    hint=f"If {device} is yours: name it in DEVICES, or free space on the disk",
                )
            await self._evictions.evict(others.pop(0), NO_ROOM)

    def _taken(self) -> int:
        """The bytes of all that only polls found; a file that two name counts once."""
        return sum(self._sizes(self._roster.found_by_polls()).values())

    def _taken_by(self, device: Device) -> int:
        return sum(self._sizes([device]).values())

    def _sizes(self, devices: Iterable[Device]) -> dict[Digest, int]:
        """The files that devices hold, and their bytes."""
        records = filter(None, map(self._catalog.get, devices))
        firmware = [release.firmware for record in records for release in record.held()]
        return {each.firmware_digest: each.sums.size for each in firmware}
