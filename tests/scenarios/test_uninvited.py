"""Repositories that were never meant for devices: what a poll for one costs, what is said of it.

The real server and commands before a fake registry.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fake_content import Layer
from fake_registry import FakeRegistry
from programs import Server, server

PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
IMAGES = [f"1.27.{number}" for number in range(40)]


def play(folder: Path, registry: FakeRegistry) -> None:
    """Polls for container images, over a restart, and what `otaflux list` says then."""
    settings = {"REGISTRY_URL": registry.url, "LOG_LEVEL": "debug"}
    with server(folder, **settings) as running:
        for _ in range(3):
            assert running.get("/version?device=library/nginx").status == 404
        assert running.stop() == 0
        refused = [line for line in running.log() if line["event"] == "release_refused"]
        assert sorted(line["tag"] for line in refused) == ["1.27.37", "1.27.38", "1.27.39"]
    with server(folder, **settings) as again:
        assert again.get("/version?device=library/nginx").status == 404
        assert rows(again) == {
            **dict.fromkeys(IMAGES, ("not tried", "")),
            **dict.fromkeys(IMAGES[-3:], ("unusable", refused[0]["reason"])),
        }


def rows(running: Server) -> dict[str, tuple[str, str]]:
    """State and reason of each tag, as `otaflux list` has them."""
    done = running.run("list", "library/nginx", "--json")
    assert done.returncode == 0, done.stderr
    (device,) = json.loads(done.stdout)["devices"]
    return {row["tag"]: (row["state"], row["reason"]) for row in device["releases"]}


async def test_a_poll_for_container_images_is_three_pulls_once(tmp_path: Path) -> None:
    """However often it comes, over a restart too; `list` says of those three why they are not."""
    async with FakeRegistry() as registry:
        for tag in IMAGES:
            broken = Layer(b"\x1f\x8b no gzip " + tag.encode(), "", PACKED)
            registry.content.put("library/nginx", tag, layers=[broken])
        await asyncio.to_thread(play, tmp_path, registry)
        assert len(registry.seen("blob")) == 3
