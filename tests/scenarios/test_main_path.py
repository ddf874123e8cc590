"""From a push into a real docker-registry to what devices hear: by hook, by timer, after a kill."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import Server, free_port, server
from real_registry import Notify, RealRegistry, docker_registry

SECRET = "s3cret"
pytestmark = pytest.mark.real("docker-registry")


def firmware(tag: str, size: int = 100_000) -> bytes:
    """Some bytes for a tag, the same each time."""
    return random.Random(tag).randbytes(size)


def harbor(tag: str, repository: str = "acme/sensor") -> bytes:
    """Harbor's default payload for a push."""
    namespace, _, name = repository.partition("/")
    return json.dumps(
        {
            "type": "PUSH_ARTIFACT",
            "occur_at": 1790000000,
            "operator": "ci",
            "event_data": {
                "resources": [{"tag": tag, "resource_url": f"harbor.example/{repository}:{tag}"}],
                "repository": {
                    "name": name,
                    "namespace": namespace,
                    "repo_full_name": repository,
                    "repo_type": "private",
                },
            },
        }
    ).encode()


async def rising(registry: RealRegistry, running: Server, say: Callable[[str], None]) -> None:
    """Push rising versions and others; devices hear of the rising ones, with the right bytes."""
    told = ""
    for tag in ("1.0.0", "1.1.0", "1.0.5", "latest", "1.2", "v1.2.0_build.7"):
        content = firmware(tag)
        await registry.put("acme/sensor", tag, layers=[content])
        say(tag)
        if tag in {"1.0.0", "1.1.0", "v1.2.0_build.7"}:
            told = tag.removeprefix("v").replace("_", "+")
            answer = running.told("sensor", told)
            assert answer.body.decode() == f"{told}\n{zlib.crc32(content)}\n{len(content)}"
            assert running.get("/firmware?device=sensor").body == content
        else:
            await asyncio.sleep(0.4)
            assert running.get("/version?device=sensor").body.decode().startswith(f"{told}\n")


async def test_notifications_of_a_real_registry(tmp_path: Path) -> None:
    """Its own hooks, with all its noise, tell devices of rising versions and of nothing else."""
    address = f"127.0.0.1:{free_port()}"
    hook = Notify(f"http://{address}/hooks/registry", {"Authorization": f"Bearer {SECRET}"})
    async with docker_registry(tmp_path, notify=[hook]) as registry:
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "LISTEN_ADDR": address,
            "WEBHOOK_SECRET": SECRET,
            "LOG_LEVEL": "debug",
        }
        with server(tmp_path, **settings) as running:
            await rising(registry, running, lambda _: None)
            published = running.logged("release_published", 3)
            accepted = {e["hook"] for e in running.log() if e["event"] == "hook_accepted"}
            assert [e["version"] for e in published] == ["1.0.0", "1.1.0", "1.2.0+build.7"]
            # The first poll of a device not known yet looks too, and may be quicker than its hook.
            assert all(set(e["hooks"]) & accepted for e in published[1:])
            assert set(published[0]["hooks"]) <= accepted


async def test_without_hooks_the_timer_finds_it(tmp_path: Path) -> None:
    """With RECHECK_INTERVAL alone devices hear of the same versions, a little later."""
    async with docker_registry(tmp_path) as registry:
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme/"}
        with server(tmp_path, **settings, RECHECK_INTERVAL="0.3", DEVICES="sensor") as running:
            await rising(registry, running, lambda _: None)


async def test_harbors_payload_alone(tmp_path: Path) -> None:
    """Nothing but Harbor's hook, sent by hand, is needed."""
    async with docker_registry(tmp_path) as registry:
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
        with server(tmp_path, **settings, WEBHOOK_SECRET=SECRET) as running:

            def say(tag: str) -> None:
                answer = running.hook(harbor(tag), secret=SECRET)
                assert answer.status == (202 if tag not in {"latest", "1.2"} else 200)

            await rising(registry, running, say)
            assert running.hook(harbor("9.9.9"), secret="wrong").status == 401
            assert running.hook(harbor("9.9.9"), secret=None).status == 401
            other = running.hook(harbor("9.9.9", "others/sensor"), secret=SECRET)
            assert other.status == 200
            assert b"not under REPOSITORY_PREFIX" in other.body


async def test_a_kill_and_a_registry_that_is_away(tmp_path: Path) -> None:
    """After SIGKILL the same answers come at once, with the registry stopped too."""
    async with docker_registry(tmp_path) as registry:
        content = firmware("1.0.0")
        await registry.put("acme/sensor", "1.0.0", layers=[content])
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
        with server(tmp_path, **settings) as running:
            before = running.told("sensor", "1.0.0").body
            running.stop(signal.SIGKILL)
            await registry.stop()
            running.start()
            assert running.get("/version?device=sensor").body == before
            assert running.get("/firmware?device=sensor").body == content
            unknown = running.get("/version?device=other")
            assert unknown.status == 503
            assert int(unknown.headers["Retry-After"]) > 0
            assert running.stop() == 0


async def test_a_registry_that_is_away_at_start(tmp_path: Path) -> None:
    """The server starts without it, and tells its devices once it is there."""
    async with docker_registry(tmp_path) as registry:
        await registry.put("acme/sensor", "1.0.0", layers=[firmware("1.0.0")])
        await registry.stop()
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
        with server(tmp_path, **settings, RECHECK_INTERVAL="1", DEVICES="sensor") as running:
            assert running.get("/version?device=sensor").status == 503
            await registry.start()
            running.told("sensor", "1.0.0")


async def test_a_deleted_tag_is_told_until_two_looks_agree(tmp_path: Path) -> None:
    """A withdrawal takes two looks ten seconds apart; then the next lower one is told."""
    async with docker_registry(tmp_path) as registry:
        await registry.put("acme/sensor", "1.0.0", layers=[firmware("1.0.0")])
        digest = await registry.put("acme/sensor", "1.1.0", layers=[firmware("1.1.0")])
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
        with server(tmp_path, **settings, WEBHOOK_SECRET=SECRET) as running:
            running.told("sensor", "1.1.0")
            await registry.delete("acme/sensor", digest)
            began = time.monotonic()
            hook = json.dumps({"repository": "acme/sensor", "action": "delete", "tag": "1.1.0"})
            assert running.hook(hook.encode(), secret=SECRET).status == 202
            running.told("sensor", "1.0.0", within=20)
            assert time.monotonic() - began > 9
            (line,) = running.logged("release_withdrawn")
            assert (line["tag"], line["device"]) == ("1.1.0", "sensor")
            kept = Path(line["file"]).read_bytes()  # noqa: ASYNC240 - the loop has nothing else
            assert kept == firmware("1.1.0")
