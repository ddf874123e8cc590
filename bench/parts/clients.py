"""What strangers do to the port: bytes that are not read, places that are held, names made up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from parts.siege import Siege

HOLD = 12.0  # seconds that an attack lasts

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(siege: Siege, *, tls: bool = False) -> Stream:
    """A connection to the server."""
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return await asyncio.wait_for(
        asyncio.open_connection("127.0.0.1", siege.port, ssl=context, limit=1 << 16), 20
    )


@asynccontextmanager
async def connections(
    siege: Siege, number: int, *, tls: bool = False
) -> AsyncIterator[list[Stream]]:
    """As many of them as the server takes."""
    there: list[Stream] = []
    for _ in range(number):
        with suppress(OSError, TimeoutError):
            there.append(await connected(siege, tls=tls))
    try:
        yield there
    finally:
        for _, writer in there:
            writer.transport.abort()


async def unread_answers(siege: Siege) -> None:
    """A download that is not read, then large heads behind it, on thirty connections."""
    field = b"x" * 8150
    head = b"".join(b"X-%d: %s\r\n" % (number, field) for number in range(60))
    poll = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n" + head + b"\r\n"
    async with connections(siege, 30) as there:
        for _, writer in there:
            writer.write(b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
            for _ in range(32):
                writer.write(poll)
        await asyncio.sleep(HOLD)


async def silent_tls(siege: Siege) -> None:
    """Three hundred TLS connections that say nothing, and as many that polled once."""
    async with (
        connections(siege, 300, tls=True),
        connections(siege, 300, tls=True) as polling,
    ):
        for reader, writer in polling:
            writer.write(b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
            with suppress(OSError, asyncio.IncompleteReadError):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        await asyncio.sleep(HOLD)


async def unproven_hooks(siege: Siege) -> None:
    """Sixteen hooks with an HMAC that is made up, and no body."""
    head = (
        b"POST /hooks/registry/gitea HTTP/1.1\r\nHost: ota\r\nContent-Type: application/json\r\n"
        b"X-Gitea-Signature: " + b"0" * 64 + b"\r\nContent-Length: 1000000\r\n\r\n"
    )
    ends = asyncio.get_running_loop().time() + HOLD
    while asyncio.get_running_loop().time() < ends:
        async with connections(siege, 16) as there:
            for _, writer in there:
                writer.write(head)
            await asyncio.sleep(3.0)


async def silent_sockets(siege: Siege) -> None:
    """Fifteen hundred connections that say nothing, where 1,024 files may be open."""
    async with connections(siege, 1500):
        await asyncio.sleep(HOLD)


async def made_up_names(siege: Siege) -> None:
    """Polls of devices that do not exist, two hundred at once and as fast as they are answered."""
    ends = asyncio.get_running_loop().time() + HOLD
    asked = len(siege.registry.requests)

    async def poll(who: int) -> None:
        number = 0
        while asyncio.get_running_loop().time() < ends:
            number += 1
            with suppress(OSError, TimeoutError):
                reader, writer = await connected(siege)
                name = b"nobody-%d-%d" % (who, number)
                writer.write(b"GET /version?device=%s HTTP/1.0\r\n\r\n" % name)
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(), 10)
                writer.close()

    await asyncio.gather(*map(poll, range(200)))
    siege.remarks.append(f"{len(siege.registry.requests) - asked} requests to the registry")


async def made_up_units(siege: Siege) -> None:
    """20,100 HEADs with a made-up unit each, while a board fetches its firmware in ranges."""
    codes: list[bytes] = []

    async def board() -> None:
        for start in range(0, 1 << 20, 32 << 10):
            reader, writer = await connected(siege)
            writer.write(
                b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\nx-ESP32-STA-MAC: aa\r\n"
                b"Range: bytes=%d-%d\r\nConnection: close\r\n\r\n" % (start, start + (32 << 10) - 1)
            )
            codes.append((await reader.read())[9:12])
            writer.close()
            await asyncio.sleep(HOLD / 40)

    async def strangers() -> None:
        reader, writer = await connected(siege)
        for number in range(20_100):
            writer.write(
                b"HEAD /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\nx-ESP32-STA-MAC: %d\r\n\r\n"
                % number
            )
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    await asyncio.gather(board(), strangers())
    siege.remarks.append(
        f"ranges of the board that were not 206: {sum(c != b'206' for c in codes)}"
    )


async def stalled_downloads(siege: Siege) -> None:
    """Two thousand downloads that read nothing; another board wants one meanwhile."""
    async with connections(siege, 2000) as there:
        for _, writer in there:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
        began = asyncio.get_running_loop().time()
        code = b""
        while code != b"200" and asyncio.get_running_loop().time() - began < 90:
            reader, writer = await connected(siege)
            writer.write(b"GET /firmware?device=lamp HTTP/1.0\r\n\r\n")
            code = (await reader.read())[9:12]
            writer.close()
        took = asyncio.get_running_loop().time() - began
        siege.remarks.append(f"a board had its firmware after {took:.0f} s ({code.decode()})")
