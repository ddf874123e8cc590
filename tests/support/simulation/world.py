"""What happens in one seeded run: one registry, one machine, and everything that befalls them.

Pushes, moved and deleted tags, hooks that are lost, doubled, late and out of order, polls, a
registry in trouble, a full disk, and crashes at any operation of the disk; then peace, and
everybody has to be told what the registry says. What must hold meanwhile is in `promises.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from otaflux.model.names import Device, Tag
from simulation import senders
from simulation.chronicle import Chronicle
from simulation.disk import MemoryDisk, PowerCut
from simulation.program import RECHECK, Program
from simulation.promises import (
    DEVICES,
    EVERY_CHANNEL,
    NO_DIGEST,
    ORDERED,
    OTHERS,
    STRANGER,
    Broken,
    Promises,
)
from simulation.registry import Content, Shape, SimulatedFolder, SimulatedRegistry
from simulation.senders import Hook

SETTLES_IN = 100.0  # seconds: the longest backoff, two looks for a withdrawal, and runs
AHEAD = (0.1, 1.0, 5.0)  # seconds by which a hook may come before what it tells of
# Seconds, and how often; after the longest no release lingers.
PAUSES = {0.0: 9, 0.01: 9, 0.3: 9, 2.0: 9, 12.0: 9, 40.0: 9, 1000.0: 1}


@dataclass(frozen=True)
class Parts:
    """Which parts to build with; a test puts a broken one in. None is either kind of registry."""

    disk: type[MemoryDisk] = MemoryDisk
    registry: type[SimulatedRegistry] | None = None
    program: type[Program] = Program


class World:
    """One registry, one machine, and everything that happens to them."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self._clock = asyncio.get_running_loop().time
        self._chance = random.Random(seed)
        self.chronicle = Chronicle(self._clock)
        self._parts = parts
        kind = (
            parts.registry or self._chance.choices([SimulatedRegistry, SimulatedFolder], [4, 1])[0]
        )
        self._registry = kind((*DEVICES, STRANGER), self._chance, self._clock)
        self._registry.note = self.chronicle.note
        self._disk = parts.disk(self._chance)
        self._promises = Promises(self._registry, self._clock, self.chronicle)
        self._number = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._may_cut = True
        self._program: Program
        self._life: asyncio.Task[None] | None = None
        self.crashes = 0

    async def live(self, steps: int, cut_at: int | None) -> None:
        """Let so many things happen, then see to it that all is well."""
        self._disk.cut_in = cut_at
        self._may_cut = cut_at is None
        await self._start()
        for _ in range(steps):
            self._happen()
            await asyncio.sleep(self._chance.choices([*PAUSES], [*PAUSES.values()])[0])
            await self._after_step()
        await self._make_peace()
        before = self.crashes
        await asyncio.sleep(SETTLES_IN)
        await self._after_step()
        if self.crashes > before:  # its second look at a missing tag comes with a re-check
            await asyncio.sleep(1.1 * RECHECK + SETTLES_IN)
        self._promises.check_settled("after all")
        await self._stop()
        await self._begin_anew()

    # What happens

    def _happen(self) -> None:
        happenings = {
            self._push: 10,
            self._delete: 3,
            self._noise: 2,
            self._weather: 3,
            self._mend: 2,
            self._hide: 1,
            self._cut_soon: 2,
            self._cut: 1,
        }
        self._chance.choices([*happenings], [*happenings.values()])[0]()

    def _push(self) -> None:
        device = self._chance.choice(DEVICES)
        tag = self._chance.choice((*ORDERED, *ORDERED, *OTHERS))
        before = list(self._registry.contents.values())
        if before and self._chance.random() < 0.2:
            content = self._chance.choice(before)
        else:
            content = self._content(good=self._chance.random() < 0.8)
        if self._chance.random() < 0.1:
            self._registry.missing_blobs.add(content.firmware_digest)
            self.chronicle.note("the blob of {} is missing", content)
        if self._chance.random() < 0.8:
            self._registry.put(device, tag, content)
        else:
            self._later(self._put(device, tag, content, self._chance.choice(AHEAD)))
        self._send(self._pushed(device, tag, content))

    async def _put(self, device: Device, tag: Tag, content: Content, delay: float) -> None:
        """The registry comes later than its hook."""
        await asyncio.sleep(delay)
        self._registry.put(device, tag, content)

    def _pushed(self, device: Device, tag: Tag, content: Content) -> Hook:
        digest, wanted = content.top.digest, tag not in OTHERS
        return senders.pushed(device, tag, digest, self._chance, wanted=wanted)

    def _content(self, *, good: bool) -> Content:
        self._number += 1
        shape = self._chance.choices([Shape.PLAIN, Shape.INDEX], [3, 1])[0] if good else Shape.BAD
        return Content(self._number, shape)

    def _delete(self) -> None:
        device = self._chance.choice(DEVICES)
        tags = sorted(self._registry.tags_of[device])
        if tags:
            tag = self._chance.choice(tags)
            digest = self._registry.tags_of[device][tag].top.digest
            self._registry.delete(device, tag)
            wanted = tag not in OTHERS
            self._send(senders.deleted(device, tag, digest, self._chance, wanted=wanted))

    def _noise(self) -> None:
        """A hook that names a tag which nobody pushed, or says nothing; a stranger's poll."""
        device, tag = self._chance.choice(DEVICES), self._chance.choice((*ORDERED, Tag("9.9.9")))
        self._send(senders.pushed(device, tag, NO_DIGEST, self._chance, wanted=True))
        self._send(senders.noise(device, tag, self._chance))
        self._later(self._poll(STRANGER, EVERY_CHANNEL[0]))

    def _weather(self) -> None:
        self._registry.trouble = self._chance.choice([0.0, 0.1, 0.5])
        self._registry.slowness = self._chance.choice([0.0, 0.5, 4.0])
        self._registry.staleness = self._chance.choice([0.0, 3.0, 60.0])
        self._registry.away = self._chance.random() < 0.2
        self._disk.trouble = self._chance.choice([0.0, 0.1, 0.3])
        self.chronicle.note(
            "weather: registry trouble {}, slowness {}, staleness {}, away {}; disk trouble {}",
            self._registry.trouble,
            self._registry.slowness,
            self._registry.staleness,
            self._registry.away,
            self._disk.trouble,
        )

    def _mend(self) -> None:
        self._registry.missing_blobs.clear()
        self.chronicle.note("all blobs are there")

    def _hide(self) -> None:
        """A registry that is being restored: for less than what two looks are apart."""
        device = self._chance.choice(DEVICES)
        for tag in sorted(self._registry.tags_of[device]):
            self._registry.hide(device, tag, self._chance.choice([1.0, 8.0]))
        self._send(senders.somewhere(device))

    def _cut(self) -> None:
        if self._may_cut:
            self._disk.cut()

    def _cut_soon(self) -> None:
        if self._may_cut:
            self._disk.cut_in = self._chance.randrange(40)

    def _send(self, hook: Hook) -> None:
        """Lost, once, or twice; at once, or later than the next one."""
        for _ in range(self._chance.choice([0, 1, 1, 1, 2])):
            self._later(self._deliver(hook, self._chance.choice([0.0, 0.2, 5.0, 20.0])))

    async def _deliver(self, hook: Hook, delay: float = 0.0) -> None:
        if delay:
            await asyncio.sleep(delay)
        if self._disk.is_off:
            return
        self.chronicle.note("hook {}", hook)
        began, program = self._clock(), self._program
        answer = await program.wire.post(hook.path, hook.headers, hook.body)
        if answer.status != hook.status or self._clock() != began:
            raise Broken(f"4: {hook} was answered {answer} after {self._clock() - began} s")

    async def _poll(self, device: Device, channel: str) -> None:
        if not self._disk.is_off:
            await self._promises.poll(device, channel, self._chance)

    def _later(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(what)
        self._under_way.add(task)

    # The machine

    async def _start(self) -> None:
        """Start the server, as often as the power goes while it starts."""
        while True:
            self._program = self._parts.program(self._registry, self._disk, self._chance)
            self._promises.program, self._promises.disk = self._program, self._disk
            self.chronicle.note("the server starts")
            try:
                await self._program.restore()
                await self._program.load()
                break
            except PowerCut:
                self.chronicle.note("the power goes while it starts")
                self._disk.power_on()
                self.crashes += 1
        self._program.catalog.listen(self._promises.hear)
        await self._program.wire.open()
        self._life = asyncio.ensure_future(self._program.run())
        self._disk.on_cut = self._life.cancel

    async def _stop(self) -> None:
        assert self._life is not None
        self._life.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup, PowerCut):
            await self._life

    async def _after_step(self) -> None:
        for task in [task for task in self._under_way if task.done()]:
            self._under_way.discard(task)
            task.result()
        device, channel = self._chance.choice(DEVICES), self._chance.choice(EVERY_CHANNEL)
        self._later(self._poll(device, channel))
        await asyncio.sleep(0.001)
        self._promises.check()
        assert self._life is not None
        off = self._disk.is_off
        if self._life.done() and not off:
            self._life.result()
        if off:
            await self._stop()
            await self._restart()
            self._promises.check()

    async def _restart(self) -> None:
        """The power is back."""
        self.crashes += 1
        self.chronicle.note("the power went, and is back")
        possible = self._promises.possible()
        self._disk.power_on()
        trouble, self._disk.trouble = self._disk.trouble, 0.0
        await self._start()
        self._disk.trouble = trouble
        self._promises.check_restart(possible)

    # Peace

    async def _make_peace(self) -> None:
        """All faults end, moved tags are made whole, and each device has one last hook."""
        self.chronicle.note("peace: all faults end")
        registry = self._registry
        registry.trouble = registry.staleness = self._disk.trouble = 0.0
        registry.away = False
        if self._may_cut:
            self._disk.cut_in = None
        registry.missing_blobs.clear()
        await asyncio.sleep(25.0)  # late hooks arrive
        await self._after_step()
        for device in DEVICES:
            for tag, content in sorted(registry.tags_of[device].items()):
                if not content.good and self._chance.random() < 0.5:
                    registry.put(device, tag, self._content(good=True))
                elif not content.good:
                    registry.delete(device, tag)
        for device in DEVICES:
            await self._deliver(senders.removed(device))
        await asyncio.sleep(2 * SETTLES_IN / 3)  # what was deleted is withdrawn
        registry.slowness = 4.0
        for device in DEVICES:
            await self._deliver(senders.somewhere(device))
        await asyncio.sleep(self._chance.random() * 6)
        # The last faults: they end before long, and no hook comes after that.
        registry.staleness = self._chance.choice([0.0, 2 * SETTLES_IN])
        registry.away = self._chance.random() < 0.3
        registry.trouble = self._chance.choice([0.0, 0.0, 1.0])
        self._later(self._heal(self._chance.random() * 8))
        for device in DEVICES:
            await self._last_word(device)

    async def _heal(self, delay: float) -> None:
        await asyncio.sleep(delay)
        self._registry.away, self._registry.trouble = False, 0.0

    async def _last_word(self, device: Device) -> None:
        """The last push or delete of a device, and its hook, which may come before it."""
        registry, tag = self._registry, self._chance.choice(ORDERED)
        is_stale = registry.staleness > 0  # what is deleted would be listed on
        if not is_stale and self._chance.random() < 0.3 and tag in registry.tags_of[device]:
            registry.delete(device, tag)
            await self._deliver(senders.removed(device))
            return
        content = self._content(good=is_stale or self._chance.random() < 0.8)
        hook = self._pushed(device, tag, content)
        # That a tag will move is seen by a hook that names the digest.
        says = tag not in registry.tags_of[device] or str(content.top.digest).encode() in hook.body
        if content.good and says and self._chance.random() < 0.3:
            self._later(self._put(device, tag, content, self._chance.choice(AHEAD)))
        else:
            registry.put(device, tag, content)
            if not content.good:
                registry.delete(device, tag)
                await self._deliver(senders.removed(device))
        await self._deliver(hook)

    async def _begin_anew(self) -> None:
        """5: another server with an empty folder comes to tell the same."""
        self._registry.staleness = 0.0
        self._disk = self._parts.disk(self._chance)
        self.chronicle.note("another server begins with an empty folder")
        self._promises = Promises(self._registry, self._clock, self.chronicle)
        await self._start()
        await asyncio.sleep(SETTLES_IN)
        self._promises.check()
        self._promises.check_settled("from an empty folder")
        await self._stop()


async def simulate(seed: int, parts: Parts, steps: int, cut_at: int | None = None) -> int:
    """One seed; returns how many crashes there were.

    Raises `Broken`, which names the seed and the last things that happened.

    `cut_at` is an operation of the disk, counted from the first start, at which the power goes.
    """
    world = World(seed, parts)
    try:
        await world.live(steps, cut_at)
    except Broken as error:
        at = "" if cut_at is None else f", power cut at operation {cut_at}"
        raise Broken(f"seed {seed}{at}: {error}\nWhat happened last:\n{world.chronicle}") from None
    return world.crashes
