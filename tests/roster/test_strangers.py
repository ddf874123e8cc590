"""Polls for repositories of strangers, on a small disk: what they cost, and who goes for whom.

A fake registry over a socket, and the server's own parts but for its port.
"""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_registry import FakeRegistry
from registry_client import remote
from small_disk import SmallDisk

from otaflux.app.controller import Controller
from otaflux.events import Events
from otaflux.machine import Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Namespace
from otaflux.policy import Policy
from otaflux.state.datafolder import DataFolder
from otaflux.state.store import MARGIN
from otaflux.unpack.limits import Limits
from otaflux.work.outcome import Done

MIB = 1 << 20
LAMP = Device("lamp")
POLICY = Policy(
    namespace=Namespace("acme", frozenset({LAMP})),
    channels=(),
    keep_versions=0,
    withdraw_after=3600.0,
    recheck_interval=3600.0,
    registry_rate=100.0,
    registry_concurrency=8,
    limits=Limits(32 * MIB, 128 * MIB),
    judged_by="the tests",
)


class House:
    """A server's parts, on a disk with room for 16 MiB of firmware."""

    def __init__(self, registry: FakeRegistry, controller: Controller, disk: SmallDisk) -> None:
        self.registry = registry
        self.controller = controller
        self.disk = disk

    def push(self, device: str, size: int, *, packed: bool = False) -> None:
        """Push a version of so many bytes, which are well packed where that is asked for."""
        content = bytes(size) if packed else random.Random(device).randbytes(size)
        layer = gzip.compress(content) if packed else content
        self.registry.content.put(f"acme/{device}", "1.0.0", layers=[layer])

    async def polled(self, device: str) -> None:
        """Somebody polls for it, and its look is over."""
        await asyncio.wait({self.controller.touch(Touch(Device(device), Priority.FIRST_POLL))})

    def there(self) -> set[str]:
        """The devices that have a release."""
        return {r.device.name for r in self.controller.catalog.records() if r.channels}


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """The parts, running."""
    disk = SmallDisk(folder, 16 * MIB + MARGIN)
    async with FakeRegistry(catalog=False) as registry, remote(registry) as source:
        controller = Controller(
            source, DataFolder(folder), POLICY, machine=Machine(disk=disk), events=Events()
        )
        await controller.restore()
        await controller.load()
        running = asyncio.create_task(controller.run())
        try:
            yield House(registry, controller, disk)
        finally:
            running.cancel()
            await asyncio.wait({running})


async def test_strangers_have_a_quarter_of_the_disk(tmp_path: Path) -> None:
    """However many are polled; the newest are there, and what does not fit is not pulled."""
    async with house(tmp_path) as at:
        for number in range(20):
            at.push(f"s{number}", MIB)
            await at.polled(f"s{number}")
            assert at.disk.used() < 5 * MIB
        assert at.there() == {"s17", "s18", "s19"}
        at.push("large", 5 * MIB)
        pulled = len(at.registry.seen("blob"))
        await at.polled("large")
        assert "large" not in at.there()
        assert len(at.registry.seen("blob")) == pulled
        at.push("bomb", 8 * MIB, packed=True)
        await at.polled("bomb")
        assert "bomb" not in at.there()
        assert at.disk.used() < 5 * MIB


@pytest.mark.parametrize("packed", [False, True])
async def test_strangers_give_way_to_a_release_of_the_fleet(tmp_path: Path, packed: bool) -> None:
    """A hook's push finds its room at its first look, also where it is packed small."""
    async with house(tmp_path) as at:
        for number in range(3):
            at.push(f"s{number}", MIB)
            await at.polled(f"s{number}")
        assert at.there() == {"s0", "s1", "s2"}
        at.push("lamp", 18 * MIB if packed else 14 * MIB, packed=packed)
        touch = Touch(LAMP, Priority.HOOK, ("hook",), at.controller.machine.clock())
        assert await at.controller.touch(touch) == Done()
        assert at.there() in ({"lamp", "s2"}, {"lamp"})
