"""The real docker-registry's own hooks, through every outage, and what they end in.

Nothing is checked again within these tests, so whatever devices are told came by a hook.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hook_port import HookPort
from live_log import logged
from programs import Server, free_port, server
from real_registry import Notify, RealRegistry, docker_registry

pytestmark = pytest.mark.real("docker-registry")

SECRET = "s3cret"
DOCS = Path(__file__).parent.parent.parent / "docs" / "registries"
BROKEN = b"\x1f\x8b\x08 no gzip at all"


def firmware(name: str) -> bytes:
    """Some bytes for a name, the same each time."""
    return random.Random(name).randbytes(60_000)


def settings(registry: RealRegistry, address: str) -> dict[str, str]:
    """Those of a server that looks nowhere unless it is told to."""
    return {
        "REGISTRY_URL": registry.url,
        "REPOSITORY_PREFIX": "acme",
        "LISTEN_ADDR": address,
        "WEBHOOK_SECRET": SECRET,
        "RECHECK_INTERVAL": "3600",
    }


def notify(url: str, secret: str = SECRET) -> Notify:
    """The registry's endpoint: impatient, so that an outage of a second is a long one."""
    return Notify(
        f"{url}/hooks/registry/distribution",
        {"Authorization": f"Bearer {secret}"},
        timeout="500ms",
        threshold=3,
        backoff="200ms",
    )


def check_told(running: Server, device: str, version: str, content: bytes) -> None:
    """A device is told a version with these bytes, and gets them."""
    told = f"{version}\n{zlib.crc32(content)}\n{len(content)}"
    assert running.get(f"/version?device={device}").body.decode() == told
    assert running.get(f"/firmware?device={device}").body == content


async def published(running: Server, device: str, tag: str) -> dict[str, Any]:
    """The line of the release's publish, once it is there."""
    fields = {"device": device, "tag": tag}
    lines = await asyncio.to_thread(logged, running, "release_published", within=30, **fields)
    return dict(lines[0])


async def test_after_every_outage_the_queue_drains_and_the_state_is_right(tmp_path: Path) -> None:
    """Answered 500, hung, refused, answers lost: in the end all pushes and deletes took effect."""
    address = f"127.0.0.1:{free_port()}"
    async with (
        HookPort(f"http://{address}") as port,
        docker_registry(tmp_path, notify=[notify(port.url)]) as registry,
    ):

        async def push(device: str, tag: str) -> Any:
            return await registry.put(f"acme/{device}", tag, layers=[firmware(f"{device} {tag}")])

        with server(tmp_path, **settings(registry, address)) as running:
            await push("lamp", "1.0.0")
            await push("sensor", "1.0.0")
            await published(running, "lamp", "1.0.0")
            withdrawn = await push("lamp", "1.1.0")
            await published(running, "sensor", "1.0.0")
            await published(running, "lamp", "1.1.0")

            port.does("errs")
            await push("sensor", "1.1.0")
            await push("gate/door", "0.9.0")
            await port.came("errs", 5)  # beyond the registry's threshold
            port.does("hangs")
            recalled = await push("sensor", "3.0.0")
            await registry.delete("acme/lamp", withdrawn)
            await port.came("hangs", 2)
            await port.refuse()
            await push("sensor", "2.0.0")
            await push("gate/door", "0.8.0")
            await registry.delete("acme/sensor", recalled)
            await asyncio.sleep(0.7)
            check_told(running, "lamp", "1.1.0", firmware("lamp 1.1.0"))
            check_told(running, "sensor", "1.0.0", firmware("sensor 1.0.0"))
            assert not [line for line in running.log() if line.get("device") == "gate/door"]

            port.does("swallows")
            await port.listen()
            await port.came("swallows", 2)
            port.does("passes")
            await published(running, "gate/door", "0.9.0")
            await published(running, "sensor", "2.0.0")
            (line,) = await asyncio.to_thread(
                logged, running, "release_withdrawn", device="lamp", within=40
            )
            assert line["tag"] == "1.1.0"
            check_told(running, "lamp", "1.0.0", firmware("lamp 1.0.0"))
            check_told(running, "sensor", "2.0.0", firmware("sensor 2.0.0"))
            check_told(running, "gate/door", "0.9.0", firmware("gate/door 0.9.0"))
            accepted = {
                (line["device"], line["tag"], line["action"])
                for line in running.log()
                if line["event"] == "hook_accepted"
            }
            assert accepted == {
                *(("lamp", tag, "push") for tag in ("1.0.0", "1.1.0")),
                *(("sensor", tag, "push") for tag in ("1.0.0", "1.1.0", "2.0.0", "3.0.0")),
                *(("gate/door", tag, "push") for tag in ("0.9.0", "0.8.0")),
                *(("lamp", tag, "delete") for tag in (None, "1.1.0")),
                *(("sensor", tag, "delete") for tag in (None, "3.0.0")),
            }
            assert not [e for e in running.log() if e.get("tag") == "3.0.0" and "size" in e]
            assert set(port.passed) == {200, 202}


