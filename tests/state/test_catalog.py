"""What devices are told is on the disk first, and changes for everybody in one step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from held_releases import firmware, record, release

from otaflux.errors import Undecided
from otaflux.files.disk import RealDisk
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.model.record import REPLACED_LINGERS, Record, Retired
from otaflux.state.catalog import UNCONFIRMED, Catalog
from otaflux.state.recordfile import read_record

OLD = record(release("1.0.0", b"old"))
NEW = record(release("1.1.0", b"new"), kept=(release("1.0.0", b"old"),))
LAMP = Device("lamp")


class Failing(RealDisk):
    """A disk whose syncs fail after a rename, while `failing`."""

    failing = False

    def sync(self, path: Path) -> None:
        """Fail, or do it."""
        if self.failing:
            raise OSError(5, "Input/output error")
        super().sync(path)


async def test_a_record_is_on_the_disk_before_anyone_hears_of_it(tmp_path: Path) -> None:
    """Who is told something finds it on the disk, and in the catalog, in that very step."""
    catalog = Catalog(tmp_path)
    heard: list[Record | None] = []

    def hear(device: Device, changed: Record | None) -> None:
        heard.append(changed)
        assert catalog.get(device) == changed
        assert changed is None or read_record(catalog.path(device).read_bytes()) == changed

    catalog.listen(hear)
    for each in (OLD, OLD, NEW):
        await catalog.put(each)
    await catalog.forget(LAMP)
    assert heard == [OLD, NEW, None]
    assert not catalog.path(LAMP).exists()
    assert catalog.get(LAMP) is None


async def test_a_write_that_fails_changes_nothing_for_devices(tmp_path: Path) -> None:
    """The old one stands; then it is written again, for the disk may hold either."""
    disk = Failing()
    catalog = Catalog(tmp_path, machine=Machine(disk=disk))
    await catalog.put(OLD)
    disk.failing = True
    with pytest.raises(Undecided):
        await catalog.put(NEW)
    assert catalog.get(LAMP) == OLD
    disk.failing = False
    await catalog.put(OLD)
    assert read_record(catalog.path(LAMP).read_bytes()) == OLD


async def test_a_file_that_only_the_disk_may_name_stays(tmp_path: Path) -> None:
    """After a write that failed late a restart may read the new record, and needs its file."""
    disk = Failing()
    catalog = Catalog(tmp_path, machine=Machine(disk=disk))
    await catalog.put(OLD)
    disk.failing = True
    with pytest.raises(Undecided):
        await catalog.put(NEW)
    new, old = (firmware(content).firmware_digest for content in (b"new", b"old"))
    assert read_record(catalog.path(LAMP).read_bytes()) == NEW
    assert catalog.references(new)
    disk.failing = False
    assert await catalog.put(OLD) == {new}
    assert not catalog.references(new)
    assert await catalog.forget(LAMP) == {old}
    assert not catalog.references(old)


async def test_files_are_named_as_long_as_any_record_names_them(tmp_path: Path) -> None:
    """Two devices with the same bytes: one going takes nothing from the other."""
    catalog = Catalog(tmp_path)
    digest = release("1.0.0", b"old").firmware.firmware_digest
    await catalog.put(OLD)
    await catalog.put(record(release("1.0.0", b"old", device="spare")))
    await catalog.forget(LAMP)
    assert catalog.references(digest)
    assert catalog.by_digest(digest) is not None
    await catalog.forget(Device("spare"))
    assert not catalog.references(digest)
    assert catalog.by_digest(digest) is None


async def test_what_was_replaced_is_served_by_content_for_a_while(tmp_path: Path) -> None:
    """Boards in the middle of a download go on; after the 15 minutes it is gone."""
    clock = [1000.0]
    catalog = Catalog(tmp_path, machine=Machine(now=lambda: clock[0]))
    old = release("1.0.0", b"old")
    await catalog.put(record(release("1.1.0", b"new"), retired=(Retired(old, 1000.0),)))
    assert catalog.by_digest(old.firmware.firmware_digest) == old
    clock[0] += REPLACED_LINGERS
    assert catalog.by_digest(old.firmware.firmware_digest) is None
    assert catalog.references(old.firmware.firmware_digest)


async def test_what_was_replaced_in_the_future_is_not_served_for_as_long(tmp_path: Path) -> None:
    """A clock that was ten years ahead and is right again makes no old content current."""
    catalog = Catalog(tmp_path, machine=Machine(now=lambda: 1000.0))
    old = release("1.0.0", b"old")
    await catalog.put(record(release("1.1.0", b"new"), retired=(Retired(old, 3e8),)))
    assert catalog.by_digest(old.firmware.firmware_digest) is None


async def test_what_was_told_until_a_crash_is_served_by_content_for_a_while_after_it(
    tmp_path: Path,
) -> None:
    """A record that reached the disk and could not be confirmed was not told before the crash.

    What it retired was, however long ago it says so.
    """
    disk, seconds = Failing(), [1000.0]
    old = release("1.0.0", b"old")
    catalog = Catalog(tmp_path, machine=Machine(disk=disk))
    await catalog.put(OLD)
    disk.failing = True
    with pytest.raises(Undecided):
        await catalog.put(record(release("1.1.0", b"new"), retired=(Retired(old, 1000.0),)))
    assert catalog.get(LAMP) == OLD, "it is told on"
    machine = Machine(clock=lambda: seconds[0], now=lambda: 1000.0 + 10 * REPLACED_LINGERS)
    again = Catalog(tmp_path, machine=machine)
    again.load(read_record(again.path(LAMP).read_bytes()))
    assert again.by_digest(old.firmware.firmware_digest) == old
    seconds[0] += REPLACED_LINGERS
    assert again.by_digest(old.firmware.firmware_digest) is None


@pytest.mark.parametrize("served", [True, False])
def test_what_was_withdrawn_long_before_a_start_is_served_to_nobody(
    tmp_path: Path, served: bool
) -> None:
    """Its file lies there for people; what was withdrawn lately may have been told until then."""
    now = 1000.0 + UNCONFIRMED
    catalog = Catalog(tmp_path, machine=Machine(clock=lambda: 0.0, now=lambda: now))
    old = release("1.0.0", b"old")
    left = Retired(old, 1001.0 if served else 1000.0, withdrawn=True)
    catalog.load(record(release("0.9.0", b"lower"), retired=(left,)))
    assert (catalog.by_digest(old.firmware.firmware_digest) == old) is served


def test_what_is_lost_later_is_no_load(tmp_path: Path) -> None:
    """What was withdrawn since the start is not served again because another file is spoilt."""
    seconds = [1000.0]
    machine = Machine(clock=lambda: seconds[0], now=lambda: seconds[0])
    catalog = Catalog(tmp_path, machine=machine)
    old, kept = release("1.0.0", b"old"), release("0.8.0", b"kept")
    left = (Retired(old, 1000.0, withdrawn=True),)
    catalog.load(record(release("0.9.0", b"lower"), kept=(kept,), retired=left))
    seconds[0] += REPLACED_LINGERS
    assert catalog.by_digest(old.firmware.firmware_digest) is None
    catalog.lose(record(release("0.9.0", b"lower"), retired=left))
    assert catalog.by_digest(kept.firmware.firmware_digest) is None
    assert catalog.by_digest(old.firmware.firmware_digest) is None


async def test_what_is_lost_while_a_write_fails_keeps_the_others_named(tmp_path: Path) -> None:
    """A disk that fails at reading may fail at writing too; no count of names goes wrong by it."""
    catalog = Catalog(tmp_path / "missing")
    catalog.load(NEW)
    writing = asyncio.create_task(catalog.put(record(release("1.2.0", b"newer"), kept=NEW.kept)))
    await asyncio.sleep(0)
    catalog.lose(record(release("1.1.0", b"new")))
    with pytest.raises(Undecided):
        await writing
    new, old, newer = (firmware(each).firmware_digest for each in (b"new", b"old", b"newer"))
    assert [catalog.references(each) for each in (new, old, newer)] == [True, False, False]


def test_names_of_devices_never_meet_in_a_file_name(tmp_path: Path) -> None:
    """Slashes and case make no two devices one file, and none leaves the folder."""
    catalog = Catalog(tmp_path)
    paths = {catalog.path(Device(name)) for name in ("a/b", "a", "b", "a-b", "a__b")}
    assert len(paths) == 5
    assert {path.parent for path in paths} == {tmp_path}
