"""A DATA_DIR in which others wrote: what is there is not believed, not followed and not waited for.

Each with the real program.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import Server, server

CONTENT = random.Random(1).randbytes(200_000)
OTHER = random.Random(2).randbytes(200_000)


def pushed(running: Server, release: str, content: bytes) -> None:
    """Push bytes as a release."""
    file = running.folder / "build.bin"
    file.write_bytes(content)
    done = running.run("push", release, file)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def lamp(tmp_path: Path) -> Iterator[Server]:
    """A server that told lamp:1.0.0, and was stopped."""
    with server(tmp_path) as running:
        pushed(running, "lamp:1.0.0", CONTENT)
        running.told("lamp", "1.0.0")
        running.stop()
        yield running


def only_file(running: Server, below: str) -> Path:
    """The one file below a folder of DATA_DIR."""
    (found,) = (path for path in (running.folder / "data" / below).rglob("*") if path.is_file())
    return found


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serves(running: Server, content: bytes) -> bool:
    """Whether devices get exactly that."""
    answer = running.get("/firmware?device=lamp")
    return answer.status == 200 and answer.body == content


def change_a_byte(file: Path) -> None:
    """As a disk or a person does: the size stays."""
    with file.open("r+b") as opened:
        opened.seek(100_000)
        opened.write(bytes([CONTENT[100_000] ^ 1]))


def cut_short(file: Path) -> None:
    """Half of it is gone."""
    os.truncate(file, 100_000)


def put_a_link(file: Path) -> None:
    """Of the right size, to what nobody pushed."""
    elsewhere = file.parents[3] / "elsewhere"
    elsewhere.write_bytes(OTHER)
    file.unlink()
    file.symlink_to(elsewhere)


def put_a_folder(file: Path) -> None:
    """With something in it."""
    file.unlink()
    file.mkdir()
    (file / "inner").write_bytes(b"x")


def put_a_pipe(file: Path) -> None:
    """Into which nobody writes."""
    file.unlink()
    os.mkfifo(file)


SPOIL = [change_a_byte, cut_short, put_a_link, put_a_folder, put_a_pipe, Path.unlink]


@pytest.mark.parametrize("spoil", SPOIL)
def test_firmware_that_was_spoilt_while_the_server_was_down_is_pulled_again(
    lamp: Server, spoil: Callable[[Path], None]
) -> None:
    """What was told is what is got again, soon after the start, and the log says why."""
    spoil(only_file(lamp, "firmware"))
    lamp.start()
    eventually(lambda: serves(lamp, CONTENT))
    said = {line["event"] for line in lamp.log()}
    assert said & {"firmware_missing", "firmware_damaged"}
    assert lamp.stop() == 0


def test_damaged_firmware_is_served_to_nobody_while_the_source_is_away(lamp: Server) -> None:
    """From the moment that it is known, though it cannot be pulled again."""
    change_a_byte(only_file(lamp, "firmware"))
    shutil.move(lamp.folder / "data" / "registry", lamp.folder / "unmounted")
    lamp.start()
    eventually(lambda: "firmware_damaged" in {line["event"] for line in lamp.log()})
    for target in ("/version?device=lamp", "/firmware?device=lamp"):
        assert lamp.get(target).status == 503
    shutil.move(lamp.folder / "unmounted", lamp.folder / "data" / "registry")
    eventually(lambda: serves(lamp, CONTENT))


@pytest.mark.parametrize("spoil", [put_a_link, put_a_folder, put_a_pipe])
def test_what_is_no_file_in_a_records_place_is_set_aside(
    lamp: Server, spoil: Callable[[Path], None]
) -> None:
    """The start neither hangs nor follows it, says so, and the record is built anew."""
    record = only_file(lamp, "catalog")
    aside = record.with_suffix(".damaged")
    aside.mkdir()
    (aside / "of-an-earlier-time").touch()
    spoil(record)
    lamp.start()
    eventually(lambda: serves(lamp, CONTENT))
    assert [line["event"] for line in lamp.log()].count("record_damaged") == 1
    eventually(lambda: record.is_file() and not record.is_symlink())
    assert lamp.stop() == 0


def test_pipes_in_the_embedded_folder_stop_neither_publishing_nor_the_end(tmp_path: Path) -> None:
    """As many as there are threads, as indexes, blobs and the device's folder's other files."""
    root = tmp_path / "data" / "registry"
    for number in range(40):
        folder = root / f"pipe-{number}"
        folder.mkdir(parents=True)
        os.mkfifo(folder / "index.json")
        os.mkfifo(folder / "oci-layout")
    with server(tmp_path) as running:
        pushed(running, "lamp:1.0.0", CONTENT)
        running.told("lamp", "1.0.0")
        (blob,) = (
            path for path in (root / "lamp" / "blobs").rglob("*") if path.stat().st_size == 200_000
        )
        shutil.copytree(root / "lamp", root / "lamp2")
        for taken in (root / "lamp2", root / "lamp3"):
            shutil.copytree(root / "lamp", taken, dirs_exist_ok=True)
            blob_there = taken / blob.relative_to(root / "lamp")
            blob_there.unlink()
            os.mkfifo(blob_there)
        os.mkfifo(root / "lamp" / ".lock.pipe")
        pushed(running, "lamp:1.1.0", OTHER)
        running.told("lamp", "1.1.0")
        began = time.monotonic()
        assert running.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("linked", ["index.json", "blobs", "blobs/sha256", "."])
def test_links_in_the_embedded_folder_are_not_followed(tmp_path: Path, linked: str) -> None:
    """A device whose index or blobs lie elsewhere is told nothing from there."""
    root = tmp_path / "data" / "registry"
    with server(tmp_path) as running:
        pushed(running, "lamp:1.0.0", CONTENT)
        running.told("lamp", "1.0.0")
        shutil.copytree(root / "lamp", tmp_path / "elsewhere")
        shutil.copytree(root / "lamp", tmp_path / "trap")
        there = tmp_path / "trap" / linked
        if linked == ".":
            there = root / "trap"
        else:
            shutil.rmtree(there) if there.is_dir() else there.unlink()
        there.symlink_to(tmp_path / "elsewhere" / linked)
        if linked != ".":
            (tmp_path / "trap").rename(root / "trap")
        time.sleep(1.5)  # the folder is looked at each second
        assert running.get("/version?device=trap").status in {404, 503}
