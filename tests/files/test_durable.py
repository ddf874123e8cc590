"""`durable`: after a power cut at any instant a file is the old or the new one."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lossy_disk import LossyDisk, PowerCut

from otaflux.errors import Undecided
from otaflux.files import durable

OLD, NEW = b"old" * 50, b"new" * 70


def cut_everywhere(root: Path, prepare: Callable[[], None], act: Callable[[LossyDisk], None]):
    """Cut the power before each operation of `act`, several ways each; yields after each cut."""
    prepare()
    whole = LossyDisk(root, random.Random(0))
    act(whole)
    for cut_at in range(len(whole.operations) + 1):
        for seed in range(8):
            prepare()
            disk = LossyDisk(root, random.Random(seed), cut_at=cut_at)
            done = True
            try:
                act(disk)
            except PowerCut:
                done = False
            disk.power_cut()
            yield done


def leftovers(folder: Path) -> list[str]:
    """Temporary files in a folder."""
    return [path.name for path in folder.glob(f"{durable.TEMPORARY_PREFIX}*")]


def test_a_file_is_old_or_new_after_a_power_cut_at_any_instant(tmp_path: Path) -> None:
    """Whatever the disk loses, a reader finds one of the two whole, and the new one once told."""
    path = tmp_path / "lamp.json"
    seen = set()
    for done in cut_everywhere(
        tmp_path,
        lambda: durable.write(path, OLD),
        lambda disk: durable.write(path, NEW, disk=disk),
    ):
        found = path.read_bytes()
        assert found in ({NEW} if done else {OLD, NEW})
        seen.add((done, found))
        durable.sweep_temporaries(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert seen == {(False, OLD), (False, NEW), (True, NEW)}


def test_a_folder_that_was_made_is_there_after_a_power_cut(tmp_path: Path) -> None:
    """A file that was written into a new folder of a new folder lasts with both."""
    path = tmp_path / "registry" / "lamp" / "index.json"

    def prepare() -> None:
        for folder in (path.parent, path.parent.parent):
            for name in folder.iterdir() if folder.is_dir() else ():
                name.unlink() if name.is_file() else name.rmdir()

    def act(disk: LossyDisk) -> None:
        durable.make_folder(path.parent, disk=disk)
        durable.write(path, NEW, disk=disk)

    for done in cut_everywhere(tmp_path, prepare, act):
        assert not done or path.read_bytes() == NEW
        assert not path.exists() or path.read_bytes() == NEW


def test_a_file_that_somebody_else_wrote_is_named_for_good(tmp_path: Path) -> None:
    """`name` syncs what was not synced, and after it returned the file lasts, whole."""
    path = tmp_path / "firmware"

    def prepare() -> None:
        path.unlink(missing_ok=True)

    def act(disk: LossyDisk) -> None:
        temporary = tmp_path / ".new-by-hand"
        opened = disk.create(temporary)
        opened.write(NEW)
        opened.close()
        durable.name(temporary, path, synced=False, disk=disk)

    for done in cut_everywhere(tmp_path, prepare, act):
        assert path.exists() or not done
        assert not path.exists() or path.read_bytes() == NEW
        durable.sweep_temporaries(tmp_path)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not"),
        (errno.EMFILE, "ulimit"),
        (errno.EIO, "kernel's log"),
    ],
)
def test_a_disk_that_fails_at_any_instant_changes_nothing(
    tmp_path: Path, number: int, hint: str
) -> None:
    """Each failure is `Undecided` with what to do; the old file stands and no temporary is left."""
    path = tmp_path / "lamp.json"
    durable.write(path, OLD)
    whole = LossyDisk(tmp_path, random.Random(0))
    durable.write(path, OLD, disk=whole)
    assert whole.operations[-1] == f"sync {tmp_path.name}"
    for at in range(len(whole.operations) - 1):
        disk = LossyDisk(tmp_path, random.Random(0), errors={at: number})
        with pytest.raises(Undecided) as caught:
            durable.write(path, NEW, disk=disk)
        assert hint in caught.value.hint
        assert path.read_bytes() == OLD
        assert leftovers(tmp_path) == []


def test_a_write_whose_folder_could_not_be_synced_is_not_told_as_done(tmp_path: Path) -> None:
    """The name may be lost then, so the caller hears of it and writes again."""
    disk = LossyDisk(tmp_path, random.Random(0), errors={4: errno.EIO})
    with pytest.raises(Undecided):
        durable.write(tmp_path / "lamp.json", NEW, disk=disk)
    assert disk.operations[4] == f"sync {tmp_path.name}"


@given(pieces=st.lists(st.binary(max_size=200), max_size=8), restart_at=st.integers(0, 8))
def test_pieces_add_up(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], restart_at: int
) -> None:
    """A file written in pieces holds all of them, or those since it began anew."""
    folder = tmp_path_factory.mktemp("pieces")
    with durable.NewFile(folder) as new:
        for at, piece in enumerate(pieces):
            if at == restart_at:
                new.restart()
            new.write(memoryview(piece))
        new.keep_as(folder / "whole")
    kept = pieces[restart_at:] if restart_at < len(pieces) else pieces
    assert (folder / "whole").read_bytes() == b"".join(kept)
    assert leftovers(folder) == []


def test_a_file_without_a_name_is_gone_at_the_end(tmp_path: Path) -> None:
    """Whether the body ended well or not; discarding twice does nothing more."""
    with durable.NewFile(tmp_path) as new:
        new.write(NEW)
        assert leftovers(tmp_path) == [new.path.name]
    new.discard()
    with pytest.raises(ZeroDivisionError), durable.NewFile(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_the_old_file_and_a_temporary_that_is_swept(tmp_path: Path) -> None:
    """SIGKILL in the middle of a write: the target is whole, the next sweep removes the rest."""
    durable.write(tmp_path / "lamp.json", OLD)
    program = (
        "import os, signal, sys; from pathlib import Path; from otaflux.files import durable\n"
        "new = durable.NewFile(Path(sys.argv[1])); new.write(b'half')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert len(leftovers(tmp_path)) == 1
    assert durable.sweep_temporaries(tmp_path) == 1
    assert durable.sweep_temporaries(tmp_path) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"lamp.json": OLD}


def test_a_missing_folder_has_nothing_to_sweep(tmp_path: Path) -> None:
    """Before the first write there is no folder yet, and that is no error."""
    assert durable.sweep_temporaries(tmp_path / "nowhere") == 0


def test_reading_is_bounded_and_missing_is_none(tmp_path: Path) -> None:
    """A file as large as allowed is read, one byte more is `Undecided`, none is None."""
    durable.write(tmp_path / "five", b"12345")
    assert durable.read(tmp_path / "five", max_bytes=5) == b"12345"
    with pytest.raises(Undecided):
        durable.read(tmp_path / "five", max_bytes=4)
    assert durable.read(tmp_path / "none", max_bytes=4) is None


def test_removing_says_whether_there_was_something(tmp_path: Path) -> None:
    """True once, then False."""
    durable.write(tmp_path / "a", b"")
    assert durable.remove(tmp_path / "a")
    assert not durable.remove(tmp_path / "a")


def test_a_file_where_a_folder_should_be_is_explained(tmp_path: Path) -> None:
    """Somebody put a file there by hand: `Undecided`, and the hint says so."""
    durable.write(tmp_path / "registry", b"")
    for act in (
        lambda: durable.make_folder(tmp_path / "registry"),
        lambda: durable.make_folder(tmp_path / "registry" / "lamp"),
        lambda: durable.write(tmp_path / "registry" / "lamp", b""),
    ):
        with pytest.raises(Undecided) as caught:
            act()
        assert "by hand" in caught.value.hint


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """Other tools read the folder too, so modes follow the umask and are not private."""
    before = os.umask(0o022)
    try:
        durable.write(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
