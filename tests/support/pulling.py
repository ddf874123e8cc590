"""A `Puller` between a fake registry and a real store, for tests of what it makes of tags.

    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", b"firmware")
        look = await pulls.look("1.0.0")
        assert pulls.files() == [look.release.firmware.firmware_digest.hex]

`blobs()` and `manifests()` count the requests of each kind so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fake_content import Layer
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.files.disk import REAL_DISK, Disk
from otaflux.machine import Machine
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority
from otaflux.model.look import Look, Unfit, Usable
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record, Standing, Verdict
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.reconcile.fetch import WRITE_BACK
from otaflux.reconcile.pull import Puller
from otaflux.registry.source import Source
from otaflux.state.store import Store
from otaflux.threads import InThread
from otaflux.unpack.limits import Limits

LIMITS = Limits(2_000_000, 8_000_000)
JUDGED_BY = "otaflux of the tests"
NOTHING = Record(SENSOR, "fake", "acme")


class Pulls:
    """The parts, and what tests ask them."""

    def __init__(self, registry: FakeRegistry, source: Source, store: Store, puller: Puller):
        self.registry = registry
        self.source = source
        self.store = store
        self.puller = puller

    def put(self, tag: str, *layers: bytes | Layer, device: str = "sensor", **more: Any) -> Digest:
        """Push; answers the manifest's digest."""
        return self.registry.content.put(f"acme/{device}", tag, layers=layers, **more)

    async def look(
        self,
        tag: str,
        record: Record = NOTHING,
        *,
        device: Device = SENSOR,
        priority: Priority = Priority.RECHECK,
        puller: Puller | None = None,
    ) -> Look:
        """What a tag is, as a run of the reconciler asks."""
        with self.store.claims() as claims:
            return await (puller or self.puller).look(
                device,
                Tag(tag),
                Version.parse(tag),
                record=record,
                priority=priority,
                claims=claims,
            )

    async def usable(self, tag: str, record: Record = NOTHING) -> Release:
        """The release that a look has to find."""
        look = await self.look(tag, record)
        assert isinstance(look, Usable), look
        return look.release

    def files(self) -> list[str]:
        """All names in the store, the temporary ones too."""
        folder = self.store.path(Digest("sha256", "0" * 64)).parent
        return sorted(path.name for path in folder.iterdir())

    def blobs(self) -> int:
        """How many requests for blobs there were."""
        return len(self.registry.seen("blob"))

    def manifests(self) -> int:
        """How many requests for manifests there were."""
        return len(self.registry.seen("manifest"))


def telling(release: Release, **more: Any) -> Record:
    """A record that tells that release."""
    channels = MappingProxyType({STABLE: Standing(release, 1.0)})
    return Record(release.device, "fake", "acme", channels, ever_synced=True, **more)


def judging(tag: str, look: Look, judged_by: str = JUDGED_BY) -> Record:
    """A record that tells nothing, and holds a verdict on that tag."""
    assert isinstance(look, Unfit), look
    verdict = Verdict(Tag(tag), look.manifest_digest, look.reason, judged_by)
    return Record(SENSOR, "fake", "acme", verdicts=(verdict,), ever_synced=True)


@asynccontextmanager
async def pulling(
    folder: Path,
    *,
    disk: Disk = REAL_DISK,
    limits: Limits = LIMITS,
    in_thread: InThread = asyncio.to_thread,
    write_back: float = WRITE_BACK,
) -> AsyncIterator[Pulls]:
    """A puller into a store in that folder."""
    machine = Machine(disk=disk, in_thread=in_thread, in_yielding_thread=in_thread)
    store = Store(folder, machine=machine)
    store.prepare()
    async with FakeRegistry() as registry, remote(registry) as source:
        puller = Puller(
            source, store, limits, judged_by=JUDGED_BY, machine=machine, write_back=write_back
        )
        yield Pulls(registry, source, store, puller)
