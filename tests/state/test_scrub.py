"""What a disk spoilt is found once after a start, without keeping anybody waiting."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from held_releases import record, release, stored

from otaflux.files.disk import RealDisk
from otaflux.machine import Machine
from otaflux.model.event import Touch
from otaflux.model.names import Device
from otaflux.model.record import REPLACED_LINGERS, Record, Retired
from otaflux.state.catalog import Catalog
from otaflux.state.scrub import Scrub
from otaflux.state.store import PIECE, Store

LAMP = Device("lamp")


class Disk(RealDisk):
    """One that may fail at reading, and notes how much is read at once."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.most = 0

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """A file's bytes."""
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        read = super().read(path, max_bytes, offset)
        self.most = max(self.most, len(read))
        return read


class Start:
    """What a server found at its start, and time that passes only in sleeps."""

    def __init__(self, root: Path) -> None:
        self.disk = Disk()
        self.slept: list[float] = []
        machine = Machine(disk=self.disk, sleep=self._sleep)
        self.store = Store(root, machine=machine)
        self.store.prepare()
        self.catalog = Catalog(root / "catalog", machine=machine)
        self.touched: list[Touch] = []
        self.scrub = Scrub(
            self.catalog, self.store, self.touched.append, machine=machine, rate=PIECE
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def told(self, content: bytes, *kept: bytes) -> Record:
        """Have the lamp told one release, and others kept below it."""
        for each in (content, *kept):
            stored(self.store, each)
        held = record(
            release("9.0.0", content),
            kept=tuple(release(f"1.{n}.0", each) for n, each in enumerate(kept)),
        )
        self.catalog.load(held)
        return held

    def spoil(self, content: bytes) -> None:
        """Change a file's last byte."""
        path = self.store.path(release("1.0.0", content).firmware.firmware_digest)
        path.write_bytes(content[:-1] + b"!")


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A folder without records."""
    return Start(tmp_path)


async def test_what_is_whole_stays_as_it_is(start: Start) -> None:
    """Nobody is looked at for it."""
    held = start.told(b"current", b"kept")
    await start.scrub.run()
    assert start.catalog.get(LAMP) == held
    assert not start.touched


async def test_only_what_is_spoilt_is_told_no_more(start: Start) -> None:
    """The current release goes at once and its device is looked at; a kept one stays."""
    held = start.told(b"current", b"kept")
    start.spoil(b"current")
    await start.scrub.run()
    now = start.catalog.get(LAMP)
    assert now is not None
    assert (now.current(), now.kept, now.ever_synced) == (None, held.kept, False)
    assert [touch.device for touch in start.touched] == [LAMP]
    assert not start.store.has(release("9.0.0", b"current").firmware)


async def test_what_was_withdrawn_is_not_served_again_for_it(start: Start) -> None:
    """A device that loses a file was not loaded anew, so nothing of it lingers."""
    old = release("9.5.0", b"withdrawn")
    left = Retired(old, time.time() - REPLACED_LINGERS, withdrawn=True)
    held = start.told(b"current", b"kept")
    start.catalog.path(LAMP).parent.mkdir()
    await start.catalog.put(replace(held, retired=(left,)))
    assert start.catalog.by_digest(old.firmware.firmware_digest) is None
    stored(start.store, b"withdrawn")
    start.spoil(b"kept")
    await start.scrub.run()
    assert start.touched
    assert start.catalog.by_digest(old.firmware.firmware_digest) is None


async def test_the_reading_is_bounded_in_rate(start: Start) -> None:
    """So many bytes a second, in pieces, and never more than a quarter of the time."""
    start.told(bytes(3 * PIECE))
    await start.scrub.run()
    assert start.disk.most == PIECE
    assert sum(start.slept) > 2.5


@pytest.mark.parametrize(
    ("number", "is_lost"), [(errno.EIO, True), (errno.EMFILE, False), (errno.EAGAIN, False)]
)
async def test_what_cannot_be_read_now_says_nothing_of_the_bytes(
    start: Start, number: int, is_lost: bool
) -> None:
    """Where the disk fails a file is lost; where the machine is short of something it is not."""
    start.told(b"current")
    start.disk.error = number
    await start.scrub.run()
    assert bool(start.touched) is is_lost
