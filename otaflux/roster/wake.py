"""Touches that nobody sent: the start, the timer, the embedded folder.

Devices with something on disk are looked at no more often than `rate` a second in all; those with
nothing, at once.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from otaflux.errors import Undecided
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.work.backoff import Pace

SPREAD = 0.1  # of the interval, so that devices part
AT_ONCE = 1000  # devices; then polls get their turn
LONGEST_PAUSE = 60.0  # seconds after a step that crashed, reached by doubling from 1

Stamps = Callable[[], Mapping[Device, object]]


class Listed(Protocol):
    """What wake asks of a source."""

    async def ping(self) -> None:
        """Ask for nothing but an answer; raises `Undecided` where there is none, or a refusal."""
        ...

    async def devices(self) -> frozenset[Device] | None:
        """The devices that its listing names; None where it has none or refuses."""
        ...


class Wake:
    """Touches each device of the roster at start and every `interval` seconds, give or take some.

    `stamps` blocks and says what the embedded folder holds, for those who have one; it is asked
    each `folder_looks` seconds.
    """

    def __init__(
        self,
        source: Listed,
        roster: Roster,
        catalog: Catalog,
        touch: Callable[[Touch], Any],
        *,
        interval: float,
        rate: float,
        stamps: Stamps | None = None,
        folder_looks: float = 1.0,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._source = source
        self._roster = roster
        self._catalog = catalog
        self._touch = touch
        self._interval = interval
        self._pace = Pace(rate)
        self._stamps = stamps
        self._folder_looks = folder_looks
        self._in_thread = machine.in_thread
        self._clock = machine.clock
        self._chance = machine.chance
        self._due: list[tuple[float, Device]] = []
        self._scheduled: set[Device] = set()
        self._sooner = asyncio.Event()  # somebody stands before who was first in line
        self._refusal_noted = False
        self._reached = False  # whether the registry answered, and took the login
        self._failures = 0  # of the listing, in a row
        self.listing_failure: Undecided | None = None  # of the last time that it was asked for
        self.has_listed = False  # the listing was asked for, whatever came of it
        self._stamped: Mapping[Device, object] | None = None
        self._folder_failed = ""

    async def run(self) -> None:
        """Wake devices until cancelled."""
        self._roster.listen(self._line_up)
        await self._wake_new()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever("re-check timer", self._touch_next))
            tasks.create_task(self._for_ever("listing", self._list))
            if self._stamps is not None:
                folder = partial(self._look_at_folder, self._stamps)
                tasks.create_task(self._for_ever("embedded folder", folder))

    async def _for_ever(self, task: str, step: Callable[[], Awaitable[float]]) -> None:
        """Make a step again and again, after the seconds that it returns."""
        crashes = 0
        while True:
            try:
                wait = await step()
            except Exception:  # noqa: BLE001 - a bug here must not end the server
                log.exception(Event.WAKE_CRASHED, task=task)
                wait = min(2.0**crashes, LONGEST_PAUSE)
                crashes = min(crashes + 1, 16)
            else:
                crashes = 0
            await asyncio.sleep(wait)

    async def _wake_new(self) -> None:
        """Touch devices that have nothing yet at once; put the others in the timer's line."""
        now = self._clock()
        new = self._roster.devices() - self._scheduled
        in_order = sorted(new) if len(new) < AT_ONCE else await self._in_thread(_by_name, new)
        for number, device in enumerate(in_order, 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if device in self._scheduled:
                continue
            record = self._catalog.get(device)
            if record is None or not record.channels:
                self._touch(Touch(device, Priority.START))
                self._line_up(device)
            else:
                self._scheduled.add(device)
                self._schedule(device, now)

    def _line_up(self, device: Device) -> None:
        """Put a device in the timer's line that is not in it."""
        if device not in self._scheduled:
            self._scheduled.add(device)
            self._schedule_next(device)

    def _schedule_next(self, device: Device) -> None:
        spread = self._chance.uniform(1 - SPREAD, 1 + SPREAD)
        self._schedule(device, self._clock() + self._interval * spread)

    def _schedule(self, device: Device, due: float) -> None:
        heapq.heappush(self._due, (due, device))
        if self._due[0][1] == device:
            self._sooner.set()

    async def _touch_next(self) -> float:
        """Touch who is due, once that is so and the rate allows it.

        The pause is what is left of the device's share of a second, so that sleeping too long
        once does not slow the round.
        """
        self._sooner.clear()
        now = self._clock()
        wait = max(self._pace.ready, self._due[0][0]) - now if self._due else None
        if wait is None or wait > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._sooner.wait()
            return 0.0
        _, device = heapq.heappop(self._due)
        if not self._roster.is_there(device):
            self._scheduled.discard(device)
            return 0.0
        self._pace.take(now)
        self._schedule_next(device)
        self._touch(Touch(device, Priority.RECHECK))
        return 0.0

    async def _list(self) -> float:
        """Read the source's listing; a refusal is noted once, and so is a login that is refused."""
        try:
            listed = await self._source.devices()
            if listed is None and not self._reached:
                await self._source.ping()  # with nobody to look at, a wrong login would not show
                self._reached = True
        except Undecided as error:
            self._failures += 1
            self.listing_failure = error
            self._note("the listing failed, and is asked again", str(error), error.hint)
            wait = min(2.0 ** min(self._failures, 16), self._interval)
        else:
            self._failures = 0
            self.listing_failure = None
            wait = self._interval * self._chance.uniform(1 - SPREAD, 1 + SPREAD)
            if listed is None:
                self._note(
                    "the registry does not list repositories here",
                    "devices become known by DEVICES, hooks and polls",
                    "Set DEVICES, or give the account the right to list",
                    level=logging.INFO,
                )
            else:
                self._roster.note_listing(listed)
                self._refusal_noted = False
        await self._wake_new()
        self.has_listed = True
        return wait

    def _note(self, what: str, reason: str, hint: str, *, level: int = logging.WARNING) -> None:
        if not self._refusal_noted:
            self._refusal_noted = True
            log.log(level, Event.LISTING_UNAVAILABLE, what=what, reason=reason, hint=hint)

    async def _look_at_folder(self, stamps: Stamps) -> float:
        """Look at the embedded folder; whoever changed there is as urgent as a hook."""
        try:
            after: Mapping[Device, object] = await self._in_thread(stamps)
        except Undecided as error:
            if self._folder_failed != str(error):
                self._folder_failed = str(error)
                log.warning(Event.REGISTRY_FAILED, reason=self._folder_failed, hint=error.hint)
            return self._folder_looks
        self._folder_failed = ""
        before = self._stamped
        if before is not None:
            for device in sorted(before.keys() | after.keys()):
                if before.get(device) != after.get(device):
                    self._roster.name(device)
                    self._touch(Touch(device, Priority.HOOK, first_hook_at=self._clock()))
        self._stamped = after
        return self._folder_looks


def _by_name(devices: Iterable[Device]) -> list[Device]:
    return sorted(devices, key=lambda device: device.name)
