"""A server with one device, brought up to date step by step, in virtual time.

The registry, the disk and the clock are the simulation's; everything else is the server's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from simulation.disk import MemoryDisk
from simulation.loop import run_virtually
from simulation.program import FOLDER, RULES, Program
from simulation.registry import Content, Shape, SimulatedRegistry
from simulation.signatures import Keys

from otaflux.files.disk import OpenFile
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.policy import Policy

LAMP = Device("lamp")
KEEPS = replace(RULES, keep_versions=2)
V1, V2, V3, RC = Tag("1.0.0"), Tag("2.0.0"), Tag("3.0.0"), Tag("4.0.0-rc.1")


class FullDisk(MemoryDisk):
    """No record can be written while it is `full`, but firmware can; see `stuck`."""

    full = False
    stuck = False  # nothing can be removed

    def unlink(self, path: Path) -> None:
        """Refuse it, or do it."""
        if self.stuck:
            raise OSError(30, "Read-only file system")
        super().unlink(path)

    def create(self, path: Path) -> OpenFile:
        """Refuse it, or do it."""
        if self.full and path.parent == FOLDER.catalog:
            raise OSError(28, "No space left on device")
        return super().create(path)


class Lamp:
    """A server that has one device, and the registry that it looks at."""

    def __init__(self, rules: Policy) -> None:
        clock = asyncio.get_running_loop().time
        chance = random.Random(1)
        self.registry = SimulatedRegistry((LAMP,), chance, clock)
        self.disk = FullDisk(chance)
        self._chance = chance
        self.program = Program(self.registry, self.disk, chance, rules)
        self.clock = clock
        self._number = 0
        self.heard: list[str | None] = []  # what the stable channel is told, each time it changes

    async def begin(self) -> None:
        """Start it, without its timer: nobody looks but who is told to."""
        await self.program.restore()
        await self.program.load()
        self.program.catalog.listen(lambda *_: self._hear())

    async def restart(self, rules: Policy, keys: Keys | None = None) -> None:
        """End it, and start another on the same disk."""
        self.program = Program(self.registry, self.disk, self._chance, rules, keys=keys)
        await self.begin()

    def _hear(self) -> None:
        told = self.told()
        if not self.heard or self.heard[-1] != told:
            self.heard.append(told)

    def push(self, tag: Tag, shape: Shape = Shape.PLAIN, **annotations: str) -> Content:
        """Push a tag, or move it."""
        self._number += 1
        content = Content(self._number, shape, annotations)
        self.registry.put(LAMP, tag, content)
        return content

    def sign(self, content: Content, by: str = "a") -> None:
        """Sign what was pushed."""
        self.registry.signatures.sign(content.top.digest, by)

    def told(self, channel: str = "stable") -> str | None:
        """The tag that a channel is told."""
        record = self.program.catalog.get(LAMP)
        release = record.current(channel) if record else None
        return release.tag.text if release else None

    def kept(self) -> list[str]:
        """The tags of the releases that are kept besides."""
        record = self.program.catalog.get(LAMP)
        return [release.tag.text for release in record.kept] if record else []

    def has(self, content: Content) -> bool:
        """Whether its firmware lies on disk."""
        return self.disk.seen(self.program.store.path(content.firmware_digest)) is not None

    async def look(
        self, *tags: Tag, priority: Priority = Priority.RECHECK, deletion: bool = False
    ) -> object:
        """One run, for that reason; returns its outcome, or raises the error that it ended with."""
        priority = Priority.HOOK if deletion else priority
        since = self.clock() if priority is Priority.HOOK else None
        touch = Touch(LAMP, priority, ("hook",) if since else (), since, tags, deletion=deletion)
        return await self.program.bring_up_to_date(touch)


def lamp(test: Callable[[Lamp], Awaitable[None]], rules: Policy = KEEPS) -> None:
    """Run a test over a lamp."""

    async def main() -> None:
        rig = Lamp(rules)
        await rig.begin()
        await test(rig)

    run_virtually(main())
