"""Devices that nothing but polls ever named: so many are kept, and no more.

Whoever can reach the device port can ask for any repository that has a version. Of those that only
polls found, the one polled longest ago is forgotten first, with its files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from otaflux.catalog import Catalog
from otaflux.log import Event, log
from otaflux.model.names import Device
from otaflux.store import Store

MOST = 1000  # devices


class Guests:
    """Remembers when each was last polled, and forgets devices where they become too many."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        *,
        most: int = MOST,
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._most = most
        self._in_thread = in_thread
        self._clock = clock
        self._polled: dict[Device, float] = {}

    def polled(self, devices: Collection[Device]) -> None:
        """These devices were asked for just now."""
        self._polled.update(dict.fromkeys(devices, self._clock()))

    async def found(self, device: Device) -> None:
        """A poll found one more; who was not asked for the longest time has to go."""
        self.polled((device,))
        guests = [r.device for r in self._catalog.records() if r.found_by_poll]
        self._polled = {d: at for d, at in self._polled.items() if self._catalog.get(d)}
        for guest in sorted(guests, key=lambda d: self._polled.get(d, 0.0))[: -self._most]:
            if self._catalog.get(guest) is None:
                continue
            dropped = await self._catalog.forget(guest)
            await self._in_thread(self._store.drop, dropped, self._catalog.names)
            log.info(
                Event.DEVICE_FORGOTTEN,
                device=guest.name,
                reason=f"only polls named it, and {self._most} such devices are kept",
            )
