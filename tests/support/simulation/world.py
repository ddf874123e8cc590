"""What happens in one seeded run: one registry, one machine, and everything that befalls them.

Pushes, moved and deleted tags, hooks, polls, a registry in trouble, a full disk, and crashes at any
operation of the disk (`luck.py`); then peace, and everybody has to be told what the registry says.
What must hold meanwhile is in `promises.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from otaflux.model.names import Device
from simulation import senders
from simulation.chronicle import Chronicle
from simulation.disk import MemoryDisk, PowerCut
from simulation.luck import AHEAD, Luck
from simulation.program import NEVER_FALL, RECHECK, Program
from simulation.promises import (
    DEVICES,
    EVERY_CHANNEL,
    GHOST,
    ORDERED,
    STRANGER,
    Broken,
    Promises,
)
from simulation.registry import SimulatedFolder, SimulatedRegistry
from simulation.senders import Hook
from simulation.signatures import Keys

LATE = (0.0, 1.0, 9.0, 30.0)  # seconds after which a last signature comes, without a hook
CACHES = 0.2  # of the registries say that they only cache another
# Seconds: the longest backoff, two looks for a withdrawal, and runs, of which one at a slow
# registry that gave its place back goes on after four times as long.
SETTLES_IN = 100.0
# Happenings in one run, and how often: the short ones are quick and find most of what is wrong,
# the long ones find what takes several things to go wrong one after the other.
LENGTHS = {6: 4, 12: 3, 24: 2, 48: 2, 96: 1}
# Seconds, and how often; after the longest no release lingers.
PAUSES = {0.0: 9, 0.01: 9, 0.3: 9, 2.0: 9, 12.0: 9, 40.0: 9, 1000.0: 1}


@dataclass(frozen=True)
class Parts:
    """Which parts to build with; a test puts a broken one in. None is either kind of registry.

    With `never_fall` the settings say so, and the registry does what makes channels fall. With
    `keys` all has to be signed, signatures come late, or not, or lie beside what they do not sign,
    and go, and keys change.
    """

    disk: type[MemoryDisk] = MemoryDisk
    registry: type[SimulatedRegistry] | None = None
    program: type[Program] = Program
    never_fall: bool = False
    keys: type[Keys] | None = None


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
        self._registry = kind((*DEVICES, STRANGER, GHOST), self._chance, self._clock)
        if not kind.is_authoritative and self._chance.random() < CACHES:
            self._registry.is_cache = True
        self._registry.note = self.chronicle.note
        self._keys = parts.keys("a", clock=self._clock) if parts.keys else None
        # With keys signatures are asked for, too, and a run that went on once may have to again.
        self._settles_in = SETTLES_IN * (4 if parts.keys else 1)
        self._disk = parts.disk(self._chance)
        self._promises = self._new_promises()
        self._under_way: set[asyncio.Task[None]] = set()
        self._luck = Luck(
            self._registry,
            self._disk,
            self._chance,
            self.chronicle,
            deliver=self._deliver,
            ask_for_stranger=lambda: self._poll(STRANGER, EVERY_CHANNEL[0]),
            later=self._later,
            replays=parts.never_fall,
            keys=self._keys,
        )
        self._all_are_named = self._chance.random() < 0.5
        self._program: Program
        self._life: asyncio.Task[None] | None = None
        self.crashes = 0

    async def live(self, steps: int, cut_at: int | None) -> None:
        """Let so many things happen, then see to it that all is well."""
        self._disk.cut_in = cut_at
        self._luck.may_cut = cut_at is None
        await self._start()
        for _ in range(steps):
            self._luck.happen()
            pause = self._chance.choices([*PAUSES], [*PAUSES.values()])[0]
            await asyncio.sleep(max(pause, self._luck.night))
            self._luck.night = 0.0
            await self._after_step()
        await self._make_peace()
        await self._pass(self._settles_in)
        self._promises.check_settled("after all")
        for device in DEVICES:
            await self._deliver(senders.somewhere(device))
        await self._pass(self._settles_in)
        when = "after one more look"
        self._promises.check_settled(when)
        await self._promises.check_pins(when, all_were_named=self._all_are_named)
        await self._stop()
        if cut_at is None:  # else another run had the same registry already
            await self._begin_anew()

    async def _pass(self, seconds: float) -> None:
        """Let all settle; where the power goes the second look at what is missing takes long.

        That a tag is gone from a cache is believed by a hook alone, and the power took the last
        one: whoever deleted it says so again.
        """
        before = self.crashes
        await asyncio.sleep(seconds)
        await self._after_step()
        if self.crashes > before:
            for device in DEVICES if self._registry.is_cache else ():
                await self._deliver(senders.removed(device))
            await asyncio.sleep(1.1 * RECHECK + self._settles_in)

    # Hooks and polls

    async def _deliver(self, hook: Hook, delay: float = 0.0) -> None:
        if delay:
            await asyncio.sleep(delay)
        if not self._listens():
            return
        self.chronicle.note("hook {}", hook)
        began, program = self._clock(), self._program
        if hook.deletion is not None and hook.status == 202:
            program.hear_of_deletion(hook.deletion)
        answer = await program.wire.post(hook.path, hook.headers, hook.body)
        if answer.status != (hook.status or answer.status) or self._clock() != began:
            raise Broken(f"4: {hook} was answered {answer} after {self._clock() - began} s")

    async def _poll(self, device: Device, channel: str) -> None:
        if self._listens():
            await self._promises.poll(device, channel, self._chance)

    def _later(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(what)
        self._under_way.add(task)

    def _listens(self) -> bool:
        """Whether a connection would be taken: the machine is on, and the server has started."""
        return self._life is not None and not self._disk.is_off

    # The machine

    async def _start(self) -> None:
        """Start the server, as often as the power goes while it starts."""
        self._life = None
        while True:
            more: dict[str, Any] = {"rules": NEVER_FALL} if self._parts.never_fall else {}
            if self._keys is not None:
                more["keys"] = self._keys
            self._program = self._parts.program(self._registry, self._disk, self._chance, **more)
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

    def _new_promises(self) -> Promises:
        never_fall = self._parts.never_fall
        return Promises(
            self._registry, self._clock, self.chronicle, never_fall=never_fall, keys=self._keys
        )

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
        if self._luck.may_cut:
            self._disk.cut_in = None
        registry.missing_blobs.clear()
        registry.show_all()
        registry.signatures.show_all()
        registry.withheld.clear()
        self._disk.set_clock(0.0)
        await asyncio.sleep(25.0)  # late hooks arrive
        await self._after_step()
        for device in DEVICES:
            for tag, content in sorted(registry.tags_of[device].items()):
                if self._promises.is_usable(content):
                    continue
                if self._chance.random() < 0.5:
                    registry.put(device, tag, self._luck.usable())
                else:
                    registry.delete(device, tag)
        for device in (*DEVICES, GHOST):
            await self._deliver(senders.removed(device))
        await asyncio.sleep(2 * self._settles_in / 3)  # what was deleted is withdrawn
        registry.slowness = 4.0
        for device in DEVICES:
            await self._tell_all(device)
        await asyncio.sleep(self._chance.random() * 6)
        # The last faults: they end before long, and no hook comes after that.
        registry.staleness = self._chance.choice([0.0, 2 * self._settles_in])
        registry.away = self._chance.random() < 0.3
        registry.trouble = self._chance.choice([0.0, 0.0, 1.0])
        self._later(self._heal(self._chance.random() * 8))
        for device in DEVICES:
            await self._last_word(device)

    async def _tell_all(self, device: Device) -> None:
        """Hooks for each tag of a device, or one that says nothing of them."""
        await self._deliver(senders.somewhere(device))
        if self._all_are_named:
            for tag, content in sorted(self._registry.tags_of[device].items()):
                await self._deliver(self._luck.pushed(device, tag, content))

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
        if is_stale or self._chance.random() < 0.8:
            content = self._luck.usable(late=LATE)
        else:
            content = self._luck.content(good=False)
        hook = self._luck.pushed(device, tag, content)
        # That a tag will move is seen by a hook that names the digest.
        says = tag not in registry.tags_of[device] or str(content.top.digest).encode() in hook.body
        if content.good and says and self._chance.random() < 0.3:
            self._later(self._luck.put_later(device, tag, content, self._chance.choice(AHEAD)))
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
        self._promises = self._new_promises()
        await self._start()
        await asyncio.sleep(self._settles_in)
        self._promises.check()
        self._promises.check_settled("from an empty folder")
        await self._stop()


def length_of(seed: int) -> int:
    """How many things happen in a seed's run."""
    chance = random.Random(f"the length of {seed}")
    return chance.choices([*LENGTHS], [*LENGTHS.values()])[0]


async def simulate(
    seed: int, parts: Parts, *, steps: int | None = None, cut_at: int | None = None
) -> int:
    """One seed; returns how many crashes there were.

    Raises `Broken`, which names the seed and the last things that happened.

    `steps` are as many as `length_of` says, unless they are given. `cut_at` is an operation of the
    disk, counted from the first start, at which the power goes.
    """
    world = World(seed, parts)
    try:
        await world.live(length_of(seed) if steps is None else steps, cut_at)
    except Broken as error:
        at = "" if cut_at is None else f", power cut at operation {cut_at}"
        raise Broken(f"seed {seed}{at}: {error}\nWhat happened last:\n{world.chronicle}") from None
    return world.crashes
