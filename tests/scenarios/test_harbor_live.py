"""A server beside a Harbor that other teams use too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fake_harbor import FakeHarbor
from live_log import logged
from programs import server

SECRET = "s3cret-of-the-hooks"
SOON = 5.0  # seconds; a login that is locked is not tried for ten


async def test_names_that_strangers_poll_for_hold_up_no_push(tmp_path: Path) -> None:
    """Names that Harbor cannot have are 404, those it keeps to itself 503; the fleet goes on."""
    async with FakeHarbor(projects=("acme", "other")) as registry:
        registry.unreadable.add("other")
        registry.content.put("acme/sensor", "1.0.0", layers=[b"one"])
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "/",
            "REGISTRY_USERNAME": "robot",
            "REGISTRY_PASSWORD": "s3cret",
            "WEBHOOK_SECRET": SECRET,
            "RECHECK_INTERVAL": "3600",
        }

        def run() -> None:
            with server(tmp_path, **settings) as running:
                assert running.get("/version?device=lamp").status == 404
                for name in ("other/a", "other/b", "other/c"):
                    answer = running.get(f"/version?device={name}")
                    assert answer.status == 503
                    assert "Retry-After" in answer.headers
                (line,) = logged(running, "registry_failed", device="other/a")
                assert "unauthorized to access repository: other/a" in line["reason"]
                said = {"repository": "acme/sensor", "tag": "1.0.0"}
                assert running.hook(json.dumps(said).encode(), secret=SECRET).status == 202
                running.told("acme/sensor", "1.0.0", within=SOON)
                assert running.get("/version?device=nowhere/x").status == 503
                (line,) = logged(running, "registry_failed", device="nowhere/x")
                assert "project nowhere not found" in line["reason"]
                assert "REPOSITORY_PREFIX" in line["hint"]

        await asyncio.to_thread(run)
