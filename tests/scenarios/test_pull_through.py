"""docker-registry as a pull-through cache, really: its upstream away withdraws nothing."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from live_log import logged
from programs import server
from real_registry import docker_registry

SECRET = "s3cret-of-the-hooks"


@pytest.mark.real("docker-registry")
async def test_a_cache_whose_upstream_is_away_withdraws_nothing(tmp_path: Path) -> None:
    """What it has cached is told on, restarts and re-checks of a cache that forgot all included."""
    for name in ("upstream", "cache", "server"):
        (tmp_path / name).mkdir()
    async with docker_registry(tmp_path / "upstream") as upstream:
        await upstream.put("acme/lamp", "1.0.0", layers=[b"one"])
        await upstream.put("acme/lamp", "1.1.0", layers=[b"one and a half"])
        proxy = {"proxy": {"remoteurl": upstream.url}}
        async with docker_registry(tmp_path / "cache", more=proxy) as cache:
            settings = {
                "REGISTRY_URL": cache.url,
                "REPOSITORY_PREFIX": "acme",
                "DEVICES": "lamp",
                "RECHECK_INTERVAL": "1",
                "WITHDRAW_AFTER": "3600",
                "WEBHOOK_SECRET": SECRET,
                "LOG_LEVEL": "debug",
            }

            def told(within: float) -> None:
                """Look again and again, by re-checks and by the hooks of a push."""
                deadline = time.monotonic() + within
                while time.monotonic() < deadline:
                    said = {"repository": "acme/lamp", "tag": "1.1.0"}
                    assert running.hook(json.dumps(said).encode(), secret=SECRET).status == 202
                    answer = running.get("/version?device=lamp")
                    assert answer.body.startswith(b"1.1.0\n"), answer
                    time.sleep(0.3)

            with server(tmp_path / "server", **settings) as running:
                await asyncio.to_thread(running.told, "lamp", "1.1.0")
                await upstream.stop()
                await asyncio.to_thread(told, 4)
                await cache.stop()
                data = cache.folder / "registry-data"
                data.rename(tmp_path / "forgotten")
                data.mkdir()
                await upstream.start()
                await cache.start()
                await upstream.stop()
                await asyncio.to_thread(told, 4)
                assert not [e for e in running.log() if e["event"] == "release_withdrawn"]
                await upstream.start()
                await upstream.put("acme/lamp", "1.2.0", layers=[b"two"])
                await asyncio.to_thread(running.told, "lamp", "1.2.0")
                assert logged(running, "release_published", version="1.2.0")
