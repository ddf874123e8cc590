"""Somebody else at the broker: sees what is sent, and sends.

    async with onlooker(broker.url, "home/#") as seen:
        await seen.until(lambda: "home/lamp" in seen.last)
        await seen.send("home/lamp", b"", retain=True)

Retained messages that were there before come first. What comes is decoded where it is JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from waiting import until


class Onlooker:
    """`all` has each message in its order, `last` the last of each topic; None is a removal."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.all: list[tuple[str, Any]] = []
        self.last: dict[str, Any] = {}

    async def listen(self) -> None:
        """Take what comes, until cancelled."""
        async for message in self._client.messages:
            if "/$otaflux/replicas/" in str(message.topic):
                continue  # what a replica says to itself
            payload = message.payload
            assert isinstance(payload, bytes)
            try:
                said: Any = json.loads(payload) if payload else None
            except (ValueError, RecursionError):
                said = payload
            self.all.append((str(message.topic), said))
            self.last[str(message.topic)] = said

    async def send(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish."""
        await self._client.publish(topic, payload, qos=1, retain=retain)

    async def send_all(self, topic: str, payloads: Iterable[bytes]) -> None:
        """Publish several, without waiting for each."""
        await asyncio.gather(*(self.send(topic, payload) for payload in payloads))

    async def until(self, holds: object, seconds: float = 5.0) -> None:
        """Wait until `holds()`."""
        await until(holds, seconds)

    def of(self, topic: str) -> list[Any]:
        """The messages of one topic, in their order."""
        return [said for where, said in self.all if where == topic]


@asynccontextmanager
async def onlooker(
    url: str, topic: str, *, username: str | None = None, password: str | None = None
) -> AsyncIterator[Onlooker]:
    """An onlooker who hears `topic`."""
    at = urlsplit(url)
    assert at.hostname is not None
    assert at.port is not None
    async with aiomqtt.Client(at.hostname, at.port, username=username, password=password) as client:
        client.pending_calls_threshold = 10_000
        seen = Onlooker(client)
        await client.subscribe(topic)
        listening = asyncio.create_task(seen.listen())
        try:
            yield seen
        finally:
            listening.cancel()
            await asyncio.wait([listening])
