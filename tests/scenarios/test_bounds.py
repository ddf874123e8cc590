"""What a server keeps to: memory, room on the disk, who is served with credentials."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_registry import FakeRegistry
from mounts import mounted
from programs import PROGRAM, Server, free_port, otaflux, server
from remains import Remains

BLOB = int(os.environ.get("BLOB_MIB", "64")) << 20
MEMORY = 48  # MiB over idle, whatever the size of the blob
SECRET = "s3cret"
PATIENCE = 30.0  # seconds
RECORDS = 64 << 10  # bytes that records and folders may take besides firmware


def until(found: Callable[[], Any]) -> Any:
    """What is found, once there is something."""
    deadline = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def events(running: Server, name: str) -> list[dict[str, Any]]:
    """The log's lines of one event."""
    return [line for line in running.log() if line["event"] == name]


def memory(running: Server, field: str) -> float:
    """MiB that the server has (`VmRSS`), or had at most (`VmHWM`)."""
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1024


async def test_memory_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    """A blob larger than the bound is pulled within it, and given to devices whole."""
    async with FakeRegistry() as registry:
        registry.content.put("acme/big", "1.0.0", layers=[b"small"])
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme", "DEVICES": "big"}

        def pulled(content: bytes) -> float:
            with server(tmp_path, fresh=True, **settings, WEBHOOK_SECRET=SECRET) as running:
                running.told("big", "1.0.0")
                assert running.process is not None
                idle = memory(running, "VmRSS")
                Path(f"/proc/{running.process.pid}/clear_refs").write_text("5")
                registry.content.put("acme/big", "1.1.0", layers=[content])
                hook = json.dumps({"repository": "acme/big", "tag": "1.1.0"}).encode()
                assert running.hook(hook, secret=SECRET).status == 202
                running.told("big", "1.1.0", within=60)
                grown = memory(running, "VmHWM") - idle
                assert running.get("/firmware?device=big").body == content
                return grown

        grown = await asyncio.to_thread(pulled, random.Random(3).randbytes(1 << 20) * (BLOB >> 20))
        print(f"{grown:.1f} MiB over idle")  # noqa: T201 - shown with -s, for the figures
        assert grown <= MEMORY


async def test_with_credentials_and_no_prefix_only_devices_are_served(tmp_path: Path) -> None:
    """What else the credentials can read is not public, by polls, by hooks, or after a restart."""
    async with FakeRegistry(auth="basic") as registry:
        for repository in ("sensor", "private"):
            registry.content.put(repository, "1.0.0", layers=[repository.encode()])
        settings = {
            "REGISTRY_URL": registry.url,
            "REGISTRY_USERNAME": "robot",
            "REGISTRY_PASSWORD": "s3cret",
            "WEBHOOK_SECRET": SECRET,
        }

        def check() -> None:
            with server(tmp_path, **settings, DEVICES="sensor") as running:
                running.told("sensor", "1.0.0")
                hook = json.dumps({"repository": "private", "tag": "1.0.0"}).encode()
                answer = running.hook(hook, secret=SECRET)
                assert answer.status == 200
                assert b"REPOSITORY_PREFIX" in answer.body
                assert running.get("/version?device=private").status == 404
                assert running.get("/firmware?device=private").status == 404
                assert [e for e in running.log() if e["event"] == "only_devices"]
                running.stop()
                running.env["DEVICES"] = ""
                running.start()
                assert running.get("/version?device=sensor").status == 404

        await asyncio.to_thread(check)
        assert {seen.repository for seen in registry.requests} <= {"", "sensor"}


