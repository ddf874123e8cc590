"""Devices that have to go: their record, then their files.

A device is not forgotten while a run of it is under way, for that run would write its record back;
and a run does not begin while its device is being forgotten. On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from otaflux.errors import DiskFailed
from otaflux.events import DeviceForgotten, Events, FilesLeft
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.names import Device
from otaflux.reason import Reason
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.store import Store

TOO_MANY = "only polls named it, others were asked for later, and so many are kept"
NO_ROOM = "only polls named it, others were asked for later, and the disk has no more room for it"
NEVER_THERE = "it was looked for again and again, and never was there"


class Evictions:
    """Forgets devices; `undisturbed` is for runs."""

    def __init__(
        self,
        roster: Roster,
        catalog: Catalog,
        store: Store,
        *,
        events: Events | None = None,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._roster = roster
        self._catalog = catalog
        self._store = store
        self._events = events or Events()
        self._in_thread = machine.in_thread
        self._running: set[Device] = set()
        self._going: dict[Device, asyncio.Event] = {}

    @asynccontextmanager
    async def undisturbed(self, device: Device) -> AsyncIterator[None]:
        """A run of the device, and no other, is under way: it is not evicted meanwhile."""
        while (going := self._going.get(device)) is not None:
            await going.wait()
        self._running.add(device)
        try:
            yield
        finally:
            self._running.discard(device)

    async def evict(self, device: Device, reason: str) -> bool:
        """Forget a device that only polls found, but not one that a run is under way for.

        Returns whether it is gone.
        """
        if device in self._running or device in self._going or self._roster.is_known(device):
            return False
        going = self._going[device] = asyncio.Event()
        try:
            return await self.forget(device, reason)
        finally:
            del self._going[device]
            going.set()

    async def forget(self, device: Device, reason: str) -> bool:
        """Forget a device, in a run of its own; returns whether the disk let it go."""
        try:
            self._roster.forget(device)  # before: a hook that names it meanwhile counts
            files = await self._catalog.evict(device)
            self._events.tell(DeviceForgotten(device, reason))
            await self._in_thread(self._store.remove_unreferenced, files, self._catalog.references)
        except DiskFailed as error:
            self._events.tell(FilesLeft(device, Reason.of(error)))
            return False
        return True

    async def keep_to_most(self) -> None:
        """Evict those who are more than are kept, the one polled longest ago first."""
        if not self._roster.surplus():
            return
        for device in self._roster.found_by_polls():
            await self.evict(device, TOO_MANY)
            if not self._roster.surplus():
                return
