"""At start only what can be believed is told, and nothing is lost that may be wanted again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from held_releases import SOURCE, record, release, stored

from otaflux.files.disk import RealDisk
from otaflux.model.names import Device, Namespace
from otaflux.model.record import Record, Retired, Standing
from otaflux.state.recordfile import file_name, write_record
from otaflux.state.restore import Judged, restore
from otaflux.state.store import Store


class Start:
    """A folder that a server left, and what a start makes of it."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "catalog"
        self.folder.mkdir()
        self.store = Store(root / "firmware")
        self.store.prepare()

    def left(self, held: Record) -> Path:
        """Write a record."""
        path = self.folder / file_name(held.device)
        path.write_bytes(write_record(held))
        return path

    def restore(self, **changes: Any) -> Judged:
        """As a server with these settings would."""
        settings: dict[str, Any] = {
            "source": SOURCE,
            "prefix": "firmware",
            "namespace": Namespace("firmware"),
            "channels": ("rc",),
        }
        return restore(self.folder, self.store, **{**settings, **changes})


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A folder without records."""
    return Start(tmp_path)


def test_a_whole_record_is_told_as_it_was(start: Start) -> None:
    """The same answers at once."""
    stored(start.store, b"new")
    held = record(release("1.0.0", b"new"))
    start.left(held)
    assert start.restore() == Judged((held,), frozenset())


def test_releases_without_their_file_are_not_told(start: Start) -> None:
    """Current, kept or leaving: no file, no promise; the device is looked at anew."""
    stored(start.store, b"kept")
    held = record(
        release("1.2.0", b"new"),
        kept=(release("1.1.0", b"kept"), release("1.0.0", b"lost")),
        retired=(Retired(release("0.9.0", b"gone"), 1.0),),
    )
    start.left(held)
    (judged,) = start.restore().records
    assert judged.channels == {}
    assert [each.tag.text for each in judged.kept] == ["1.1.0"]
    assert judged.retired == ()
    assert not judged.ever_synced


def test_a_channel_that_is_not_set_any_more_is_not_told(start: Start) -> None:
    """Taking a channel away from CHANNELS takes its answers away."""
    stored(start.store, b"stable")
    stored(start.store, b"candidate")
    held = record(release("1.0.0", b"stable"))
    channels = {**held.channels, "rc": Standing(release("1.1.0-rc.1", b"candidate"), 1.0)}
    start.left(
        Record(held.device, SOURCE, "firmware", MappingProxyType(channels), ever_synced=True)
    )
    assert set(start.restore().records[0].channels) == {"stable", "rc"}
    assert set(start.restore(channels=()).records[0].channels) == {"stable"}


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "https://other.example"},
        {"prefix": "", "namespace": Namespace()},
        {"namespace": Namespace("firmware", is_closed=lambda: True)},
    ],
    ids=["another registry", "another prefix", "not served any more"],
)
def test_what_was_read_elsewhere_is_not_told_and_not_lost(
    start: Start, changes: dict[str, Any]
) -> None:
    """A wrong setting that is put right again costs no pull."""
    digest = stored(start.store, b"new").firmware_digest
    path = start.left(record(release("1.0.0", b"new")))
    assert start.restore(**changes) == Judged((), frozenset({digest}))
    assert path.exists()


def test_a_damaged_record_is_set_aside(start: Start) -> None:
    """It is kept for people, and others are told all the same."""
    stored(start.store, b"new")
    whole = start.left(record(release("1.0.0", b"new")))
    (start.folder / "bad.json").write_bytes(b"{")
    judged = start.restore()
    assert [held.device for held in judged.records] == [Device("lamp")]
    assert judged.all_read
    assert set(start.folder.iterdir()) == {start.folder / "bad.damaged", whole}


def test_a_record_that_cannot_be_read_now_keeps_all_files(start: Start) -> None:
    """A disk that errs says nothing of the record, which may name any of the files."""

    class Failing(RealDisk):
        def reader(self, folder: Path, max_bytes: int) -> Callable[[str], bytes]:
            return lambda name: self.read(folder / name, max_bytes)

        def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    path = start.left(record(release("1.0.0", b"new")))
    judged = start.restore(disk=Failing())
    assert judged == Judged((), frozenset(), all_read=False)
    assert path.exists()


def test_a_disk_that_answers_in_pieces_costs_no_record(start: Start) -> None:
    """What is not whole at first is read again with care before it counts as damaged."""

    class Slow(RealDisk):
        def reader(self, folder: Path, max_bytes: int) -> Callable[[str], bytes]:
            whole = super().reader(folder, max_bytes)
            return lambda name: whole(name)[:100]

    stored(start.store, b"new")
    held = record(release("1.0.0", b"new"))
    path = start.left(held)
    assert start.restore(disk=Slow()).records == (held,)
    assert list(start.folder.iterdir()) == [path]


def test_a_record_that_goes_meanwhile_is_no_damage(start: Start) -> None:
    """Somebody forgets devices by hand while a server starts; the others are told."""

    class Going(RealDisk):
        def kinds(self, folder: Path) -> dict[str, bool]:
            return {file_name(Device("gone")): True, **super().kinds(folder)}

    stored(start.store, b"new")
    held = record(release("1.0.0", b"new"))
    start.left(held)
    assert start.restore(disk=Going()) == Judged((held,), frozenset())


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_what_stands_in_a_records_place_and_is_none_is_set_aside(start: Start, kind: str) -> None:
    """Nothing is followed, nothing waited for, and the others are told."""
    stored(start.store, b"new")
    held = record(release("1.0.0", b"new"))
    path = start.left(held)
    other = start.folder / file_name(Device("other"))
    match kind:
        case "a link":
            other.symlink_to(path.name)
        case "a pipe":
            os.mkfifo(other)
        case _:
            other.mkdir()
    assert start.restore() == Judged((held,), frozenset())
    assert set(start.folder.iterdir()) == {path, other.with_suffix(".damaged")}


@pytest.mark.parametrize("count", [0, 1, 300])
def test_each_record_is_told_once(start: Start, count: int) -> None:
    """None of nothing, and of many each."""
    stored(start.store, b"new")
    held = {record(release("1.0.0", b"new", f"board-{number}")) for number in range(count)}
    for each in held:
        start.left(each)
    judged = start.restore()
    assert len(judged.records) == count
    assert set(judged.records) == held
    assert judged == Judged(judged.records, frozenset())


def test_leftovers_go_and_other_files_stay(start: Start) -> None:
    """Temporary files are removed; what is no record is left alone."""
    (start.folder / ".new-1").write_bytes(b"{")
    (start.folder / "notes.txt").write_bytes(b"by hand")
    (start.folder.parent / "firmware" / "sha256" / ".new-2").write_bytes(b"half")
    assert start.restore() == Judged((), frozenset())
    assert [path.name for path in start.folder.iterdir()] == ["notes.txt"]
    assert not list((start.folder.parent / "firmware" / "sha256").iterdir())


def test_whether_names_are_closed_is_asked_once(start: Start) -> None:
    """However many records there are; each device that is not named is left out then."""
    stored(start.store, b"new")
    held = record(release("1.0.0", b"new"))
    for number in range(3):
        start.left(replace(held, device=Device(f"other{number}"), prefix=""))
    start.left(replace(held, prefix=""))
    asked: list[bool] = []

    def credentials() -> bool:
        asked.append(True)
        return True

    namespace = Namespace.of("", frozenset({held.device}), credentials=credentials)
    judged = start.restore(prefix="", namespace=namespace)
    assert [each.device for each in judged.records] == [held.device]
    assert len(asked) == 1
