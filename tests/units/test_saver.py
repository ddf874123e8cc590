"""What units said, on the disk: after restarts, kills, damage, and with a disk that fails."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from waiting import until

from otaflux.machine import REAL_MACHINE
from otaflux.model.names import Device
from otaflux.units.saver import Saver
from otaflux.units.seen import Protocol
from otaflux.units.units import Units

LAMP = Device("lamp")


async def kept(units: Units, path: Path) -> None:
    """What the units said is on the disk."""
    async with Saver(units, path):
        assert await units.kept(5)


async def read(path: Path, most: int = 1000) -> Units:
    """What lies there, in memory."""
    units = Units(most)
    async with Saver(units, path):
        return units


def say(units: Units, number: int = 3) -> None:
    """Some units said something."""
    for each in range(number):
        units.heard(LAMP, f"u{each}", Protocol.ARDUINO, runs=f"1.0.{each}", told="1.4.0")


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """A unit is as it was, in all that is known of it."""
    units, path = Units(), tmp_path / "units.sqlite3"
    say(units)
    units.began(LAMP, "u0", 9)
    units.closed(LAMP, "u1", 7, "1.4.0", well=True)
    units.closed(LAMP, "u2", 7, "1.4.0", well=False)
    units.described(None, "free", runs="0.1.0", belongs_to=LAMP)
    units.began(LAMP, "u2", 7)
    units.cancelled(LAMP, "u2", refused=True)
    await kept(units, path)
    again = await read(path)
    assert again.page(0, 10) == units.page(0, 10)
    assert sorted(again.counts()) == sorted(units.counts())
    assert again.find(None, "free") == units.find(None, "free")


async def test_what_was_waited_for_is_there_after_a_kill(tmp_path: Path) -> None:
    """Feedback that was answered outlives the process, whatever else is still to be saved."""
    units, path = Units(), tmp_path / "units.sqlite3"
    async with Saver(units, path, every=3600):
        say(units, 900)
        units.closed(LAMP, "u5", 7, "1.4.0", well=True)
        assert await units.kept(5)
        with closing(sqlite3.connect(path)) as rows:
            found = rows.execute("SELECT closed FROM units WHERE unit = 'u5'").fetchall()
    assert found == [(7,)]


async def test_fewer_units_than_lie_there(tmp_path: Path) -> None:
    """With a smaller `UNITS` those heard of last stay, and the file shrinks with it."""
    units, path = Units(), tmp_path / "units.sqlite3"
    say(units, 20)
    units.heard(LAMP, "u0")
    await kept(units, path)
    few = await read(path, most=5)
    assert len(few) == 5
    again = await read(path)
    names = {each.unit for each in again.page(0, 99)[0]}
    assert names == {each.unit for each in few.page(0, 99)[0]}


@pytest.mark.parametrize(
    "content", [b"no database at all" * 300, b"SQLite format 3\x00" + b"\xff" * 8000], ids=len
)
async def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    """It is a cache: nothing stops for it, and it is said once."""
    path = tmp_path / "units.sqlite3"
    path.write_bytes(content)
    units = Units()
    with capture_logs() as lines:
        say(units)
        await kept(units, path)
    assert [line["event"] for line in lines] == ["units_begun_anew"]
    assert len(await read(path)) == 3


async def test_damage_in_the_middle_of_the_file(tmp_path: Path) -> None:
    """Pages that were overwritten are noticed at the start or at a write; service goes on."""
    units, path = Units(), tmp_path / "units.sqlite3"
    say(units, 500)
    await kept(units, path)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xa5" * 30_000)
    again = Units()
    say(again)
    await kept(again, path)
    assert len(await read(path)) >= 3


async def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path) -> None:
    """Whoever removes it while the server runs loses nothing that memory has."""
    units, path = Units(), tmp_path / "units.sqlite3"
    async with Saver(units, path):
        say(units)
        assert await units.kept(5)
        path.unlink()
        units.heard(LAMP, "new", runs="1.0.0")
        assert await units.kept(5)
    assert len(await read(path)) == 4


async def test_rows_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    """People edit files; what cannot be a unit is none, and the others are read."""
    units, path = Units(), tmp_path / "units.sqlite3"
    say(units, 6)
    await kept(units, path)
    changes = ("unit = 'ä'", "device = 'NO'", "protocol = 'fax'", "closed = -1", "runs = 'a b'")
    with closing(sqlite3.connect(path)) as rows, rows:
        for number, change in enumerate(changes):
            rows.execute(f"UPDATE units SET {change} WHERE place = {number}")
    assert [each.unit for each in (await read(path)).page(0, 99)[0]] == ["u5"]


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
async def test_only_a_regular_file_is_opened(tmp_path: Path, kind: str) -> None:
    """What stands in its place is neither followed nor waited for; units are remembered."""
    path = tmp_path / "units.sqlite3"
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case _:
            os.mkfifo(path)
    units = Units()
    with capture_logs() as lines:
        say(units)
        await kept(units, path)
        assert len(units) == 3
    assert [line["event"] for line in lines] == ["disk_failed"]
    assert lines[0]["hint"]
    assert not (tmp_path / "elsewhere").exists()


async def test_a_disk_that_fails_stops_nothing_and_is_tried_again(tmp_path: Path) -> None:
    """It is said once; what could not be saved is, as soon as it can be."""
    folder = tmp_path / "away"
    path = folder / "units.sqlite3"
    units = Units()
    with capture_logs() as lines:
        async with Saver(units, path, every=3600):
            for _ in range(3):
                say(units)
                assert await units.kept(5)
            folder.mkdir()
            units.closed(LAMP, "u1", 7, "1.4.0", well=True)
            assert await units.kept(5)
    assert [line["event"] for line in lines] == ["disk_failed", "units_saved_again"]
    assert len(await read(path)) == 3


async def test_that_a_unit_was_heard_again_is_saved_now_and_then(tmp_path: Path) -> None:
    """A disk is not written to at each poll, but when a unit was heard outlives a restart."""
    units, path = Units(), tmp_path / "units.sqlite3"
    async with Saver(units, path, every=0.01, heard_every=3600):
        say(units)
        assert await units.kept(5)
        before = path.stat().st_mtime_ns
        units.heard(LAMP, "u0")
        await asyncio.sleep(0.05)
        assert path.stat().st_mtime_ns == before
        last = units.find(LAMP, "u0")
    assert (await read(path)).find(LAMP, "u0") == last


async def test_a_bug_while_saving_is_one_of_a_task_and_the_next_try_comes(tmp_path: Path) -> None:
    """Nobody's request failed; what was not saved comes again."""
    broken = [True]

    async def in_thread(work: Any, *args: Any) -> Any:
        if broken[0] and getattr(work, "__name__", "") == "write":
            raise RuntimeError("a bug")
        return work(*args)

    units = Units()
    machine = replace(REAL_MACHINE, in_thread=in_thread)
    with capture_logs() as lines:
        async with Saver(units, tmp_path / "units.sqlite3", machine=machine, every=0.01):
            say(units)
            await until(lambda: lines)
            broken[0] = False
            assert await units.kept(5)
    assert {(line["event"], line["task"]) for line in lines} == {("task_crashed", "saving units")}
    assert len(await read(tmp_path / "units.sqlite3")) == 3
