"""What re-checking many unchanged devices costs the registry: requests for each, and the rate.

A fake registry over a real socket counts what a real server sends in one quiet stretch: limits are
two requests a device, `REGISTRY_RATE` devices a second and `REGISTRY_CONCURRENCY` at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fake_registry import FakeRegistry, Seen
from parts.effort import Effort
from parts.server import otaflux
from parts.table import Row, below

DEVICES = 1000
RATE = 100
SECONDS = 8.0


def rows(effort: Effort) -> Iterator[Row]:
    """Three figures."""
    asked = asyncio.run(watched(effort))
    lists = [seen for seen in asked if seen.kind == "tags"]
    pulls = [seen for seen in asked if seen.kind == "blob"]
    each = len([seen for seen in asked if seen.kind != "catalog"]) / max(1, len(lists))
    what = f"{DEVICES:,} unchanged devices"
    rate = len(lists) / SECONDS
    yield Row(f"{what}: re-checked at REGISTRY_RATE={RATE}", "/s", [rate], goal=below(RATE * 1.02))
    yield Row(f"{what}: requests for each", "", [each], goal=below(2.02))
    yield Row(f"{what}: blobs pulled", "", [len(pulls)], goal=below(0))


async def watched(effort: Effort) -> list[Seen]:
    """What the registry was asked in the quiet stretch."""
    async with FakeRegistry() as registry:
        for number in range(DEVICES):
            registry.content.put(f"bench/d{number}", "1.0.0", layers=[b"firmware %d" % number])
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "bench",
            "REGISTRY_RATE": str(RATE),
            "RECHECK_INTERVAL": "5",
        }
        with otaflux(effort.folder / "recheck", settings):
            await asyncio.sleep(DEVICES / 60 + 6)  # all pulled, and the burst is over
            registry.requests.clear()
            await asyncio.sleep(SECONDS)
            return list(registry.requests)
