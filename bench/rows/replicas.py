"""Two servers, one registry, one broker: how long after a hook to one of them both are current.

A fake registry and a mosquitto with its own defaults; nothing is re-checked meanwhile. From the
hook's answer to the poll that hears of it at either, and between the two; from the start of a
broker that was killed, and of a replica that was, to the poll that hears of what was pushed
meanwhile. The registry is asked for tags twice a push, or hooks go round in circles.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import aiohttp
from fake_registry import FakeRegistry
from mosquitto import mosquitto
from parts.effort import Effort
from parts.programs import BOTH_CORES, need
from parts.server import Server, otaflux
from parts.table import Row, below
from parts.telling import send_hook

PUSHES = 30
PATIENCE = 60.0  # seconds


def rows(effort: Effort) -> Iterator[Row]:
    """All of it."""
    need("mosquitto", "taskset")
    folder = effort.folder / "replicas"
    folder.mkdir()
    yield from asyncio.run(Replicas(folder).measured())


class Replicas:
    """A registry with one device, and what pushes to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._registry = FakeRegistry()
        self._settings: dict[str, str] = {}

    async def measured(self) -> list[Row]:
        """The rows."""
        with mosquitto(self._folder) as broker, ExitStack() as stack:
            async with self._registry, aiohttp.ClientSession() as session:
                self._registry.content.put("bench/lamp", "1.0.0", layers=[b"firmware"])
                self._settings = {
                    "REGISTRY_URL": self._registry.url,
                    "REPOSITORY_PREFIX": "bench",
                    "DEVICES": "lamp",
                    "RECHECK_INTERVAL": "3600",
                    "MQTT_URL": broker.url,
                }
                one, other = (stack.enter_context(self._replica(name)) for name in "ab")
                rows = await self._pushes(session, one, other)
                broker.kill()
                await self._push(session, one, "2.0.0")
                await told(session, one, "2.0.0")
                began = time.perf_counter()
                broker.start()
                rows.append(
                    row("after the broker is back", [await told(session, other, "2.0.0") - began])
                )
                await asyncio.sleep(1)  # both are connected again
                os.kill(other.pid, signal.SIGKILL)
                await self._push(session, one, "3.0.0")
                await told(session, one, "3.0.0")
                began = time.perf_counter()
                again = stack.enter_context(self._replica("b"))
                rows.append(
                    row("after a replica's start", [await told(session, again, "3.0.0") - began])
                )
        return rows

    def _replica(self, name: str) -> AbstractContextManager[Server]:
        return otaflux(self._folder / name, self._settings, cores=BOTH_CORES)

    async def _push(self, session: aiohttp.ClientSession, to: Server, tag: str) -> float:
        """Push a release and send its hook; when that was answered."""
        self._registry.content.put("bench/lamp", tag, layers=[b"firmware %s" % tag.encode()])
        await send_hook(session, to.url(""), "lamp", tag)
        return time.perf_counter()

    async def _pushes(
        self, session: aiohttp.ClientSession, one: Server, other: Server
    ) -> list[Row]:
        """A number of pushes to one of them."""
        await asyncio.gather(*(told(session, each, "1.0.0") for each in (one, other)))
        await asyncio.sleep(2)
        before = len(self._registry.seen("tags"))
        here, there, apart = [], [], []
        for number in range(1, PUSHES + 1):
            tag = f"1.{number}.0"
            since = await self._push(session, one, tag)
            first, second = await asyncio.gather(told(session, one, tag), told(session, other, tag))
            here.append(first - since)
            there.append(second - since)
            apart.append(abs(second - first))
            await asyncio.sleep(0.3)
        looks = (len(self._registry.seen("tags")) - before) / PUSHES
        return [
            row("who got the hook", here),
            row("the other", there),
            row("between the two, at worst", [max(apart)], most=300),
            Row("two replicas: looks at tags for each push", "", [looks], goal=below(2.1)),
        ]


def row(what: str, seconds: list[float], most: float | None = None) -> Row:
    """In milliseconds."""
    goal = None if most is None else below(most)
    return Row(f"two replicas: {what}", "ms", [each * 1000 for each in seconds], goal=goal)


async def told(session: aiohttp.ClientSession, server: Server, version: str) -> float:
    """When a poll first hears that version."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with session.get(server.url("/version?device=lamp")) as answer:
                    if (await answer.read()).startswith(version.encode() + b"\n"):
                        return time.perf_counter()
            except aiohttp.ClientError:
                pass  # it starts
            await asyncio.sleep(0.001)
