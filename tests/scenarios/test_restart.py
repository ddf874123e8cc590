"""What a server finds at its start: leftovers, damage, another registry, another server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Server, free_port, otaflux, server


def pushed(running: Server, tag: str, content: bytes) -> None:
    """Push bytes as a release of the lamp."""
    file = running.folder / f"build-{tag}.bin"
    file.write_bytes(content)
    done = running.run("push", f"lamp:{tag}", file)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def lamp(tmp_path: Path) -> Iterator[tuple[Server, bytes]]:
    """A server that told lamp:1.0.0, and was stopped."""
    content = random.Random(1).randbytes(200_000)
    with server(tmp_path) as running:
        pushed(running, "1.0.0", content)
        running.told("lamp", "1.0.0")
        running.stop()
        yield running, content


def files(running: Server, below: str) -> list[Path]:
    """The files below a folder of DATA_DIR."""
    return [path for path in (running.folder / "data" / below).rglob("*") if path.is_file()]


def events(running: Server, name: str) -> list[dict[str, object]]:
    """The log's lines of one event."""
    return [line for line in running.log() if line["event"] == name]


def test_leftovers_of_a_crash_are_removed(lamp: tuple[Server, bytes]) -> None:
    """Temporary files and firmware that nobody names are gone after a start."""
    running, content = lamp
    data = running.folder / "data"
    for place in ("catalog/.new-1", "firmware/sha256/.new-2", f"firmware/sha256/{'0' * 64}"):
        (data / place).write_bytes(b"half")
    running.start()
    assert running.get("/firmware?device=lamp").body == content
    assert len(files(running, "firmware")) == len(files(running, "catalog")) == 1


def test_a_damaged_record_is_set_aside_and_built_anew(lamp: tuple[Server, bytes]) -> None:
    """A catalog file that does not parse is kept for people, logged, and replaced."""
    running, _ = lamp
    (record,) = files(running, "catalog")
    record.write_bytes(record.read_bytes()[:100])
    running.start()
    running.told("lamp", "1.0.0")
    (line,) = events(running, "record_damaged")
    assert Path(str(line["set_aside"])).stat().st_size == 100
    assert record.stat().st_size > 100


def test_a_record_of_another_registry_is_not_served(lamp: tuple[Server, bytes]) -> None:
    """What was read from one registry is told to nobody under another, and is not lost."""
    running, content = lamp
    own = dict(running.env)
    running.env["REGISTRY_URL"] = f"http://127.0.0.1:{free_port()}"
    running.start()
    assert running.get("/version?device=lamp").status == 503
    (line,) = events(running, "record_left_out")
    assert line["device"] == "lamp"
    running.stop()
    running.env = own
    running.start()
    assert running.get("/firmware?device=lamp").body == content


def test_firmware_that_is_missing_is_pulled_again(lamp: tuple[Server, bytes]) -> None:
    """A file that somebody removed is not told, and comes back from the source."""
    running, content = lamp
    (firmware,) = files(running, "firmware")
    firmware.unlink()
    running.start()
    running.told("lamp", "1.0.0")
    assert running.get("/firmware?device=lamp").body == content
    assert events(running, "firmware_missing")


def test_a_second_server_on_one_folder_is_refused(tmp_path: Path) -> None:
    """It ends with 2 and one line, and the first one goes on."""
    with server(tmp_path) as running:
        address = f"127.0.0.1:{free_port()}"
        done = otaflux("serve", cwd=tmp_path, **{**running.env, "LISTEN_ADDR": address})
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "in use by another otaflux" in done.stderr
        assert running.get("/health").status == 200