async def test_a_wrong_secret_looks_as_documented_and_loses_nothing(tmp_path: Path) -> None:
    """The registry says so again and again and keeps the events; with the right one they arrive."""
    address = f"127.0.0.1:{free_port()}"
    secret = tmp_path / "secret"
    secret.write_text("another")
    endpoint = notify(f"http://{address}")
    documented = (DOCS / "distribution.md").read_text()
    page = documented.replace("https://ota.example.com", f"http://{address}")
    async with docker_registry(tmp_path, notify=[endpoint]) as registry:
        mine = settings(registry, address)
        del mine["WEBHOOK_SECRET"]
        with server(tmp_path, **mine, WEBHOOK_SECRET_FILE=str(secret)) as running:
            await registry.put("acme/sensor", "1.0.0", layers=[firmware("1")])
            await registry.put("acme/sensor", "1.1.0", layers=[firmware("2")])
            section = page.partition("## With a wrong secret")[2].partition("\n#")[0]
            said = [line for line in section.splitlines() if line.startswith("level=")]
            assert len(said) == 2
            for line in said:
                await asyncio.to_thread(registry.logged, line)
            (rejected,) = logged(running, "hook_rejected")
            assert (rejected["status"], rejected["source"]) == (401, "distribution")
            secret.write_text(SECRET)
            await published(running, "sensor", "1.1.0")
            check_told(running, "sensor", "1.1.0", firmware("2"))


def rows(running: Server, device: str) -> dict[str, dict[str, Any]]:
    """What `otaflux list` says of a device, by tag."""
    done = running.run("list", device, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (shelf,) = json.loads(done.stdout)["devices"]
    return {row["tag"]: row for row in shelf["releases"]}


async def test_a_deleted_release_and_a_moved_tag(tmp_path: Path) -> None:
    """Withdrawn by two looks ten seconds apart; moved once the new bytes can be used, and said."""
    address = f"127.0.0.1:{free_port()}"
    async with docker_registry(tmp_path, notify=[notify(f"http://{address}")]) as registry:
        with server(tmp_path, **settings(registry, address)) as running:
            pushed = []
            for tag in ("1.0.0", "1.1.0", "1.2.0"):
                pushed.append(await registry.put("acme/lamp", tag, layers=[firmware(tag)]))
                await published(running, "lamp", tag)
            await registry.delete("acme/lamp", pushed[-1])
            began = time.monotonic()

            # Meanwhile another device's tag moves: to other bytes, then to bytes of no use.
            old = await registry.put("acme/sensor", "2.0.0", layers=[firmware("old")])
            await published(running, "sensor", "2.0.0")
            new = await registry.put("acme/sensor", "2.0.0", layers=[firmware("new")])
            (warning,) = await asyncio.to_thread(
                logged, running, "release_warning", device="sensor", digest=str(new)
            )
            assert f"moved from {old}: boards that run 2.0.0 already will not" in warning["reason"]
            check_told(running, "sensor", "2.0.0", firmware("new"))
            row = (await asyncio.to_thread(rows, running, "sensor"))["2.0.0"]
            assert row["warnings"] == [warning["reason"]]
            bad = await registry.put("acme/sensor", "2.0.0", layers=[BROKEN])
            (refused,) = await asyncio.to_thread(
                logged, running, "release_refused", device="sensor", digest=str(bad)
            )
            check_told(running, "sensor", "2.0.0", firmware("new"))
            row = (await asyncio.to_thread(rows, running, "sensor"))["2.0.0"]
            assert (row["state"], row["digest"]) == ("current", str(new))
            assert refused["reason"] in " ".join(row["warnings"])

            check_told(running, "lamp", "1.2.0", firmware("1.2.0"))
            (withdrawn,) = await asyncio.to_thread(logged, running, "release_withdrawn", within=40)
            assert time.monotonic() - began > 9
            assert (withdrawn["device"], withdrawn["tag"]) == ("lamp", "1.2.0")
            check_told(running, "lamp", "1.1.0", firmware("1.1.0"))
            assert running.get("/version?device=lamp&version=1.2.0").status == 404
            kept = Path(withdrawn["file"]).read_bytes()  # noqa: ASYNC240 - nothing else runs
            assert kept == firmware("1.2.0")
            row = (await asyncio.to_thread(rows, running, "lamp"))["1.2.0"]
            assert row["state"] == "withdrawn"
