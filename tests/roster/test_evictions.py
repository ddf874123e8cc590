"""A device that goes takes its record and its files along, and never in the middle of a run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from clock import Clock
from held_releases import record, release, stored

from otaflux.events import DeviceForgotten, Events, FilesLeft, Happening
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.roster.evictions import TOO_MANY, Evictions
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.store import Store

A, B, C = Device("a"), Device("b"), Device("c")


class House:
    """Devices that only polls found, each with a file of its own; two of them are kept."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        machine = Machine(clock=self.clock)
        self.catalog = Catalog(folder / "catalog", machine=machine)
        (folder / "catalog").mkdir()
        self.store = Store(folder / "firmware", machine=machine)
        self.store.prepare()
        self.files = folder / "firmware" / "sha256"
        self.roster = Roster(self.catalog, most_found=2, machine=machine)
        self.told: list[Happening] = []
        self.evictions = Evictions(
            self.roster,
            self.catalog,
            self.store,
            events=Events(self.told.append),
            machine=machine,
        )

    async def found(self, device: Device) -> None:
        """A poll finds it, a second later than the one before."""
        self.clock.now += 1
        content = device.name.encode()
        stored(self.store, content)
        await self.catalog.put(
            replace(record(release("1.0.0", content, device.name)), found_by_poll=True)
        )

    def there(self) -> set[str]:
        """The devices that have a record, in memory and on the disk, and their file."""
        in_memory = {record.device for record in self.catalog.records()}
        assert all(self.catalog.path(device).exists() for device in in_memory)
        files = {path.read_text() for path in self.files.iterdir()}
        assert files == {device.name for device in in_memory}
        return files


async def test_the_one_polled_longest_ago_goes_with_its_files(tmp_path: Path) -> None:
    """Where there are more than are kept; it is told, with the reason."""
    house = House(tmp_path)
    for device in (A, B):
        await house.found(device)
    await house.evictions.keep_to_most()
    assert house.there() == {"a", "b"}
    house.clock.now += 1
    house.roster.polled([A])
    await house.found(C)
    await house.evictions.keep_to_most()
    assert house.there() == {"a", "c"}
    assert house.told == [DeviceForgotten(B, TOO_MANY)]


async def test_nobody_goes_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """Its run would write the record back; the next in line goes instead."""
    house = House(tmp_path)
    for device in (A, B, C):
        await house.found(device)
    async with house.evictions.undisturbed(A):
        assert not await house.evictions.evict(A, TOO_MANY)
        await house.evictions.keep_to_most()
        assert house.there() == {"a", "c"}
    assert await house.evictions.evict(A, TOO_MANY)
    assert house.there() == {"c"}


async def test_a_run_begins_once_its_device_is_gone(tmp_path: Path) -> None:
    """And finds no record of before."""
    house = House(tmp_path)
    await house.found(A)
    going = asyncio.create_task(house.evictions.evict(A, TOO_MANY))
    await asyncio.sleep(0)
    assert not going.done()
    async with house.evictions.undisturbed(A):
        assert going.done()
        assert house.catalog.get(A) is None
    assert await going


async def test_who_was_named_meanwhile_stays(tmp_path: Path) -> None:
    """A hook makes it a device that is known."""
    house = House(tmp_path)
    await house.found(A)
    house.roster.name(A)
    assert not await house.evictions.evict(A, TOO_MANY)
    assert house.there() == {"a"}


async def test_who_is_named_while_it_goes_is_known_afterwards(tmp_path: Path) -> None:
    """The hook's run finds it anew, and it is not one of those that only polls found."""
    house = House(tmp_path)
    await house.found(A)
    going = asyncio.create_task(house.evictions.evict(A, TOO_MANY))
    await asyncio.sleep(0)
    assert not going.done()
    house.roster.name(A)
    assert await going
    assert house.roster.is_known(A)


async def test_a_disk_that_lets_nothing_go_is_told(tmp_path: Path) -> None:
    """Nothing is raised, for whoever needs the room has a better error; and it may try again."""
    house = House(tmp_path)
    await house.found(A)
    house.catalog.path(A).unlink()
    house.catalog.path(A).mkdir()  # cannot be unlinked, by root neither
    assert not await house.evictions.evict(A, TOO_MANY)
    assert [type(happening) for happening in house.told] == [FilesLeft]
    house.catalog.path(A).rmdir()
    assert await house.evictions.evict(A, TOO_MANY)
    assert house.there() == set()
