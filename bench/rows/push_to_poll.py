"""From a push into a real docker-registry to what devices are told, of small firmware.

With a key and a bundle that was attached before the hook a signed release may be told 150 ms after
an unsigned one. The registry's own notifications are off here, so that the moment of the hook is
known.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from fake_content import Layer
from parts.effort import Effort
from parts.programs import need
from parts.server import otaflux
from parts.table import Row, below
from parts.telling import send_hook, told_after_hook
from real_registry import RealRegistry, docker_registry
from signed_content import BUNDLE, bundle, public

from otaflux.work.queue import GAP

PUSHES = 20


def rows(effort: Effort) -> Iterator[Row]:
    """Milliseconds of a number of pushes each; the goals are for their middle."""
    need("docker-registry", "taskset")
    folder = effort.folder / "push"
    for path in (folder, *(folder / name for name in ("four", "one", "signed"))):
        path.mkdir()
    (folder / "key.pem").write_text(public("a"))
    answered, told = asyncio.run(measured(folder / "four", 4 << 20))
    yield Row("a hook answered, 4 MiB behind it", "ms", answered, goal=below(20))
    yield Row("hook to told, 4 MiB", "ms", told, goal=below(150))
    _, told = asyncio.run(measured(folder / "one", 1 << 20))
    yield Row("hook to told, 1 MiB", "ms", told, goal=below(150))
    _, later = asyncio.run(measured(folder / "signed", 1 << 20, signed=True))
    yield Row("hook to told, 1 MiB, signed", "ms", later, told, "unsigned", below(300))


async def push(registry: RealRegistry, tag: str, size: int, *, signed: bool) -> None:
    """Push firmware, and attach a bundle to it as cosign 3 does."""
    digest = await registry.put("bench/lamp", tag, layers=[os.urandom(size)])
    if signed:
        layer = Layer(bundle(digest.hex, "a"), media_type=BUNDLE)
        attached = await registry.put(
            "bench/lamp", None, layers=[layer], artifact_type=BUNDLE, subject=digest
        )
        await registry.put_index("bench/lamp", f"sha256-{digest.hex}", [attached])


async def measured(
    folder: Path, size: int, *, signed: bool = False
) -> tuple[list[float], list[float]]:
    """Milliseconds to the answer, and to the poll that hears of it, for each push."""
    settings = {"REPOSITORY_PREFIX": "bench", "DEVICES": "lamp"}
    settings |= {"COSIGN_PUB_KEY_PATH": str(folder.parent / "key.pem")} if signed else {}
    answered: list[float] = []
    told: list[float] = []
    async with docker_registry(folder) as registry, aiohttp.ClientSession() as session:
        settings["REGISTRY_URL"] = registry.url
        with otaflux(folder / "ours", settings) as server:
            url = server.url("")
            for number in range(PUSHES + 2):
                version = f"1.0.{number}"
                await push(registry, version, size, signed=signed)
                took = await told_after_hook(session, url, "lamp", version)
                answer = await send_hook(session, url, "lamp", version)
                if number >= 2:  # the first ones warm up
                    answered.append(answer * 1000)
                    told.append(took * 1000)
                await asyncio.sleep(2 * GAP)  # else the next hook waits behind this one's looks
    return answered, told
