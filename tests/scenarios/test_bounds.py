"""What a server keeps to: memory, who is served with credentials, a folder that it cannot write."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_registry import FakeRegistry
from programs import PROGRAM, Server, free_port, otaflux, server

BLOB = int(os.environ.get("BLOB_MIB", "64")) << 20
MEMORY = 48  # MiB over idle, whatever the size of the blob
SECRET = "s3cret"


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
            with server(tmp_path, **settings, WEBHOOK_SECRET=SECRET) as running:
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


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that is mounted read-only, which binds root too."""
    mounted = tmp_path / "data"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a read-only file system")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_folder_that_cannot_be_written_stops_the_start(read_only: Path, tmp_path: Path) -> None:
    """Exit 2, and one line that says what to do."""
    done = otaflux(
        "serve",
        cwd=tmp_path,
        DATA_DIR=str(read_only),
        LISTEN_ADDR=f"127.0.0.1:{free_port()}",
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "DATA_DIR" in done.stderr
    assert "mount it so that OtaFlux can write" in done.stderr


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
