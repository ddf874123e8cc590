"""What happens in one seeded run, and what must hold after each step.

Pushes, moved and deleted tags, hooks that are lost, doubled, late and out of order, a registry in
trouble, a full disk, and crashes at any operation of the disk; then peace, and everybody has to
be told what the registry says. Numbers in names of checks are those of "What must always hold".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from otaflux.model.artifact import Digest
from otaflux.model.event import Priority, Touch
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.workqueue import WorkQueue
from simulation.disk import MemoryDisk, PowerCut
from simulation.program import CHANNELS, Program
from simulation.registry import Content, SimulatedRegistry

DEVICES = tuple(Device(name) for name in ("lamp", "lamp/kitchen", "pump"))
STRANGER = Device("nobody")
# Ordered by hand, lowest first, so that no rule of the program is needed to know the highest.
ORDERED = tuple(
    Tag(text)
    for text in ("0.9.0", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "v1.0.0", "1.0.0_b2", "1.2.0-rc.1")
)
PRE = {Tag("1.0.0-rc.2"), Tag("1.0.0-rc.10"), Tag("1.2.0-rc.1")}
OTHERS = (Tag("latest"), Tag("1.0"), Tag("2.0.0-beta.1"))
SETTLES_IN = 100.0  # seconds: the longest backoff, two looks for a withdrawal, and runs

NO_DIGEST = Digest("sha256", "0" * 64)

Told = tuple[Tag, Digest, Digest]


class Broken(AssertionError):
    """Something that must always hold did not."""


@dataclass(frozen=True)
class Parts:
    """Which parts to build with; a test puts a broken one in."""

    disk: type[MemoryDisk] = MemoryDisk
    registry: type[SimulatedRegistry] = SimulatedRegistry
    queue: type[WorkQueue] = WorkQueue


def _told(release: Release | None) -> Told | None:
    if release is None:
        return None
    return release.tag, release.manifest_digest, release.firmware.firmware_digest


class World:
    """One registry, one machine, and everything that happens to them."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self._clock = asyncio.get_running_loop().time
        self._chance = random.Random(seed)
        self._parts = parts
        self._registry = parts.registry((*DEVICES, STRANGER), self._chance, self._clock)
        self._disk = parts.disk(self._chance)
        self._number = 0
        self._hooks: set[asyncio.Task[None]] = set()
        self._may_cut = True
        self._told: dict[tuple[Device, str], Release | None] = {}
        self._since: dict[tuple[Device, str], float] = {}  # when the tag began to be told
        self._broken: list[str] = []
        self._program: Program
        self._life: asyncio.Task[None] | None = None
        self.crashes = 0

    async def live(self, steps: int, cut_at: int | None) -> None:
        """Let so many things happen, then see to it that all is well."""
        self._disk.cut_in = cut_at
        self._may_cut = cut_at is None
        self._start()
        for _ in range(steps):
            self._happen()
            await asyncio.sleep(self._chance.choice([0.0, 0.01, 0.3, 2.0, 12.0, 40.0]))
            await self._after_step()
        await self._make_peace()
        before = self.crashes
        await asyncio.sleep(SETTLES_IN)
        await self._after_step()
        if self.crashes > before:
            await asyncio.sleep(SETTLES_IN)
        self._check_settled("after all")
        await self._stop()
        await self._begin_anew()

    # What happens

    def _happen(self) -> None:
        self._chance.choices(
            [
                self._push,
                self._delete,
                self._noise,
                self._weather,
                self._mend,
                self._cut_soon,
                self._cut,
            ],
            [10, 3, 2, 3, 2, 2, 1],
        )[0]()

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
        self._registry.put(device, tag, content)
        self._hook(device, tag)

    def _content(self, *, good: bool) -> Content:
        self._number += 1
        return Content(self._number, good)

    def _delete(self) -> None:
        device = self._chance.choice(DEVICES)
        tags = sorted(self._registry.tags_of[device])
        if tags:
            tag = self._chance.choice(tags)
            self._registry.delete(device, tag)
            self._hook(device)

    def _noise(self) -> None:
        """A hook that names a tag which nobody pushed; a poll, perhaps a stranger's."""
        self._hook(self._chance.choice(DEVICES), self._chance.choice((*ORDERED, Tag("9.9.9"))))
        device = self._chance.choice((*DEVICES, STRANGER))
        _ = self._program.queue.touch(Touch(device, Priority.FIRST_POLL))

    def _weather(self) -> None:
        self._registry.trouble = self._chance.choice([0.0, 0.1, 0.5])
        self._registry.slowness = self._chance.choice([0.0, 0.5, 4.0])
        self._registry.staleness = self._chance.choice([0.0, 3.0, 60.0])
        self._registry.away = self._chance.random() < 0.2
        self._disk.trouble = self._chance.choice([0.0, 0.1, 0.3])

    def _mend(self) -> None:
        self._registry.missing_blobs.clear()

    def _cut(self) -> None:
        if self._may_cut:
            self._disk.cut()

    def _cut_soon(self) -> None:
        if self._may_cut:
            self._disk.cut_in = self._chance.randrange(40)

    def _hook(self, device: Device, *tags: Tag) -> None:
        """Lost, once, or twice; at once, or later than the next one's."""
        for _ in range(self._chance.choice([0, 1, 1, 1, 2])):
            self._later(self._deliver(device, tags, self._chance.choice([0.0, 0.2, 5.0, 20.0])))

    async def _deliver(self, device: Device, tags: tuple[Tag, ...], delay: float) -> None:
        await asyncio.sleep(delay)
        self._touch(device, tags)

    def _touch(self, device: Device, tags: tuple[Tag, ...]) -> None:
        self._program.wake.name(device)
        _ = self._program.queue.touch(Touch(device, Priority.HOOK, ("hook",), self._clock(), tags))

    def _later(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(what)
        self._hooks.add(task)
        task.add_done_callback(self._hooks.discard)

    # The machine

    def _start(self) -> None:
        """Start the server, as often as the power goes while it starts."""
        while True:
            self._program = Program(
                self._registry, self._disk, self._chance, self._hear, self._parts.queue
            )
            try:
                self._program.start()
                break
            except PowerCut:
                self._disk.power_on()
                self.crashes += 1
        self._life = asyncio.ensure_future(self._program.run())
        self._disk.on_cut = self._life.cancel

    async def _stop(self) -> None:
        assert self._life is not None
        self._life.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup, PowerCut):
            await self._life

    async def _after_step(self) -> None:
        if self._program.overlaps:
            raise Broken(f"9: two runs of {self._program.overlaps[0]} at once")
        if self._program.bugs:
            raise Broken(f"8: {self._program.bugs[0]!r}") from self._program.bugs[0]
        assert self._life is not None
        off = self._disk.is_off
        if self._life.done() and not off:
            self._life.result()
        if off:
            await self._stop()
            self._restart()
        if self._broken:
            raise Broken(self._broken[0])

    def _restart(self) -> None:
        """6: after a crash, what was told is told again, whole, without the registry."""
        self.crashes += 1
        under_way = self._program.catalog.under_way
        self._disk.power_on()
        trouble, self._disk.trouble = self._disk.trouble, 0.0
        self._start()
        self._disk.trouble = trouble
        self._check_swept()
        for device in DEVICES:
            record = self._program.catalog.get(device)
            for channel in (STABLE, *CHANNELS):
                now = record.current(channel) if record else None
                able = [self._told.get((device, channel))]
                able += [put.current(channel) for put in under_way.get(device, ())]
                if _told(now) not in map(_told, able):
                    self._broken.append(
                        f"6: {device} {channel} was told {_told(able[0])},"
                        f" and {_told(now)} after a crash"
                    )
                if now is not None:
                    self._check_whole(now)
                    if able[0] is None or able[0].tag != now.tag:
                        self._since[device, channel] = self._clock()
                self._told[device, channel] = now

    # What must always hold

    def _hear(self, device: Device, record: Record | None) -> None:
        """In the step of each publish, before anybody can be told."""
        for channel in (STABLE, *CHANNELS):
            now = record.current(channel) if record else None
            before = self._told.get((device, channel))
            self._told[device, channel] = now
            if _told(now) == _told(before):
                continue
            if now is not None:
                self._check_published(device, channel, now)
            if before is not None and (now is None or _rank(now.tag) < _rank(before.tag)):
                told_for = self._clock() - self._since[device, channel]
                if self._registry.there_for(device, before.tag) >= told_for:
                    self._broken.append(
                        f"5: {device} {before.tag} was withdrawn, and was never away since told"
                    )
            if now is not None and (before is None or now.tag != before.tag):
                self._since[device, channel] = self._clock()

    def _check_published(self, device: Device, channel: str, release: Release) -> None:
        pushed = (device, release.tag, release.manifest_digest, release.firmware.firmware_digest)
        if pushed not in self._registry.pushed:
            self._broken.append(f"3: {release} was never in the registry")
        if not self._registry.contents[release.manifest_digest].good:
            self._broken.append(f"3: {release} cannot be served")
        if release.tag in OTHERS or (channel == STABLE and release.tag in PRE):
            self._broken.append(f"4: {release} is not for {channel}")
        self._check_whole(release)

    def _check_whole(self, release: Release) -> None:
        path = self._program.store.path(release.firmware.firmware_digest)
        if self._disk.platter(path) != self._registry.contents[release.manifest_digest].data:
            self._broken.append(f"6: {release} is told, and its file would not survive a crash")

    def _check_swept(self) -> None:
        """7: after a start, no file lies there that nobody names."""
        held = {
            release.firmware.firmware_digest.hex
            for record in self._program.catalog.records()
            for release in record.held()
        }
        lying = set(self._disk.live_names(self._program.store.path(NO_DIGEST).parent))
        if lying != held:
            self._broken.append(f"7: {lying ^ held} are left over or missing after a start")

    # Peace

    async def _make_peace(self) -> None:
        """All faults end, moved tags are made whole, and each device has one last hook."""
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
        registry.slowness = 4.0
        for device in DEVICES:
            self._touch(device, ())
        await asyncio.sleep(self._chance.random() * 6)
        for device in DEVICES:
            tag = self._chance.choice(ORDERED)
            if self._chance.random() < 0.7 or tag not in registry.tags_of[device]:
                registry.put(device, tag, self._content(good=self._chance.random() < 0.8))
                if not registry.tags_of[device][tag].good:
                    registry.delete(device, tag)
            else:
                registry.delete(device, tag)
            self._touch(device, (tag,))

    def _should_be_told(self, device: Device, channel: str) -> Told | None:
        """5: a function of the registry alone, written without any rule of the program."""
        tags = self._registry.tags_of[device]
        for tag in reversed(ORDERED):
            if tag in tags and tags[tag].good and (channel != STABLE or tag not in PRE):
                content = tags[tag]
                return tag, content.manifest.digest, content.firmware_digest
        return None

    def _check_settled(self, when: str) -> None:
        if self._program.queue.unreachable or len(self._program.queue):
            raise Broken(f"9: {when}, {len(self._program.queue)} keys wait")
        if self._program.catalog.get(STRANGER) is not None:
            raise Broken(f"7: {when}, there is a record of a device that has no release")
        for device in DEVICES:
            record = self._program.catalog.get(device)
            for channel in (STABLE, *CHANNELS):
                told = _told(record.current(channel) if record else None)
                should = self._should_be_told(device, channel)
                if told != should:
                    raise Broken(f"5: {when}, {device} {channel} is told {told}, not {should}")

    async def _begin_anew(self) -> None:
        """5: another server with an empty folder comes to tell the same."""
        self._disk = self._parts.disk(self._chance)
        self._told.clear()
        self._start()
        await asyncio.sleep(SETTLES_IN)
        self._check_settled("from an empty folder")
        await self._stop()


def _rank(tag: Tag) -> int:
    return ORDERED.index(tag)


async def simulate(seed: int, parts: Parts, steps: int, cut_at: int | None = None) -> int:
    """One seed; answers how many crashes there were. Raises `Broken`, which names the seed.

    `cut_at` is an operation of the disk, counted from the first start, at which the power goes.
    """
    world = World(seed, parts)
    try:
        await world.live(steps, cut_at)
    except Broken as error:
        at = "" if cut_at is None else f", power cut at operation {cut_at}"
        raise Broken(f"seed {seed}{at}: {error}") from None
    return world.crashes
