"""Devices that only polls found have a quarter of the free disk, and give way to all others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from clock import Clock
from held_releases import record, release, stored
from small_disk import SmallDisk

from otaflux.errors import DiskFull
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.roster.evictions import Evictions
from otaflux.roster.roster import Roster
from otaflux.roster.space import Space
from otaflux.state.catalog import Catalog
from otaflux.state.store import MARGIN, Store

MIB = 1 << 20
A, B, C, LAMP = Device("a"), Device("b"), Device("c"), Device("lamp")


class House:
    """A disk with room for 16 MiB of firmware, and devices that have some there."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.disk = SmallDisk(folder, 16 * MIB + MARGIN + MIB // 2)  # records take some too
        machine = Machine(clock=self.clock, disk=self.disk)
        (folder / "catalog").mkdir()
        self.catalog = Catalog(folder / "catalog", machine=machine)
        self.store = Store(folder / "firmware", machine=machine)
        self.store.prepare()
        self.roster = Roster(self.catalog, machine=machine)
        evictions = Evictions(self.roster, self.catalog, self.store, machine=machine)
        self.space = Space(self.roster, evictions, self.catalog, self.store, machine=machine)

    async def have(self, device: Device, size: int, *, found_by_poll: bool = True) -> None:
        """A device gets a release of so many bytes, a second later than the one before."""
        self.clock.now += 1
        content = device.name[:1].encode() * size
        stored(self.store, content)
        held = record(release("1.0.0", content, device.name))
        await self.catalog.put(replace(held, found_by_poll=found_by_poll))

    def names(self) -> str:
        """Who has a record, by their first letters."""
        return "".join(sorted(device.name[0] for device in self.catalog.devices()))


async def test_all_that_only_polls_found_has_a_quarter_together(tmp_path: Path) -> None:
    """The one polled longest ago makes room for the next; what known devices have is no part."""
    house = House(tmp_path)
    await house.have(LAMP, 4 * MIB, found_by_poll=False)
    assert await house.space.allowed(A) // MIB == 3
    await house.have(A, MIB)
    await house.have(B, MIB)
    await house.space.fit(C, 0)
    assert house.names() == "abl"
    stored(house.store, b"c" * (2 * MIB - 100_000))
    await house.space.fit(C, 2 * MIB - 100_000)
    assert house.names() == "bl"


async def test_what_is_more_than_a_quarter_has_no_room(tmp_path: Path) -> None:
    """Whoever else goes: the words say what its owner can do."""
    house = House(tmp_path)
    await house.have(A, MIB)
    stored(house.store, b"c" * 5 * MIB)
    with pytest.raises(DiskFull, match=str(5 * MIB)) as refusal:
        await house.space.fit(C, 5 * MIB)
    assert "DEVICES" in refusal.value.hint
    assert house.names() == ""
    with pytest.raises(DiskFull, match="only polls"):
        house.store.draft(5 * MIB, most=await house.space.allowed(C))


async def test_its_own_firmware_of_before_counts(tmp_path: Path) -> None:
    """It stays on the disk for a while, beside the new one."""
    house = House(tmp_path)
    await house.have(A, 3 * MIB)
    assert await house.space.allowed(A) // MIB == 1
    assert await house.space.allowed(B) // MIB == 4


async def test_a_known_device_gets_the_room_of_those_that_only_polls_found(
    tmp_path: Path,
) -> None:
    """As much as it needs, the one polled longest ago first; nobody goes without need."""
    house = House(tmp_path)
    await house.have(A, MIB)
    await house.have(B, MIB)
    house.clock.now += 1
    house.roster.polled([A])
    await house.have(LAMP, 8 * MIB, found_by_poll=False)
    await house.space.make_room(5 * MIB)
    assert house.names() == "abl"
    await house.space.make_room(7 * MIB - 100_000)
    assert house.names() == "al"
    assert not await house.space.clear(6 * MIB), "so much is free"
    assert await house.space.clear(8 * MIB)
    assert house.names() == "l"
    assert not await house.space.clear(9 * MIB), "nobody is left"
