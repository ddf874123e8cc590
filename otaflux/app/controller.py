"""What keeps devices up to date, bound to each other: catalog, store, queue, wake, reconciler.

Decides nothing. What a machine gives (disk, threads, clocks, chance) comes as one value, so that
the simulation binds the same parts in the same way to a machine of its own. On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from otaflux.app.parts import make_puller
from otaflux.collector import uncollected
from otaflux.errors import BadSetting, Undecided
from otaflux.events import Events
from otaflux.machine import Machine
from otaflux.model.event import Touch
from otaflux.model.names import Device
from otaflux.policy import Policy
from otaflux.reconcile.described import described_record, is_described
from otaflux.reconcile.reconciler import Reconciler
from otaflux.reconcile.streams import Streams
from otaflux.reconcile.trusting import Trusting
from otaflux.registry.source import Source
from otaflux.roster.evictions import Evictions
from otaflux.roster.roster import Roster
from otaflux.roster.space import Space
from otaflux.roster.wake import Wake
from otaflux.secret import Current
from otaflux.signature.trust import Trust
from otaflux.state import restore
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.datafolder import DataFolder
from otaflux.state.restore import Judged
from otaflux.state.scrub import Scrub
from otaflux.state.store import Store
from otaflux.work.outcome import Outcome
from otaflux.work.queue import WorkQueue

LOGINS_READ = 1.0  # seconds between looks at what logins are read from


class Controller:
    """The parts, and their order at start: `restore`, then `load`, then `run` until cancelled.

    `events` hears of what its runs do. `stamps` blocks and says what the embedded folder holds, for
    those who have one; `logins_changed` says whether the registry's logins are others than when it
    was asked last, for those who have any. `trusted` says who may sign, None where nobody has to.
    """

    def __init__(
        self,
        source: Source,
        folder: DataFolder,
        policy: Policy,
        *,
        machine: Machine,
        events: Events,
        stamps: Callable[[], Mapping[Device, object]] | None = None,
        logins_changed: Callable[[], bool] | None = None,
        trusted: Current[Trust] | None = None,
    ) -> None:
        self._source = source
        self._logins_changed = logins_changed
        self._folder = folder
        self.policy = policy
        self.events = events
        self.machine = machine
        self.namespace = policy.namespace
        self.channels = frozenset(policy.channels)
        self.default_channel = policy.default_channel
        self.trusting = Trusting(trusted, events=events, machine=machine)
        self.catalog = Catalog(folder.catalog, machine=machine, judge=self.trusting.judge)
        self.store = Store(folder.firmware, machine=machine)
        self.checksums = Checksums(self.store, machine=machine)
        self.roster = Roster(self.catalog, devices=policy.namespace.devices, machine=machine)
        evictions = Evictions(self.roster, self.catalog, self.store, events=events, machine=machine)
        self.queue = WorkQueue(
            self.bring_up_to_date,
            places=policy.registry_concurrency,
            longest_wait=policy.recheck_interval,
            rate=policy.registry_rate,
            machine=machine,
        )
        self.wake = Wake(
            source,
            self.roster,
            self.catalog,
            self.touch,
            interval=policy.recheck_interval,
            rate=policy.registry_rate,
            stamps=stamps,
            folder_looks=policy.folder_looks,
            machine=machine,
        )
        puller = make_puller(
            source,
            self.store,
            policy,
            trust=self.trusting.now,
            space=Space(self.roster, evictions, self.catalog, self.store, machine=machine),
            events=events,
            streams=Streams(self.queue, machine=machine),
            machine=machine,
        )
        self._reconciler = Reconciler(
            puller,
            self.catalog,
            self.roster,
            evictions,
            policy,
            checksums=self.checksums,
            events=events,
            machine=machine,
        )
        self._scrub = Scrub(self.catalog, self.store, self.touch, machine=machine)
        self._judged = Judged((), frozenset())

    def touch(self, touch: Touch) -> asyncio.Future[Outcome]:
        """Put a reason to look into the queue. See `WorkQueue.touch`."""
        return self.queue.touch(touch)

    async def bring_up_to_date(self, touch: Touch) -> Outcome:
        """One run of one device, when its turn comes. Raises `Undecided`."""
        return await self._reconciler.run(touch)

    @property
    def heeds_signatures(self) -> bool:
        """Whether nothing unsigned is served."""
        return self.trusting.now() is not None

    def awaits_signature(self, device: Device) -> bool:
        """Whether a release of that device waits for its signature, or may be found to."""
        is_looked_at = self.heeds_signatures and self.queue.is_busy(device)
        return is_looked_at or self._reconciler.awaits_signature(device)

    async def restore(self) -> bool:
        """Judge what lies in the folder, without the source; returns whether there is a release.

        Raises `Undecided` where the folder cannot be written or read, `BadSetting` where the keys
        cannot.
        """
        try:
            await self.trusting.begin()
        except Undecided as error:
            raise BadSetting(str(error)) from None
        with uncollected():
            self._judged = await self.machine.in_thread(
                restore.restore,
                self._folder.catalog,
                self.store,
                source=self._source.name,
                prefix=self.namespace.prefix,
                namespace=self.namespace,
                channels=self.policy.channels,
                never_fall=self.policy.never_fall,
                disk=self.machine.disk,
            )
        return any(record.channels for record in self._judged.records)

    async def load(self) -> None:
        """Tell what was judged to those who listen; files that nobody names any more go."""
        judged, self._judged = self._judged, Judged((), frozenset())  # it may be much
        self.catalog.load_floors(judged.evicted, judged.floors_elsewhere)
        with uncollected():
            for record in judged.records:
                self.trusting.tell_lapsed(record)
            self.catalog.start(judged.records, unwritten=judged.unwritten)
        self.catalog.reserve(judged.elsewhere)
        if judged.all_read:
            with suppress(Undecided):  # what cannot be removed now is at the next start
                await self.machine.in_thread(self.store.sweep, self.catalog.references)

    async def run(self) -> None:
        """Keep devices up to date until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.queue.run(), name="work queue")
            tasks.create_task(self.wake.run(), name="wake")
            tasks.create_task(self._scrub.run(), name="scrub")
            tasks.create_task(self._describe(), name="images")
            tasks.create_task(self._mind_logins(), name="logins")
            tasks.create_task(self._mind_trust(), name="trust")

    async def _mind_trust(self) -> None:
        """Judge what is told again as soon as others may sign."""
        awaiting = self._reconciler.awaiting_signatures
        await self.trusting.mind(self.catalog, self.touch, awaiting)

    async def _describe(self) -> None:
        """Learn what firmware is by its bytes, of records that an older version wrote."""
        for record in tuple(self.catalog.records()):
            described = record
            if not is_described(record):
                described = await self.machine.in_thread(described_record, self.store, record)
            if described is not record and self.catalog.get(record.device) is record:
                self.catalog.amend(described)

    async def _mind_logins(self) -> None:
        """Have devices that were refused looked at again as soon as there are other logins."""
        while self._logins_changed is not None:
            if self._logins_changed():
                self.queue.hurry()
            await self.machine.sleep(LOGINS_READ)
