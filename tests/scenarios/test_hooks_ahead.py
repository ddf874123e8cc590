"""Hooks that come before the registry is what they say, and hooks about tags that are no manifest.

docker-registry sends the hook of a push before it moves the tag: with slow storage always too
early. Nothing is checked again within these tests.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from fake_registry import FakeRegistry
from live_log import logged
from programs import Server, server

SECRET = "s3cret"


def settings(registry: FakeRegistry) -> dict[str, str]:
    """Those of a server that looks nowhere unless a hook tells it to."""
    return {
        "REGISTRY_URL": registry.url,
        "REPOSITORY_PREFIX": "acme",
        "WEBHOOK_SECRET": SECRET,
        "RECHECK_INTERVAL": "3600",
        "LOG_LEVEL": "debug",
    }


def say(running: Server, tag: str, digest: object = None) -> str:
    """Send a hook; answers its id."""
    said = {"repository": "acme/lamp", "tag": tag}
    body = json.dumps(said | ({"digest": str(digest)} if digest else {})).encode()
    before = sum(line["event"] == "hook_accepted" for line in running.log())
    assert running.hook(body, secret=SECRET).status == 202
    return str(logged(running, "hook_accepted", number=before + 1)[-1]["hook"])


def reconciled(running: Server, hook: str) -> int:
    """How many runs a hook caused, once there is one."""
    deadline = time.monotonic() + 20
    while True:
        runs = [e for e in running.log() if e["event"] == "reconciled" and hook in e["hooks"]]
        if runs:
            return len(runs)
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.02)


@pytest.mark.parametrize("ahead", [0.0, 1.0])
async def test_a_hook_that_comes_before_its_tag_moves_is_enough(
    tmp_path: Path, ahead: float
) -> None:
    """Where the registry says another digest than the hook did, it is asked again for some time."""
    async with FakeRegistry() as registry:
        old = registry.content.put("acme/lamp", "1.0.0", layers=[b"old"])
        new = registry.content.put("acme/lamp", None, layers=[b"the new one"])

        def run() -> None:
            with server(tmp_path, **settings(registry)) as running:
                reconciled(running, say(running, "1.0.0", old))
                running.told("lamp", "1.0.0")
                assert reconciled(running, say(running, "1.0.0", new)) >= 1
                time.sleep(ahead)
                assert running.get("/firmware?device=lamp").body == b"old"
                registry.content.tag("acme/lamp", "1.0.0", new)
                logged(running, "release_published", digest=str(new))
                assert running.get("/firmware?device=lamp").body == b"the new one"

        await asyncio.to_thread(run)


async def test_a_hook_that_the_registry_agrees_with_costs_one_look(tmp_path: Path) -> None:
    """Said twice, or without a digest, it is one run each, and no more follow."""
    async with FakeRegistry() as registry:
        digest = registry.content.put("acme/lamp", "1.0.0", layers=[b"old"])

        def run() -> None:
            with server(tmp_path, **settings(registry)) as running:
                sent = [say(running, "1.0.0", said) for said in (digest, digest, None)]
                for hook in sent:
                    reconciled(running, hook)
                time.sleep(1.2)
                assert all(reconciled(running, hook) == 1 for hook in sent)

        await asyncio.to_thread(run)


async def test_a_kept_release_whose_tag_is_no_manifest_any_more(tmp_path: Path) -> None:
    """It is kept no longer, once and for all, and what is pushed next is told."""
    async with FakeRegistry() as registry:

        def run() -> None:
            with server(tmp_path, **settings(registry)) as running:
                for tag in ("1.0.0", "1.1.0"):
                    registry.content.put("acme/lamp", tag, layers=[tag.encode()])
                    reconciled(running, say(running, tag))
                    running.told("lamp", tag)
                assert running.get("/firmware?device=lamp&version=1.0.0").body == b"1.0.0"
                registry.content.put_raw("acme/lamp", "1.0.0", b'{"schemaVersion": 7}')
                assert reconciled(running, say(running, "1.0.0")) == 1
                assert running.get("/firmware?device=lamp&version=1.0.0").status == 404
                assert running.get("/firmware?device=lamp").body == b"1.1.0"

        await asyncio.to_thread(run)
