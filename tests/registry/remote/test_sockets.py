"""A body in chunks of one byte is read a little at a time; a blob is not slowed down by that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.model.artifact import Manifest
from otaflux.model.names import Tag

TAGS = b'{"name":"acme/sensor","tags":["1.0.0"' + b" " * 200_000 + b"]}"


@asynccontextmanager
async def in_single_bytes() -> AsyncIterator[str]:
    """A registry that sends one listing in chunks of one byte; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in TAGS)
        writer.write(body + b"0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_others_get_their_turn_while_a_body_comes_in_single_bytes() -> None:
    """For each few kilobytes on the wire the loop goes round: counted in turns, not in seconds."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with in_single_bytes() as url, remote(None, url=url) as client:
        counting = asyncio.create_task(count())
        assert (await client.tags(SENSOR)).tags
        counting.cancel()
    on_the_wire = 6 * len(TAGS)
    assert turns >= on_the_wire / (12 * 1024)


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_blob_comes_in_large_pieces_and_whole(size: int) -> None:
    """Its connection is as wide as ever, and is a modest one again afterwards."""
    content = bytes(range(256)) * (size // 256 + 1)
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[content])
        manifest = await client.resolve(SENSOR, Tag("1.0.0"))
        assert isinstance(manifest, Manifest)
        async with client.open_blob(SENSOR, manifest.layers[0], max_bytes=1 << 30) as reader:
            whole = b""
            while piece := await asyncio.to_thread(reader.read):
                whole += piece
        assert whole == content
        assert (await client.tags(SENSOR)).tags
