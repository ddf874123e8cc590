"""`otaflux pull` of a small file, against fetching it by hand, with a sync."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from parts.blobs import push
from parts.by_hand import ByHand
from parts.distribution import distribution
from parts.effort import Effort
from parts.programs import need
from parts.server import command
from parts.table import Row, below, compared

SIZE = 64 << 10


def rows(effort: Effort) -> Iterator[Row]:
    """One row."""
    need("docker-registry", "taskset")
    folder = effort.folder / "small"
    folder.mkdir()
    path = folder / "firmware.bin"
    path.write_bytes(os.urandom(SIZE))
    with distribution(folder) as url:
        digest = asyncio.run(pushed(url, path))
        settings = {"REGISTRY_URL": url, "REPOSITORY_PREFIX": "bench"}
        hand = ByHand(url, folder)
        rounds = effort.in_turns(
            lambda: command(
                folder, "pull", "lamp:1.4.0", "-o", str(folder / "ours"), more=settings
            ),
            lambda: hand.fetch("bench/lamp", digest),
        )
    yield compared("`otaflux pull` of 64 KiB", "s", rounds, hand.name, below(0.25))


async def pushed(url: str, path: Path) -> str:
    """The digest of its blob."""
    async with aiohttp.ClientSession() as session:
        return await push(session, url, "bench/lamp", "1.4.0", path)
