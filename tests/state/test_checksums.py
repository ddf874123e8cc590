"""MD5 and SHA-1 of large firmware are computed once, from its file, for whoever needs them."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from held_releases import record, release, stored

from otaflux.errors import Busy, DiskFailed
from otaflux.files.disk import RealDisk
from otaflux.machine import Machine
from otaflux.model.release import Firmware
from otaflux.reconcile.summing import lacks_sums, write_sums
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.recordfile import read_record
from otaflux.state.store import PIECE, Store

LARGE = bytes(range(256)) * (PIECE // 256 * 2 + 3)


class CountingDisk(RealDisk):
    """One that counts what is read."""

    def __init__(self) -> None:
        self.bytes_read = 0

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """A file's bytes."""
        read = super().read(path, max_bytes, offset)
        self.bytes_read += len(read)
        return read


def told_early(firmware: Firmware) -> Firmware:
    """Firmware as it is told before its sums are computed."""
    return replace(firmware, sums=replace(firmware.sums, md5=None, sha1=None))


@pytest.fixture
def disk() -> CountingDisk:
    """The disk."""
    return CountingDisk()


@pytest.fixture
def store(tmp_path: Path, disk: CountingDisk) -> Store:
    """An empty store."""
    made = Store(tmp_path, machine=Machine(disk=disk))
    made.prepare()
    return made


async def test_the_sums_are_those_of_the_file_whoever_asks(
    store: Store, disk: CountingDisk
) -> None:
    """Many who ask at once, and later, have the file read once."""
    early = told_early(stored(store, LARGE))
    checksums = Checksums(store)
    complete = await asyncio.gather(*(checksums.complete(early) for _ in range(20)))
    complete.append(await checksums.complete_soon(early))
    assert {each.sums.md5 for each in complete} == {hashlib.md5(LARGE).hexdigest()}
    assert {each.sums.sha1 for each in complete} == {hashlib.sha1(LARGE).hexdigest()}
    assert disk.bytes_read == len(LARGE)
    assert complete[0] == early, "a release is the same with them and without"


async def test_a_client_waits_so_long_and_the_sums_go_on(tmp_path: Path) -> None:
    """It is told to come again, and then finds them."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(work: object, /, *arguments: object, **options: object) -> object:
        begun.set()
        await go_on.wait()
        return await asyncio.to_thread(work, *arguments, **options)  # type: ignore[arg-type]

    machine = Machine(in_thread=slow)  # type: ignore[arg-type]
    store = Store(tmp_path, machine=machine)
    store.prepare()
    early = told_early(stored(store, LARGE))
    checksums = Checksums(store, machine=machine, patience=0.01)
    with pytest.raises(Busy, match="being computed") as busy:
        await checksums.complete_soon(early)
    assert busy.value.retry_after == 0.01
    await begun.wait()
    go_on.set()
    assert (await checksums.complete(early)).sums.is_complete


@pytest.mark.parametrize("harm", ["other bytes", "shorter", "gone"])
async def test_of_a_spoilt_file_there_are_no_sums(store: Store, harm: str) -> None:
    """They would be told for ever, and be wrong; the file is asked again each time."""
    early = told_early(stored(store, LARGE))
    path = store.path(early.firmware_digest)
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(LARGE[:-1] + (b"" if harm == "shorter" else b"x"))
    checksums = Checksums(store)
    for _ in range(2):
        with pytest.raises(DiskFailed):
            await checksums.complete(early)
    path.write_bytes(LARGE)
    assert (await checksums.complete(early)).sums.md5 == hashlib.md5(LARGE).hexdigest()


async def test_a_record_gets_the_sums_that_it_lacks_on_the_disk_too(
    store: Store, tmp_path: Path
) -> None:
    """Also of what is kept; a file that cannot be read keeps no other from it."""
    early = [
        replace(each, firmware=told_early(each.firmware))
        for each in (release("1.2.0", LARGE), release("1.1.0", b"kept"), release("1.0.0", b"lost"))
    ]
    for content in (LARGE, b"kept"):
        stored(store, content)
    catalog, checksums = Catalog(tmp_path / "records"), Checksums(store)
    (tmp_path / "records").mkdir()
    held = record(early[0], kept=tuple(early[1:]))
    await catalog.put(held)
    on_disk = catalog.path(held.device)
    assert lacks_sums(read_record(on_disk.read_bytes()))
    await write_sums(held, catalog, checksums)
    written = read_record(on_disk.read_bytes())
    for told in (written, catalog.get(held.device)):
        assert told is not None
        assert [each.firmware.sums.is_complete for each in told.held()] == [True, True, False]


async def test_what_changed_meanwhile_is_not_told_again(store: Store, tmp_path: Path) -> None:
    """A release whose file was found to be spoilt stays untold."""
    stored(store, LARGE)
    whole = release("1.2.0", LARGE)
    held = record(replace(whole, firmware=told_early(whole.firmware)))
    catalog, checksums = Catalog(tmp_path / "records"), Checksums(store)
    (tmp_path / "records").mkdir()
    await catalog.put(held)
    writing = asyncio.create_task(write_sums(held, catalog, checksums))
    await asyncio.sleep(0)
    catalog.lose(replace(held, channels={}))
    await writing
    now = catalog.get(held.device)
    assert now is not None
    assert not list(now.held())
