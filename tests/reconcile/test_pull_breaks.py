"""Pulls that a disk, a full house or a cancellation breaks off: nothing is left, nobody waits."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import os
import random
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_faults import Drip, Hang
from lossy_disk import LossyDisk
from pulling import Pulls, pulling

from otaflux.errors import Busy, DiskFailed
from otaflux.files.disk import OpenFile, RealDisk
from otaflux.machine import Machine
from otaflux.model.event import Priority
from otaflux.model.look import Usable
from otaflux.model.names import Device
from otaflux.reconcile.fetch import WRITE_BACK
from otaflux.reconcile.streams import STREAMS
from otaflux.state.store import Store

CONTENT = random.Random(1).randbytes(900_000)
SLOW = Drip(size=50_000, pause=WRITE_BACK / 4)  # several syncs before the end
PATIENCE = 30.0  # seconds


@pytest.fixture(autouse=True)
async def complaints() -> list[Mapping[str, Any]]:
    """What the event loop is told that nobody takes care of, instead of a line in the log."""
    heard: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def until(done: Callable[[], Any]) -> None:
    """Return once something is so."""
    async with asyncio.timeout(PATIENCE):
        while not done():  # noqa: ASYNC110 - threads set no event of the loop
            await asyncio.sleep(0.01)


# --- disks --------------------------------------------------------------------------------------


OPERATIONS = ["free", "create", "write", "sync", "rename", "sync"]  # of a pull in one piece


def operations_to_prepare(folder: Path) -> int:
    """How many operations of a disk a store takes before the first pull."""
    folder.mkdir()
    disk = LossyDisk(folder, random.Random(1))
    Store(folder, machine=Machine(disk=disk)).prepare()
    return len(disk.operations)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("at", range(len(OPERATIONS)))
async def test_a_disk_that_fails_at_any_operation_is_undecided(
    tmp_path: Path, at: int, number: int
) -> None:
    """Each operation of a pull: nothing without a name is left, and the next look goes well."""
    content = CONTENT[:100_000]
    name = sha256(content).hexdigest()
    before = operations_to_prepare(tmp_path / "before")
    disk = LossyDisk(tmp_path, random.Random(1), errors={before + at: number})
    # However slow the machine is, no sync comes in between.
    async with pulling(tmp_path, disk=disk, write_back=math.inf) as pulls:
        pulls.put("1.0.0", content)
        with pytest.raises(DiskFailed) as failed:
            await pulls.look("1.0.0")
        assert failed.value.hint
        done = [what.split()[0] for what in disk.operations[before:]]
        assert done[: at + 1] == OPERATIONS[: at + 1]
        assert pulls.files() == [name] * (at == len(OPERATIONS) - 1)
        await pulls.usable("1.0.0")
        assert pulls.files() == [name]


async def test_a_disk_without_room_costs_no_download(tmp_path: Path) -> None:
    """What the manifest says it needs is looked up before a byte is asked for."""

    class Full(RealDisk):
        room = 0

        def free(self, folder: Path) -> int:
            return self.room

    disk = Full()
    async with pulling(tmp_path, disk=disk) as pulls:
        pulls.put("1.0.0", CONTENT)
        with pytest.raises(DiskFailed, match=f"needs {len(CONTENT)} bytes or more"):
            await pulls.look("1.0.0")
        assert not pulls.blobs()
        assert not pulls.files()
        disk.room = 1 << 30
        await pulls.usable("1.0.0")


async def test_a_slow_pull_is_written_back_while_it_comes(tmp_path: Path) -> None:
    """Some syncs go before the last; that and the name come last, and the folder is synced."""
    disk = LossyDisk(tmp_path, random.Random(1))
    async with pulling(tmp_path, disk=disk) as pulls:
        pulls.put("1.0.0", CONTENT)
        pulls.registry.fail("blob", SLOW)
        before = len(disk.operations)
        await pulls.usable("1.0.0")
        operations = disk.operations[before:]
        name = sha256(CONTENT).hexdigest()
        assert operations[-3:] == ["sync file", f"rename to {name}", "sync sha256"]
        assert "sync file" in operations[: operations.index("write", 4)], operations


class _Unlucky(RealDisk):
    """The first sync of a file fails, and says so once: Linux forgets it then (fsync(2))."""

    def __init__(self) -> None:
        self.syncs = 0

    def create(self, path: Path) -> OpenFile:
        return _UnluckyFile(self, super().create(path))


class _UnluckyFile:
    def __init__(self, disk: _Unlucky, real: OpenFile) -> None:
        self._disk = disk
        self._real = real
        self.write, self.restart, self.close = real.write, real.restart, real.close

    def sync(self) -> None:
        self._disk.syncs += 1
        if self._disk.syncs == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real.sync()


async def test_what_could_not_be_written_back_is_no_release(tmp_path: Path) -> None:
    """A sync that failed beside the unpacking counts, although the one at the end goes well."""
    disk = _Unlucky()
    async with pulling(tmp_path, disk=disk) as pulls:
        pulls.put("1.0.0", CONTENT)
        pulls.registry.fail("blob", SLOW)
        with pytest.raises(DiskFailed):
            await pulls.look("1.0.0")
        assert disk.syncs
        assert not pulls.files()
        await pulls.usable("1.0.0")


# --- places -------------------------------------------------------------------------------------


def looking(pulls: Pulls, name: str, priority: Priority) -> asyncio.Task[Any]:
    """A look at a device that has one release, under way."""
    pulls.put("1.0.0", name.encode() * 50_000, device=name)
    return asyncio.create_task(pulls.look("1.0.0", device=Device(name), priority=priority))


def streaming(pulls: Pulls) -> list[str]:
    """The repositories whose blobs were asked for, in order."""
    return [seen.repository.removeprefix("acme/") for seen in pulls.registry.seen("blob")]


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel, and wait."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_hooks_pull_goes_through_while_slow_ones_stream(tmp_path: Path) -> None:
    """Of the places one is kept for hooks; whoever waits beyond them is not even asked for."""
    async with pulling(tmp_path) as pulls:
        hang = Hang(seconds=600, after=1000)
        slow = [f"slow-{number}" for number in range(STREAMS + 1)]
        pulls.registry.fail("blob", hang, times=None, when=lambda seen: "slow" in seen.repository)
        tasks = [looking(pulls, name, Priority.RECHECK) for name in slow]
        async with asyncio.timeout(PATIENCE):
            await pulls.registry.arrived("manifest", len(slow))
            await pulls.registry.arrived("blob", STREAMS - 1)
            for number in range(2):
                look = await looking(pulls, f"hook-{number}", Priority.HOOK)
                assert isinstance(look, Usable)
        *others, first, second = streaming(pulls)
        assert (first, second) == ("hook-0", "hook-1")
        assert len(set(others) & set(slow)) == len(others) == STREAMS - 1
        await ended(*tasks)


@pytest.mark.parametrize("priority", [Priority.RECHECK, Priority.HOOK])
async def test_strangers_have_one_place_among_the_streams_while_others_wait(
    tmp_path: Path, priority: Priority
) -> None:
    """Another is lent to them, and called back: they keep nobody else from streaming."""
    async with pulling(tmp_path) as pulls:
        hang = Hang(seconds=600, after=1000)
        pulls.registry.fail("blob", hang, times=None, when=lambda seen: "str" in seen.repository)
        strangers = [looking(pulls, f"strange-{n}", Priority.FIRST_POLL) for n in range(3)]
        async with asyncio.timeout(PATIENCE):
            await pulls.registry.arrived("manifest", len(strangers))
            await pulls.registry.arrived("blob", STREAMS - 1)
            known = [looking(pulls, f"known-{number}", priority) for number in range(STREAMS)]
            assert all(isinstance(look, Usable) for look in await asyncio.gather(*known))
        lent = [task for task in strangers if task.done()]
        assert len(lent) == 1
        with pytest.raises(Busy, match="made room"):
            await lent[0]
        await ended(*strangers)


# --- cancelled ----------------------------------------------------------------------------------


class Threads:
    """Runs blocking work in threads; cancels `task` amid the work of number `cancel_at`."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = 0
        self.cancel_at: int | None = None
        self.task: asyncio.Task[Any] | None = None
        self._go_on = threading.Event()
        self._go_on.set()

    async def __call__(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """As `asyncio.to_thread`."""
        number, self.begun = self.begun, self.begun + 1
        loop = asyncio.get_running_loop()

        def run() -> Any:
            try:
                if number == self.cancel_at:
                    self._go_on.clear()
                    loop.call_soon_threadsafe(self._cancel)
                    self._go_on.wait(PATIENCE)
                return work(*arguments, **options)
            finally:
                loop.call_soon_threadsafe(self._left)

        self.running += 1
        return await asyncio.to_thread(run)

    def _left(self) -> None:
        self.running -= 1

    def _cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()
        # The work goes on once the cancellation was thrown in.
        asyncio.get_running_loop().call_later(0.05, self._go_on.set)


WORK = ["draft", "unpack", "finish", "keep", "discard"]  # of a quick pull, each in a thread


@pytest.mark.parametrize("number", range(len(WORK)), ids=WORK)
async def test_a_pull_cancelled_amid_any_work_leaves_nothing(tmp_path: Path, number: int) -> None:
    """No file without a name, no thread that waits, no place taken: the next pulls go well."""
    threads = Threads()
    async with pulling(tmp_path, in_thread=threads) as pulls:
        pulls.put("1.0.0", CONTENT)
        threads.cancel_at = number
        threads.task = asyncio.create_task(pulls.look("1.0.0"))
        await asyncio.wait([threads.task])
        assert threads.task.cancelled()
        await until(lambda: threads.running == 0)
        assert not [name for name in pulls.files() if name.startswith(".new-")]
        for _ in range(STREAMS + 1):
            await pulls.usable("1.0.0")


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1, 0.3])
async def test_a_pull_cancelled_in_the_middle_of_a_body_ends_its_thread(
    tmp_path: Path, seconds: float
) -> None:
    """The thread that waits for bytes is let go at once, however slowly they come."""
    threads = Threads()
    async with pulling(tmp_path, in_thread=threads) as pulls:
        look = await cancelled_in_a_body(pulls, seconds)
        assert look.cancelled()
        await until(lambda: threads.running == 0)
        assert not pulls.files()
        await pulls.usable("1.0.0")


async def test_a_pull_that_was_cancelled_is_quiet(
    tmp_path: Path, complaints: list[Mapping[str, Any]]
) -> None:
    """Its thread ends with an error, and that is nobody's news."""
    async with pulling(tmp_path) as pulls:
        await cancelled_in_a_body(pulls, 0.1)
        for _ in range(2):
            await asyncio.sleep(0.1)
            gc.collect()
        assert complaints == []


async def cancelled_in_a_body(pulls: Pulls, seconds: float) -> asyncio.Task[Any]:
    """A look that was cancelled so long after its blob was asked for, and never came whole."""
    pulls.put("1.0.0", CONTENT)
    pulls.registry.fail("blob", Hang(seconds=600, after=500_000))
    look = asyncio.create_task(pulls.look("1.0.0"))
    async with asyncio.timeout(PATIENCE):
        await pulls.registry.arrived("blob", 1)
        await asyncio.sleep(seconds)
        await ended(look)
    return look
