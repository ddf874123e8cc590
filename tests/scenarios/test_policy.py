"""A policy of the registry that withholds a release: the next lower one stands meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fake_harbor import UNSIGNED, FakeHarbor
from live_log import logged
from programs import server

SECRET = "s3cret-of-the-hooks"


async def test_what_harbors_policy_withholds_holds_up_nothing_below_it(tmp_path: Path) -> None:
    """A fresh server tells the version below, with the reason; a signature's hook is a new look."""
    async with FakeHarbor() as registry:
        for tag in ("1.0.0", "2.0.0"):
            digest = registry.content.put("acme/lamp", tag, layers=[tag.encode()])
        registry.withheld["2.0.0"] = UNSIGNED
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "REGISTRY_USERNAME": "robot",
            "REGISTRY_PASSWORD": "s3cret",
            "WEBHOOK_SECRET": SECRET,
            "RECHECK_INTERVAL": "3600",
        }

        def run() -> None:
            with server(tmp_path, **settings) as running:
                running.told("lamp", "1.0.0")
                (refused,) = logged(running, "release_refused")
                assert refused["tag"] == "2.0.0"
                assert UNSIGNED in refused["reason"]
                listed = running.run("list", "--json", "lamp")
                rows = json.loads(listed.stdout)["devices"][0]["releases"]
                assert [(row["tag"], row["state"]) for row in rows] == [
                    ("2.0.0", "unusable"),
                    ("1.0.0", "current"),
                ]
                assert UNSIGNED in rows[0]["reason"]
                registry.withheld.clear()
                said = {"repository": "acme/lamp", "tag": f"sha256-{digest.hex}.sig"}
                assert running.hook(json.dumps(said).encode(), secret=SECRET).status == 202
                running.told("lamp", "2.0.0")

        await asyncio.to_thread(run)
