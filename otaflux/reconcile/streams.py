"""How many pulls stream at once, and what becomes of those that are slow while others wait.

A few places bound the memory of all pulls together. Three blobs that come at a few KiB a second, a
tenant's or over a bad line, would hold them for hours. So whoever streams looks twice a second
whether others wait: a stream that is slow then gives its place to them and goes on beside them,
bounded in number and memory. Where there is no more room beside, that slow one is broken off that
would take longest, if it would take long; it is tried again like whatever failed. While nobody
waits everybody may be as slow as he likes.

Giving way costs a stream nothing, so a few seconds are enough to be taken for slow. Being broken
off costs what came already, so that is judged by all the time in which others waited: an honest
line that stalls once is not.

On the event loop, but for `PullStream.took` and `PullStream.grow`, which are the thread's that
unpacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from otaflux.errors import Undecided
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.registry.source import BlobReader
from otaflux.unpack.limits import LONG_WINDOW
from otaflux.work.places import Gate

STREAMS = 3  # pulls that have a place at once: with 8 MiB zstd windows they stay within 48 MiB
BESIDE = 8  # slow ones that go on beside them, at most
BESIDE_MEMORY = 16 << 20  # bytes that those take together, at most
PLAIN_MEMORY = 2 << 20  # bytes that a stream takes besides its zstd window
SLOW = 64 << 10  # bytes a second; less is slow
WINDOW = 4.0  # seconds over which a stream is judged; a push waits for that and one look at most
TICK = 0.5  # seconds between two looks
PROVEN = 2  # windows at least in which others waited, before a stream may be broken off
LONG = 10 * 60.0  # seconds that a slow stream would still take, to be broken off


class Queue(Protocol):
    """Where runs have places of their own, which a slow one must not hold either."""

    @property
    def is_crowded(self) -> bool:
        """Whether keys wait for a place."""
        ...

    def step_aside(self, device: Device) -> None:
        """A run goes on without counting as one that has a place."""
        ...

    def step_back(self, device: Device) -> None:
        """It counts again."""
        ...


class PullStream:
    """One pull that streams: how fast, how much memory, and whether it has a place."""

    def __init__(
        self, streams: Streams, device: Device, size: int, give_place: Callable[[], None]
    ) -> None:
        self._streams = streams
        self.device = device
        self._size = size
        self._give_place = give_place
        self._taken = 0
        self._window = 0
        self._marked = self._waited_for = (streams.clock(), 0)
        self.rate: float | None = None  # bytes a second, once judged
        self.usual_rate = 0.0  # since others wait
        self.is_proven = False  # others wait for so long that it may be broken off
        self.is_aside = False
        self.is_broken_off = False

    @property
    def memory(self) -> int:
        """Bytes that it takes, give or take."""
        return PLAIN_MEMORY + self._window

    @property
    def left(self) -> float:
        """Seconds until it has all, by what its manifest says, at the better of its rates."""
        return max(0, self._size - self._taken) / max(self.rate or 0.0, self.usual_rate, 1.0)

    def counted(self, reader: BlobReader) -> BlobReader:
        """The same reader, whose bytes are counted."""
        return _Counted(reader, self)

    def took(self, size: int) -> None:
        """So many bytes came. From the thread."""
        self._taken += size

    def grow(self, window: int) -> None:
        """A zstd window is about to be taken, of so many bytes.

        Raises `Undecided` where a slow stream would take too much beside the others.
        """
        self._window = max(self._window, min(window, LONG_WINDOW))
        if self.is_aside and self._streams.beside_memory > BESIDE_MEMORY:
            raise Undecided(
                "its blob comes slowly while others wait, and unpacking it takes much memory",
                hint="It is tried again. Is the line to the registry slow?",
            )

    async def until(self, work: asyncio.Future[Any]) -> None:
        """Wait for the thread's end, looking after the others meanwhile.

        Raises `Undecided` where this one is broken off for them.
        """
        while True:
            await asyncio.wait({work}, timeout=self._streams.tick)
            if work.done():
                return
            self._streams.judge()
            if self.is_broken_off:
                raise Undecided(
                    f"its blob comes at only {self.rate or 0:.0f} bytes a second while others"
                    f" wait, and would take {self.left / 60:.0f} minutes more",
                    hint="It is tried again. Is the line to the registry slow?",
                )

    def measure(self, now: float) -> None:
        """Have a rate, once enough time went by since the last one."""
        at, taken = self._marked
        if now - at >= self._streams.window:
            self.rate = (self._taken - taken) / (now - at)
            self._marked = (now, self._taken)
            since, before = self._waited_for
            self.usual_rate = (self._taken - before) / (now - since)
            self.is_proven = now - since >= PROVEN * self._streams.window

    def begin_anew(self, now: float) -> None:
        """Forget the rate: nobody waits."""
        self.rate, self.is_proven = None, False
        self._marked = self._waited_for = (now, self._taken)

    def step_aside(self) -> None:
        """Give the place to others, and go on."""
        self.is_aside = True
        self._give_place()


class _Counted:
    """A blob's bytes, counted for its stream."""

    def __init__(self, reader: BlobReader, stream: PullStream) -> None:
        self._reader = reader
        self._stream = stream

    def read(self) -> bytes:
        """The next bytes. Blocks."""
        piece = self._reader.read()
        self._stream.took(len(piece))
        return piece


class Streams:
    """The streams of all pulls; `queue` is where their runs have places, if there is one.

    A stream is judged over `window` seconds, at looks that are `tick` seconds apart; one that would
    take `long` seconds more may be broken off, after `PROVEN` windows.
    """

    def __init__(
        self,
        queue: Queue | None = None,
        *,
        window: float = WINDOW,
        tick: float = TICK,
        long: float = LONG,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self.window = window
        self.tick = tick
        self._long = long
        self.clock = machine.clock
        self._queue = queue
        self._gate = Gate(STREAMS)
        self._streams: list[PullStream] = []

    @property
    def beside_memory(self) -> int:
        """Bytes that those take that go on without a place. From any thread."""
        return sum(stream.memory for stream in tuple(self._streams) if stream.is_aside)

    @asynccontextmanager
    async def place(
        self, device: Device, size: int, priority: Priority
    ) -> AsyncIterator[PullStream]:
        """Wait for a place to stream in; `size` is about how many bytes will come."""
        async with self._gate.place(priority) as give_place:
            stream = PullStream(self, device, size, give_place)
            self._streams.append(stream)
            try:
                yield stream
            finally:
                self._streams.remove(stream)
                if stream.is_aside and self._queue is not None:
                    self._queue.step_back(device)

    def judge(self) -> None:
        """Have slow streams give way where others wait."""
        now = self.clock()
        if not (self._gate.is_crowded or (self._queue is not None and self._queue.is_crowded)):
            for stream in self._streams:
                stream.begin_anew(now)
            return
        for stream in self._streams:
            stream.measure(now)
        slow = [each for each in self._streams if each.rate is not None and each.rate < SLOW]
        holding = [each for each in slow if not each.is_aside and not self._let_aside(each)]
        proven = [each for each in slow if each.is_proven]
        if holding and proven:
            longest = max(proven, key=lambda each: each.left)
            longest.is_broken_off = longest.left > self._long

    def _let_aside(self, stream: PullStream) -> bool:
        """Whether there is room beside for one more; it goes there then."""
        beside = sum(each.is_aside for each in self._streams)
        if beside >= BESIDE or self.beside_memory + stream.memory > BESIDE_MEMORY:
            return False
        stream.step_aside()
        if self._queue is not None:
            self._queue.step_aside(stream.device)
        return True
