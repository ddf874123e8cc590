"""Keeps on the disk what units said: one writer, in a thread, in batches, never waited for.

Only feedback that closes an action waits for its batch. A disk that is full, read-only or broken
is said once, and tried again now and then; units are remembered in memory meanwhile. A file that is
damaged, or was taken away, is begun anew with all that memory has.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from otaflux.errors import DiskFailed
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.threads import end, to_its_end
from otaflux.units.database import Database
from otaflux.units.rows import Row
from otaflux.units.units import Units

EVERY = 5.0  # seconds between batches that nobody waits for
HEARD_EVERY = 3600.0  # seconds between those of when units were heard
RETRY = 60.0  # seconds until a disk that failed is tried again, where nobody waits for it
HINT = "Units are remembered in memory alone until the disk takes them"


class Saver:
    """Reads the file when it is entered, saves until it is left, and once more then.

    `every` and `heard_every` are seconds between batches.
    """

    def __init__(
        self,
        units: Units,
        path: Path,
        *,
        machine: Machine = REAL_MACHINE,
        every: float = EVERY,
        heard_every: float = HEARD_EVERY,
    ) -> None:
        self._units = units
        self._database = Database(path)
        self._machine = machine
        self._every = every
        self._heard_every = heard_every
        self._woken = asyncio.Event()
        self._fails = False
        self._retry_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._machine.in_thread(self._load)
        self._note_anew()
        self._units.changes.save_by(self._woken.set)
        self._task = asyncio.create_task(self._run(), name="units")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            await end(self._task)
        await self._units.changes.note_heard()
        await self._save()
        await self._machine.in_thread(self._database.close)

    def _load(self) -> None:
        """Blocks; nobody asks or tells the units anything meanwhile."""
        try:
            if not self._units.load(self._database.read()):
                self._database.clear()
                self._units.note_all()
        except DiskFailed as error:
            self._note_failed(error)

    async def _run(self) -> None:
        heard_at = self._machine.clock()
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._woken.wait()
            except TimeoutError:
                if self._machine.clock() - heard_at >= self._heard_every:
                    heard_at = self._machine.clock()
                    await self._units.changes.note_heard()
            self._woken.clear()
            waits = self._units.changes.is_waited_for
            if waits or not self._fails or self._machine.clock() >= self._retry_at:
                try:
                    await self._save()
                except Exception:  # noqa: BLE001 - a bug here must not end what serves boards
                    log.exception(Event.TASK_CRASHED, task="saving units")

    async def _save(self) -> None:
        """Write all that changed; who waits goes on after the first batch, which has theirs."""
        waiting = self._units.changes.take_waiting()
        try:
            while True:
                places, rows = self._units.take_changes()
                if not places or not await self._write(places, rows):
                    return
                for each in waiting:
                    if not each.done():
                        each.set_result(None)
        finally:
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    async def _write(self, places: list[int], rows: list[Row]) -> bool:
        """One batch; False where the disk failed, and the batch comes again later."""
        try:
            written = await to_its_end(self._machine.in_thread(self._database.write, rows))
        except DiskFailed as error:
            self._units.changes.put_back(places)
            self._note_failed(error)
            return False
        except BaseException:
            self._units.changes.put_back(places)
            raise
        if self._fails:
            self._fails = False
            log.info(Event.UNITS_SAVED_AGAIN, path=str(self._database.path))
        if not written:
            self._note_anew()
            self._units.note_all()
            written = await to_its_end(self._machine.in_thread(self._database.write, rows))
            if not written:  # it was taken away once more: all is noted, and comes again
                self._note_anew()
        return True

    def _note_failed(self, error: DiskFailed) -> None:
        self._retry_at = self._machine.clock() + RETRY
        if not self._fails:
            self._fails = True
            log.error(Event.DISK_FAILED, reason=str(error), hint=error.hint or HINT)

    def _note_anew(self) -> None:
        reason = self._database.anew
        if reason:
            path = str(self._database.path)
            log.warning(Event.UNITS_BEGUN_ANEW, path=path, reason=reason, units=len(self._units))
