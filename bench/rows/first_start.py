"""A first start before a registry with 2,000 devices of 64 KiB each: how long until all are told.

The registry is docker-registry, and nothing is on the disk. Nobody waits for `REGISTRY_RATE` then,
so `REGISTRY_CONCURRENCY` bounds it, and what a small pull takes: requests, syncs and processor.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from parts.blobs import push
from parts.distribution import distribution
from parts.effort import Effort
from parts.programs import need
from parts.server import Server, otaflux, processor_time
from parts.table import Row

DEVICES = 2_000
SIZE = 64 << 10
AT_ONCE = ("8", "32")  # REGISTRY_CONCURRENCY; the first is its default
PUSHES = 16  # at once


def rows(effort: Effort) -> Iterator[Row]:
    """How long and at what cost, for each number of devices at once."""
    need("docker-registry", "taskset")
    count = effort.few(DEVICES, 200)
    folder = effort.folder / "first-start"
    folder.mkdir()
    with distribution(folder) as url:
        asyncio.run(pushed(url, folder, count))
        for at_once in AT_ONCE:
            settings = {
                "REGISTRY_URL": url,
                "REPOSITORY_PREFIX": "bench",
                "REGISTRY_CONCURRENCY": at_once,
            }
            with otaflux(folder / f"at-once-{at_once}", settings) as server:
                what = f"{count:,} new devices of 64 KiB, {at_once} at once"
                yield from told(server, what, count)


def told(server: Server, what: str, count: int) -> Iterator[Row]:
    """The rows of one start, which began before this is called."""
    began = time.monotonic()
    idle = server.memory
    server.logged("release_published", count)
    took = server.listened + time.monotonic() - began
    each = (processor_time(server.pid) - server.spent) * 1e3 / count
    requests = server.metric("otaflux_registry_requests_total") / count
    yield Row(f"{what}: until all are told", "s", [took])
    yield Row(f"{what}: a device, processor", "ms", [each])
    yield Row(f"{what}: a device, requests", "", [requests])
    yield Row(f"{what}: memory over idle", "MiB", [server.peak - idle])


async def pushed(url: str, folder: Path, count: int) -> None:
    """Have each device's release in the registry."""
    places = asyncio.Semaphore(PUSHES)

    async def one(number: int) -> None:
        async with places:
            path = folder / f"firmware{number}.bin"
            await asyncio.to_thread(path.write_bytes, os.urandom(SIZE))
            await push(session, url, f"bench/board-{number}", "1.4.0", path)
            path.unlink()

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(one(number))
