"""Who streams slowly while others wait gives way, and goes on beside them where there is room."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_faults import Drip
from pulling import LIMITS, pulling

from otaflux.errors import Undecided
from otaflux.machine import Machine
from otaflux.model.event import Priority
from otaflux.model.look import Usable
from otaflux.model.names import Device
from otaflux.reconcile.pull import Puller
from otaflux.reconcile.streams import (
    BESIDE,
    BESIDE_MEMORY,
    SLOW,
    STREAMS,
    TICK,
    WINDOW,
    PullStream,
    Streams,
)
from otaflux.unpack.limits import LONG_WINDOW

MIB = 1 << 20
CONTENT = bytes(range(256)) * 400


class Queue:
    """Runs of which one may wait, and those that stepped aside."""

    def __init__(self) -> None:
        self.is_crowded = False
        self.aside: list[str] = []

    def step_aside(self, device: Device) -> None:
        """Note it."""
        self.aside.append(device.name)

    def step_back(self, device: Device) -> None:
        """Note it."""
        self.aside.remove(device.name)


class Rig:
    """Streams at a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue = Queue()
        self.streams = Streams(self.queue, machine=Machine(clock=lambda: self.now))
        self._stack = contextlib.AsyncExitStack()

    async def begin(self, name: str, size: int = 100 * MIB) -> PullStream:
        """A stream that has its place."""
        place = self.streams.place(Device(name), size, Priority.HOOK)
        async with asyncio.timeout(5):
            return await self._stack.enter_async_context(place)

    def passes(self, streams: list[PullStream], rate: float) -> None:
        """Time goes by in which each of them gets so many bytes a second."""
        self.streams.judge()
        self.now += WINDOW
        for stream in streams:
            stream.took(int(rate * WINDOW))
        self.streams.judge()

    async def end(self) -> None:
        """All end."""
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Streams, which end in the end."""
    made = Rig()
    try:
        yield made
    finally:
        await made.end()


async def test_slow_streams_give_their_places_to_who_waits_and_go_on() -> None:
    """They hold a place neither here nor in the queue, until they end."""
    async with rig() as it:
        slow = [await it.begin(f"slow-{n}") for n in range(STREAMS)]
        waits = asyncio.create_task(it.begin("quick"))
        await asyncio.sleep(0)
        it.passes(slow, 4096)
        await waits
        assert [stream.is_aside for stream in slow] == [True] * STREAMS
        assert it.queue.aside == [f"slow-{n}" for n in range(STREAMS)]
        assert not any(stream.is_broken_off for stream in slow)
    assert not it.queue.aside


@pytest.mark.parametrize("rate", [4096, SLOW])
@pytest.mark.parametrize("others", ["none", "here", "in the queue"])
async def test_nobody_gives_way_to_nobody_or_when_quick(rate: int, others: str) -> None:
    """Who is quick keeps its place, and so does who is slow while nobody waits."""
    async with rig() as it:
        streams = [await it.begin(f"lamp-{n}") for n in range(STREAMS)]
        waits = asyncio.create_task(it.begin("other")) if others == "here" else None
        it.queue.is_crowded = others == "in the queue"
        await asyncio.sleep(0)
        it.passes(streams, rate)
        assert streams[0].is_aside is (others != "none" and rate < SLOW)
        if waits is not None:
            waits.cancel()
            await asyncio.wait({waits})


async def test_those_beside_are_bounded_and_who_would_take_longest_is_broken_off() -> None:
    """However many slow blobs there are, others are served; short ones are not lost for that."""
    async with rig() as it:
        it.queue.is_crowded = True
        slow: list[PullStream] = []
        while len(slow) < BESIDE:
            slow.append(await it.begin(f"slow-{len(slow)}", size=MIB))
            it.passes(slow, 4096)
        assert all(stream.is_aside for stream in slow)
        slow += [await it.begin("long", size=100 * MIB), await it.begin("short", size=MIB)]
        it.passes(slow, 4096)
        assert not any(stream.is_broken_off for stream in slow[-2:]), "they have just begun"
        it.passes(slow, 4096)
        assert [stream for stream in slow if stream.is_broken_off] == [slow[-2]]
        work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        it.streams.tick = 0.01
        with pytest.raises(Undecided, match="4096 bytes a second while others wait"):
            await slow[-2].until(work)


async def test_nobody_is_broken_off_who_is_through_soon() -> None:
    """On a line that is slow for all, what came already is worth more than the place."""
    async with rig() as it:
        it.queue.is_crowded = True
        slow: list[PullStream] = []
        for number in range(BESIDE + STREAMS):
            slow.append(await it.begin(f"slow-{number}", size=MIB))
            it.passes(slow, 8192)
        assert not any(stream.is_broken_off for stream in slow)


async def test_an_honest_line_that_stalls_once_gives_way_and_is_not_broken_off() -> None:
    """What it usually gets counts, and who has just begun has not shown that yet."""
    async with rig() as it:
        it.queue.is_crowded = True
        slow: list[PullStream] = []
        while len(slow) < BESIDE:
            slow.append(await it.begin(f"slow-{len(slow)}", size=10 * MIB))
            it.passes(slow, SLOW - 1)
        late = [await it.begin(f"late-{n}") for n in range(STREAMS)]
        it.passes([], 0)
        assert all(stream.is_aside for stream in slow)
        assert not any(stream.is_broken_off for stream in [*slow, *late])


async def test_a_push_waits_for_slow_blobs_no_longer_than_five_seconds() -> None:
    """Whenever it comes, and however they began."""
    async with rig() as it:
        for _ in range(STREAMS):
            await it.begin("slow")
            it.now += TICK / 3
            it.streams.judge()
        waits = asyncio.create_task(it.begin("quick"))
        came = it.now
        while not waits.done():
            it.now += TICK
            it.streams.judge()
            await asyncio.sleep(0.001)
        assert it.now - came <= 4.5


async def test_the_memory_of_those_beside_is_bounded_too() -> None:
    """With zstd windows fewer go on; one that takes a window there is tried again later."""
    async with rig() as it:
        it.queue.is_crowded = True
        slow = [await it.begin(f"slow-{n}") for n in range(STREAMS)]
        for stream in slow[:2]:
            stream.grow(128 * MIB)
        it.passes(slow, 4096)
        assert it.streams.beside_memory <= BESIDE_MEMORY
        assert sum(stream.is_aside for stream in slow) < STREAMS
        assert [stream.is_aside for stream in slow] == [True, False, True]
        with pytest.raises(Undecided, match="much memory"):
            slow[2].grow(LONG_WINDOW)


async def test_pulls_go_on_while_slow_blobs_come(tmp_path: Path) -> None:
    """More slow blobs than there are places, and a release is on disk soon; they come too."""
    async with pulling(tmp_path) as pulls:
        queue = Queue()
        streams = Streams(queue, window=0.2, tick=0.05)
        puller = Puller(pulls.source, pulls.store, LIMITS, judged_by="test", streams=streams)
        pulls.registry.fail(
            "blob",
            Drip(size=1000, pause=0.03),
            times=None,
            when=lambda seen: "slow" in seen.repository,
        )
        names = [f"slow-{n}" for n in range(STREAMS + 1)]
        looks = []
        for name in [*names, "quick"]:
            content = CONTENT + name.encode()
            pulls.put("1.0.0", content, device=name)
            look = pulls.look("1.0.0", device=Device(name), priority=Priority.HOOK, puller=puller)
            looks.append(asyncio.create_task(look))
        async with asyncio.timeout(2.5):
            assert isinstance(await looks[-1], Usable)
        assert not any(look.done() for look in looks[:-1])
        for look in looks[:-1]:
            assert isinstance(await look, Usable)
        assert not queue.aside
