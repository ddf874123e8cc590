"""Firmware files: whole once they have a name, there while somebody needs them, gone after."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from held_releases import firmware, stored

from otaflux.errors import DiskFailed, Undecided
from otaflux.files.disk import RealDisk
from otaflux.machine import Machine
from otaflux.state.store import KEPT_OPEN, MARGIN, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that was prepared."""
    made = Store(tmp_path)
    made.prepare()
    return made


def test_a_file_has_no_name_before_it_is_whole(store: Store, tmp_path: Path) -> None:
    """What was drafted and not kept leaves nothing behind."""
    with store.draft(10) as new:
        new.write(b"half")
        assert not store.has(firmware(b"half"))
    assert not list((tmp_path / "sha256").iterdir())


def test_a_file_of_another_size_is_not_there(store: Store) -> None:
    """What was cut by hand is pulled again, not served."""
    made = stored(store, b"firmware")
    assert store.has(made)
    store.path(made.firmware_digest).write_bytes(b"firm")
    assert not store.has(made)


def test_what_is_claimed_or_named_is_not_swept(store: Store, tmp_path: Path) -> None:
    """The sweep takes what nobody names, and waits for those about to name it."""
    named, claimed, free = (stored(store, text) for text in (b"named", b"claimed", b"free"))

    def names(digest: object) -> bool:
        return digest == named.firmware_digest

    with store.claims() as claims:
        assert claims.has(claimed)
        assert store.sweep(names) == 1
        assert (store.has(named), store.has(claimed), store.has(free)) == (True, True, False)
    assert store.sweep(names) == 1
    assert list((tmp_path / "sha256").iterdir()) == [store.path(named.firmware_digest)]


def test_a_claim_on_a_file_twice_lasts_until_both_end(store: Store) -> None:
    """Two runs with the same bytes do not pull them from under each other."""
    made = stored(store, b"same")
    with store.claims() as first:
        first.has(made)
        with store.claims() as second:
            second.has(made)
        assert store.sweep(lambda _: False) == 0
    assert store.sweep(lambda _: False) == 1


def test_a_reader_of_a_removed_file_reads_on(store: Store) -> None:
    """A download goes on to its end, whatever the sweep does."""
    made = stored(store, b"firmware")
    with store.open(made.firmware_digest) as reader:
        assert store.remove_unreferenced([made.firmware_digest], lambda _: False) == 1
        assert os.pread(reader.fd, 100, 0) == b"firmware"
    with pytest.raises(Undecided):
        Store(store.path(made.firmware_digest).parents[1]).open(made.firmware_digest)


def test_who_opens_a_file_after_it_was_kept_anew_gets_the_new_one(store: Store) -> None:
    """A descriptor that is kept open on a file that was cut short serves nobody else."""
    made = stored(store, b"firmware")
    store.open(made.firmware_digest).close()
    with store.open(made.firmware_digest) as early:
        os.truncate(store.path(made.firmware_digest), 4)
        assert not store.has(made)
        stored(store, b"firmware")
        with store.open(made.firmware_digest) as late:
            assert os.pread(late.fd, 100, 0) == b"firmware"
            assert os.pread(early.fd, 100, 0) == b"firm"
        early_fd = early.fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(early_fd)


def test_a_condemned_file_is_not_there_until_it_is_kept_anew(store: Store) -> None:
    """Nobody opens it, and a pull does not take it for what it needs."""
    made = stored(store, b"firmware")
    store.open(made.firmware_digest).close()
    store.condemn(made.firmware_digest)
    assert not store.has(made)
    with pytest.raises(Undecided, match="damaged"):
        store.open(made.firmware_digest)
    stored(store, b"firmware")
    assert store.has(made)
    store.open(made.firmware_digest).close()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "socket"])
def test_only_regular_files_are_there(store: Store, tmp_path: Path, kind: str) -> None:
    """Whatever stands in a file's place is not opened, not waited for, and gives way to a pull."""
    made = stored(store, b"firmware")
    path = store.path(made.firmware_digest)
    path.rename(tmp_path / "elsewhere")
    match kind:
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            os.mknod(path, stat.S_IFSOCK | 0o600)
    assert not store.has(made)
    with pytest.raises(Undecided, match="no regular file"):
        store.open(made.firmware_digest)
    store.prepare()
    stored(store, b"firmware")
    assert store.has(made)


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    """What went with it under a running server can be pulled anew without a restart."""
    store = Store(tmp_path / "firmware")
    store.prepare()
    lost = stored(store, b"firmware")
    shutil.rmtree(tmp_path / "firmware")
    assert not store.has(lost)
    assert stored(store, b"firmware") == lost
    assert store.has(lost)


def test_open_files_are_shared_and_few_stay_open(store: Store) -> None:
    """One descriptor serves all readers of a file; of files without a reader some stay open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    digests = [stored(store, bytes([n])).firmware_digest for n in range(KEPT_OPEN + 5)]
    with store.open(digests[0]) as one, store.open(digests[0]) as two:
        assert one.fd == two.fd
    for digest in digests:
        opened = store.open(digest)
        opened.close()
        opened.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before + KEPT_OPEN
    assert store.sweep(lambda _: False) == len(digests)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The margin stays free for records; the reason has the figures."""

    class Small(RealDisk):
        def free(self, folder: Path) -> int:
            return MARGIN + 99

    store = Store(tmp_path, machine=Machine(disk=Small()))
    store.prepare()
    store.draft(99).discard()
    with pytest.raises(DiskFailed, match="needs 100 bytes or more"):
        store.draft(100)
    assert not list((tmp_path / "sha256").iterdir())
