"""A repository with ten thousand tags, behind token authentication, a hundred to a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fake_registry import FakeRegistry
from programs import server


def requests_of_runs(folder: Path, settings: dict[str, str]) -> list[int]:
    """Run a server until the version is told; how many requests each run took."""
    with server(folder, **settings) as running:
        running.told("sensor", "1.0.1")
        assert running.stop() == 0
        return [line["requests"] for line in running.log() if line["event"] == "reconciled"]


async def test_the_right_one_of_ten_thousand_tags(tmp_path: Path) -> None:
    """The highest version is told; the log has the number of requests that it took."""
    async with FakeRegistry(auth="bearer", page_size=100) as registry:
        digest = registry.content.put("acme/sensor", "1.0.0", layers=[b"old"])
        for number in range(9_998):
            registry.content.tag("acme/sensor", f"0.{number // 100}.{number % 100}", digest)
        registry.content.put("acme/sensor", "1.0.1", layers=[b"new"])
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "REGISTRY_USERNAME": "robot",
            "REGISTRY_PASSWORD": "s3cret",
            "DEVICES": "sensor",
            "LOG_LEVEL": "debug",
        }
        runs = await asyncio.to_thread(requests_of_runs, tmp_path, settings)
        # 100 pages, the manifest and the blob; then tokens, and a 401 that asks for the first.
        assert 102 <= runs[0] <= 110
