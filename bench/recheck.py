"""What re-checking many unchanged devices costs the registry: requests for each, and the rate.

A fake registry over a real socket counts what a real server sends in one quiet stretch: limits are
two requests a device, `REGISTRY_RATE` devices a second and `REGISTRY_CONCURRENCY` at once.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from fake_registry import FakeRegistry
from push_to_poll import otaflux

DEVICES = 1000
RATE = 100
SECONDS = 8.0


async def main() -> None:
    """Print the table."""
    settings = {"REGISTRY_RATE": str(RATE), "RECHECK_INTERVAL": "5"}
    async with FakeRegistry() as registry:
        for number in range(DEVICES):
            registry.content.put(f"bench/d{number}", "1.0.0", layers=[b"firmware %d" % number])
        with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
            async with otaflux(registry.url, Path(name), settings):
                await asyncio.sleep(DEVICES / 60 + 6)  # all pulled, and the burst is over
                registry.requests.clear()
                await asyncio.sleep(SECONDS)
                asked = list(registry.requests)
    lists = [seen for seen in asked if seen.kind == "tags"]
    pulls = [seen for seen in asked if seen.kind == "blob"]
    rate = len(lists) / SECONDS
    each = len([seen for seen in asked if seen.kind != "catalog"]) / max(1, len(lists))
    print(f"{DEVICES} unchanged devices, REGISTRY_RATE {RATE}, {SECONDS:.0f} s:")
    print(
        f"  devices re-checked a second  {rate:7.1f}  limit {RATE}  {_verdict(rate <= RATE * 1.02)}"
    )
    print(f"  requests for each device     {each:7.2f}  limit 2    {_verdict(each <= 2.02)}")
    print(f"  blobs pulled                 {len(pulls):7d}  limit 0    {_verdict(not pulls)}")


def _verdict(good: object) -> str:
    return "ok" if good else "OVER"


if __name__ == "__main__":
    asyncio.run(main())
