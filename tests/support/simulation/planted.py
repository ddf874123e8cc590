"""Deliberate bugs, each in one part: the simulation has to find every one of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from msgspec import structs

from otaflux.errors import Undecided
from otaflux.model.artifact import Artifact, Descriptor, Digest, Gone, Listing
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.policy import Policy
from otaflux.registry.source import Unchanged
from otaflux.work.outcome import Outcome
from simulation.disk import File, MemoryDisk
from simulation.program import FEW_LOOKS, Program
from simulation.registry import SimulatedRegistry
from simulation.signatures import Keys


class ForgetfulDisk(MemoryDisk):
    """Whoever syncs a file is told that it is done, and it is not."""

    def sync_file(self, file: File) -> None:
        """Do nothing."""


class ForgetfulProgram(Program):
    """A touch of a device that is being worked on is dropped."""

    def touch(self, touch: Touch) -> asyncio.Future[Outcome]:
        """Drop it."""
        if touch.device in self.busy:
            return asyncio.get_running_loop().create_future()
        return super().touch(touch)


class HastyProgram(Program):
    """What is merely missing is withdrawn after ten seconds, though nobody said that it went."""

    def __init__(
        self, registry: SimulatedRegistry, disk: MemoryDisk, chance: random.Random
    ) -> None:
        super().__init__(registry, disk, chance, replace(FEW_LOOKS, withdraw_after=0.0))


class CredulousProgram(Program):
    """Any hook counts as the word that something was deleted."""

    def touch(self, touch: Touch) -> asyncio.Future[Outcome]:
        """Believe it."""
        return super().touch(replace(touch, deletion=touch.priority is Priority.HOOK))


class NostalgicProgram(Program):
    """What left is kept again, though its tag moved to other bytes."""

    async def bring_up_to_date(self, touch: Touch) -> Outcome:
        """Keep it after each run."""
        outcome = await super().bring_up_to_date(touch)
        record = self.catalog.get(touch.device)
        if record is not None and record.channels:
            taken = {release.tag for release in record.served()}
            left = [x.release for x in record.retired if x.moved and x.release.tag not in taken]
            if left and not record.kept:
                await self.catalog.put(replace(record, kept=(left[-1],)))
        return outcome


class FallingProgram(Program):
    """Channels fall, whatever the settings say."""

    def __init__(
        self,
        registry: SimulatedRegistry,
        disk: MemoryDisk,
        chance: random.Random,
        rules: Policy = FEW_LOOKS,
        keys: Keys | None = None,
    ) -> None:
        super().__init__(registry, disk, chance, replace(rules, never_fall=False), keys=keys)


class AmnesicProgram(Program):
    """What is told on though its tag is gone is told until the next start."""

    async def load(self) -> None:
        """Leave it out, and that it was told."""
        await super().load()
        for record in list(self.catalog.records()):
            channels = {name: each for name, each in record.channels.items() if not each.withdrawn}
            if len(channels) < len(record.channels):
                self.catalog.lose(replace(record, channels=channels, floors={}))


class SilentRegistry(SimulatedRegistry):
    """An error while signatures are asked for counts as there being none."""

    async def attached(self, device: Device, digest: Digest) -> tuple[Descriptor, ...]:
        """Swallow it."""
        try:
            return await super().attached(device, digest)
        except Undecided:
            return ()


class DeafRegistry(SimulatedRegistry):
    """That it only caches another is not heard."""

    is_cache = True

    async def tags(self, device: Device) -> Listing:
        """Leave it out."""
        return structs.replace(await super().tags(device), is_cache=False)


class CredulousRegistry(SimulatedRegistry):
    """What a listing lacks counts as gone, though the listing may be old."""

    def __init__(
        self, devices: Sequence[Device], chance: random.Random, clock: Callable[[], float]
    ) -> None:
        super().__init__(devices, chance, clock)
        self._listed: dict[Device, frozenset[Tag]] = {}

    async def tags(self, device: Device) -> Listing:
        """Remember what was listed."""
        listing = await super().tags(device)
        self._listed[device] = frozenset(listing.tags)
        return listing

    async def resolve(
        self, device: Device, reference: Tag | Digest, *, known: Digest | None = None
    ) -> Artifact | Unchanged | Gone:
        """Ask the listing instead of the registry."""
        answer = await super().resolve(device, reference, known=known)
        return (
            Gone()
            if isinstance(reference, Tag) and reference not in self._listed[device]
            else answer
        )
