"""The real parts of the server, bound as `otaflux.app` binds them, to a simulated machine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otaflux.catalog import Catalog
from otaflux.errors import OtaFluxError
from otaflux.guests import Guests
from otaflux.model.event import Touch
from otaflux.model.names import Device, Namespace
from otaflux.model.record import Record
from otaflux.pull import Puller
from otaflux.reconciler import Reconciler
from otaflux.restore import restore
from otaflux.store import Store
from otaflux.unpack.limits import Limits
from otaflux.wake import Wake
from otaflux.workqueue import Outcome, WorkQueue
from simulation.disk import MemoryDisk
from simulation.registry import MAX_FIRMWARE, SimulatedRegistry

CATALOG = Path("/data/catalog")
FIRMWARE = Path("/data/firmware")
CHANNELS = ("rc",)
RECHECK = 3600.0  # seconds: long, so that a lost touch is not mended by the next re-check
EPOCH = 1_700_000_000.0


async def inline(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Blocking work at once, in the one thread there is."""
    return work(*arguments, **options)


class WatchedCatalog(Catalog):
    """Notes which records were on their way to the disk."""

    def __init__(self, **options: Any) -> None:
        super().__init__(CATALOG, **options)
        self.under_way: dict[Device, list[Record]] = {}

    async def put(self, record: Record) -> None:
        """Note it, then do it; one that went well makes those before it void."""
        self.under_way.setdefault(record.device, []).append(record)
        await super().put(record)
        self.under_way[record.device].clear()


class ForgetfulQueue(WorkQueue):
    """A deliberate bug: a touch of a key that is being worked on is dropped."""

    def __init__(self, work: Callable[[Touch], Any], **options: Any) -> None:
        self._busy: set[Device] = set()

        async def watched(touch: Touch) -> Outcome:
            self._busy.add(touch.device)
            try:
                outcome: Outcome = await work(touch)
                return outcome
            finally:
                self._busy.discard(touch.device)

        super().__init__(watched, **options)

    def touch(self, touch: Touch) -> asyncio.Future[Outcome]:
        """Drop it."""
        if touch.device in self._busy:
            return asyncio.get_running_loop().create_future()
        return super().touch(touch)


@dataclass
class Program:
    """One life of the server, from its start to a crash or its end."""

    registry: SimulatedRegistry
    disk: MemoryDisk
    chance: random.Random
    hear: Callable[[Device, Record | None], None]
    queue_class: type[WorkQueue] = WorkQueue
    overlaps: list[Device] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        self._running: set[Device] = set()
        self.catalog = WatchedCatalog(disk=self.disk, in_thread=inline, now=lambda: EPOCH + clock())
        self.store = Store(FIRMWARE, disk=self.disk)
        guests = Guests(self.catalog, self.store, in_thread=inline, clock=clock)
        self.queue = self.queue_class(
            self._work, places=3, longest_wait=RECHECK, clock=clock, chance=self.chance
        )
        self.wake = Wake(
            self.registry,
            self.catalog,
            self.queue.touch,
            devices=frozenset(),
            interval=RECHECK,
            rate=10.0,
            in_thread=inline,
            clock=clock,
            chance=self.chance,
        )
        puller = Puller(
            self.registry,
            self.store,
            Limits(MAX_FIRMWARE, 4 * MAX_FIRMWARE),
            judged_by="simulation",
            in_thread=inline,
        )
        self._reconciler = Reconciler(
            self.registry,
            puller,
            self.catalog,
            self.store,
            prefix="fw",
            channels=CHANNELS,
            keep_versions=2,
            is_known=self.wake.is_known,
            found=guests.found,
            in_thread=inline,
            clock=clock,
            now=lambda: EPOCH + clock(),
        )

    async def _work(self, touch: Touch) -> Outcome:
        if touch.device in self._running:
            self.overlaps.append(touch.device)
        self._running.add(touch.device)
        try:
            return await self._reconciler.run(touch)
        except OtaFluxError:
            raise
        except Exception as error:
            self.bugs.append(error)
            raise
        finally:
            self._running.discard(touch.device)

    def start(self) -> None:
        """Judge what lies on the disk, and tell it: no request is made. May raise `PowerCut`."""
        judged = restore(
            CATALOG,
            self.store,
            source=self.registry.name,
            prefix="fw",
            namespace=Namespace("fw"),
            channels=CHANNELS,
            disk=self.disk,
        )
        for record in judged.records:
            self.catalog.adopt(record)
        self.store.sweep(self.catalog.names)
        self.catalog.listen(self.hear)

    async def run(self) -> None:
        """Keep devices up to date until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.queue.run())
            tasks.create_task(self.wake.run())
