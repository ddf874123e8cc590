"""Who may sign now, and what becomes of what is told when that changes under a running server.

What is told has to be proven by who may sign now, at each instant but one: a few seconds after a
change, in which what the new keys did not prove yet is asked about anew. What they prove by then is
told on without a gap, what they do not is told no more, and the log says so before. On one event
loop; files are read in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from otaflux.errors import Undecided
from otaflux.events import Events, SignatureLapsed, TrustChanged
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.secret import Current
from otaflux.signature.proven import only_proven, unproven
from otaflux.signature.trust import Trust
from otaflux.state.catalog import Catalog
from otaflux.work.outcome import Outcome

EVERY = 1.0  # seconds between looks at the files that say who may sign
GRACE = 2.5  # seconds in which what new keys did not prove yet may be proven
AT_ONCE = 50  # devices that are judged in one go, some 2 ms
MOST_URGENT = 200  # devices that are looked at as soon as for a hook; more come after hooks
NOT_NOW = (
    "no signature of it is known by the keys and identities that are set now (COSIGN_PUB_KEY_PATH,"
    " COSIGN_IDENTITY); it is judged again"
)

Touching = Callable[[Touch], asyncio.Future[Outcome]]


class Trusting:
    """Who may sign: `trusted` says so now, and is None where nobody has to.

    `begin` before anything is told; without it nobody has to sign either.
    """

    def __init__(
        self,
        trusted: Current[Trust] | None,
        *,
        events: Events,
        machine: Machine = REAL_MACHINE,
        every: float = EVERY,
        grace: float = GRACE,
    ) -> None:
        self._trusted = trusted
        self._events = events
        self._machine = machine
        self._every = every
        self._grace = grace
        self._asked: Trust | None = None
        self._told: tuple[Trust, ...] = ()

    def now(self) -> Trust | None:
        """By whom looks judge; None where nobody has to sign."""
        return self._asked

    def judge(self, record: Record) -> Record:
        """The record as it may be told now; see `Catalog`."""
        return only_proven(record, self._told, self._machine.now()) if self._told else record

    async def begin(self) -> None:
        """Read who may sign; raises `Undecided` where that cannot be read."""
        if self._trusted is not None:
            self._asked = await self._machine.in_thread(self._trusted.current)
            self._told = (self._asked,)

    def tell_lapsed(self, record: Record) -> None:
        """Tell of each release of a record that it may not be served."""
        if self._asked is not None:
            for release in unproven(record, (self._asked,)):
                self._events.tell(SignatureLapsed(release, NOT_NOW))

    async def mind(
        self, catalog: Catalog, touch: Touching, awaiting: Callable[[], frozenset[Device]]
    ) -> None:
        """Follow the files for ever; `awaiting` are devices of which something is unsigned."""
        while self._trusted is not None:
            await self._machine.sleep(self._every)
            try:
                trust = await self._machine.in_thread(self._trusted.current)
            except Undecided:
                continue  # it was read once, so the last good one is given
            if self._asked is None or trust.id != self._asked.id:
                await self._change(trust, catalog, touch, awaiting())

    async def _change(
        self, trust: Trust, catalog: Catalog, touch: Touching, awaiting: frozenset[Device]
    ) -> None:
        self._events.tell(TrustChanged(tuple(trust.describe())))
        self._asked = trust
        self._told = (*self._told, trust)
        doubtful = {
            record.device
            async for record in self._each(catalog, catalog.devices())
            if unproven(record, (trust,))
        }
        looks = [self._look(touch, device, doubtful) for device in sorted(doubtful)]
        for device in sorted(awaiting - doubtful):
            _ = touch(Touch(device, Priority.HOOK))
        if looks:
            await asyncio.wait(looks, timeout=self._grace)
        async for record in self._each(catalog, sorted(doubtful)):
            self.tell_lapsed(record)
        self._told = (trust,)
        async for record in self._each(catalog, catalog.devices()):
            if record.device not in doubtful:  # a look that began before the change proved it
                self.tell_lapsed(record)
            catalog.judge_again(record.device)

    async def _each(self, catalog: Catalog, devices: Iterable[Device]) -> AsyncIterator[Record]:
        """The record of each device, some at a time: polls do not wait for all of very many."""
        for number, device in enumerate(tuple(devices)):
            if number % AT_ONCE == 0:
                await self._machine.sleep(0.0)
            record = catalog.get(device)
            if record is not None:
                yield record

    def _look(
        self, touch: Touching, device: Device, doubtful: set[Device]
    ) -> asyncio.Future[Outcome]:
        """Have a device looked at; whoever else waits for that is not disturbed by us."""
        priority = Priority.HOOK if len(doubtful) <= MOST_URGENT else Priority.START
        return asyncio.shield(touch(Touch(device, priority)))