async def test_a_malformed_event_in_a_known_envelope_is_ignored(tmp_path: Path) -> None:
    """The registry is told 200, or it would send it for ever; the others in it count."""
    event = {
        "id": "1",
        "timestamp": "2026-01-02T03:04:05Z",
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": "sha256:" + "0" * 64,
            "repository": "acme/sensor",
            "tag": "1.0.0",
        },
    }
    async with FakeRegistry() as registry:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"firmware"])
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}

        def check() -> None:
            with server(tmp_path, **settings, WEBHOOK_SECRET=SECRET) as running:
                for events, status in (
                    ([{**event, "target": None}], 200),
                    ([{**event, "target": {**event["target"], "repository": 7}}], 200),
                    ([{**event, "target": None}, event], 202),
                ):
                    answer = running.hook(json.dumps({"events": events}).encode(), secret=SECRET)
                    assert answer.status == status, answer
                    assert json.loads(answer.body)["ignored"]
                running.told("sensor", "1.0.0")
                assert running.hook(b'{"hello": 1}', secret=SECRET).status == 400

        await asyncio.to_thread(check)


@pytest.mark.mounts
def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """Exit 2, and one line that says what to do; a disk mounted read-only binds root too."""
    with mounted(tmp_path / "data", "ro") as data:
        done = otaflux(
            "serve",
            cwd=tmp_path,
            DATA_DIR=str(data),
            LISTEN_ADDR=f"127.0.0.1:{free_port()}",
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "DATA_DIR" in done.stderr
    assert "mount it so that OtaFlux can write" in done.stderr


TOO_LARGE = 30 << 20  # bytes, for a disk of 20 MB
LARGE = {
    "known before it is read": ("build.bin", "DATA_DIR has too little room"),
    "seen while it is unpacked": ("build.bin.gz", "No space left"),  # 30 kB
}


@pytest.mark.mounts
@pytest.mark.real("docker-registry")
@pytest.mark.parametrize("when", LARGE)
async def test_a_full_disk_refuses_and_goes_on(tmp_path: Path, when: str) -> None:
    """Firmware that does not fit is refused and said so; the old one is served, room is back."""
    from real_registry import docker_registry

    large, reason = LARGE[when]
    small = {version: random.Random(version).randbytes(1_000_000) for version in ("1.0.0", "1.2.0")}
    (tmp_path / "build.bin").write_bytes(random.Random(4).randbytes(TOO_LARGE))
    (tmp_path / "build.bin.gz").write_bytes(gzip.compress(bytes(TOO_LARGE)))
    for version, content in small.items():
        (tmp_path / version).write_bytes(content)

    def check(running: Server, data: Path) -> None:
        def push(version: str, file: str) -> None:
            done = running.run("push", f"lamp:{version}", file)
            assert done.returncode == 0, done.stderr

        push("1.0.0", "1.0.0")
        running.told("lamp", "1.0.0")
        free = shutil.disk_usage(data).free
        push("1.1.0", large)
        line = until(lambda: events(running, "disk_failed"))[0]
        assert line["device"] == "lamp"
        assert reason in str(line["reason"])
        assert line["hint"]
        assert running.get("/firmware?device=lamp").body == small["1.0.0"]
        # It is tried again and again, so that there is less room for a moment each time.
        until(lambda: shutil.disk_usage(data).free >= free - RECORDS)
        push("1.2.0", "1.2.0")
        running.told("lamp", "1.2.0")
        assert running.get("/firmware?device=lamp").body == small["1.2.0"]
        assert running.stop() == 0
        left = Remains(data)
        assert set(left.files) == {sha256(content).hexdigest() for content in small.values()}
        assert not left.temporaries()

    with mounted(tmp_path / "data", "size=20m") as data:
        async with docker_registry(tmp_path) as registry:
            settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
            with server(tmp_path, **settings, RECHECK_INTERVAL="0.5") as running:
                await asyncio.to_thread(check, running, data)


def test_a_start_after_a_kill_of_many_starts_leaves_nothing(tmp_path: Path) -> None:
    """Starts that are killed at any instant do not make the folder grow."""
    chance = random.Random(2)
    with server(tmp_path) as running:
        running.stop()
        before = sorted(path.name for path in (tmp_path / "data").rglob("*"))
        for _ in range(4):
            process = subprocess.Popen(
                [PROGRAM],
                cwd=tmp_path,
                env={**os.environ, **running.env},
                stdout=subprocess.DEVNULL,
            )
            time.sleep(chance.uniform(0.2, 1))
            process.kill()
            process.wait()
        (tmp_path / "data" / ".new-0123").write_bytes(b"")
        running.start()
        assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == before
