"""What a server finds at its start: kills, leftovers, damage, another registry, a full disk."""

from __future__ import annotations

import asyncio
import gzip
import random
import subprocess
import time
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB."""
    mounted = tmp_path / "data"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.real("docker-registry")
async def test_a_full_disk_refuses_and_goes_on(tmp_path: Path, small_disk: Path) -> None:
    """Firmware that does not fit is refused and said so; the old one is served, room is back."""
    from real_registry import docker_registry

    async with docker_registry(tmp_path) as registry:
        small = random.Random(1).randbytes(1_000_000)
        await registry.put("acme/lamp", "1.0.0", layers=[small])
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
        with server(tmp_path, **settings, RECHECK_INTERVAL="1") as running:
            running.told("lamp", "1.0.0")
            packed = gzip.compress(bytes(30 << 20))  # 30 kB on the wire
            await registry.put("acme/lamp", "1.1.0", layers=[packed])
            deadline = time.monotonic() + 20
            while not events(running, "disk_failed"):
                assert time.monotonic() < deadline, running.log()
                await asyncio.sleep(0.1)
            assert running.get("/firmware?device=lamp").body == small
            assert len(files(running, "firmware")) == 1
            assert "No space left" in str(events(running, "disk_failed")[0]["reason"])
