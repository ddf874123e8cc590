"""Many at once: more boards than places, some that stall, some amid a release, slow strangers."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import Connection, Reply, release

from otaflux.web.devices.sending import STALLED
from otaflux.web.port.handler import KEEPALIVE

OLD = random.Random(1).randbytes(40_000)
NEW = random.Random(2).randbytes(47_000)
BIG = random.Random(3).randbytes(1 << 20) * 16
RANGE = 8192


async def test_more_boards_than_places_are_all_served(tmp_path: Path) -> None:
    """200 boards want 20 places: each is answered on each connection, and all end with the file."""
    async with PortServer(tmp_path, places=20, place_patience=0.02) as server:
        server.publish(release("lamp", "1.1.0", BIG[: 1 << 19]))
        put_off = itertools.count()

        async def board() -> None:
            while True:
                async with await server.connect() as connection:
                    told = await connection.get("/version?device=lamp")
                    reply = told
                    if told.status == 200:
                        reply = await connection.get("/firmware?device=lamp")
                if reply.status == 200:
                    assert reply.body == BIG[: 1 << 19]
                    return
                assert reply.status == 503
                assert reply["Retry-After"] == "10"
                next(put_off)
                await asyncio.sleep(0.01)

        async with asyncio.timeout(60), asyncio.TaskGroup() as boards:
            for _ in range(200):
                boards.create_task(board())
        assert server.sender.finished == 200
        assert server.sender.broken_off == 0
        assert not server.sender.full
        assert next(put_off) > 0


async def test_polls_go_on_while_readers_stall(tmp_path: Path) -> None:
    """Boards that erase flash hold their places for minutes, and cost nobody else an answer."""
    async with PortServer(tmp_path, places=50) as server, await server.connect() as other:
        server.publish(release("lamp", "1.1.0", BIG))
        stalled = []
        for number in range(50):
            assert (await other.get("/version?device=lamp")).status == 200, number
            sock = server.plain_socket(receive_buffer=4096)
            sock.send(b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
            stalled.append(sock)
            async with asyncio.timeout(5):
                while server.sender.under_way <= number:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.001)
        assert (await other.get("/version?device=lamp")).status == 503
        json = {"Accept": "application/json"}
        assert (await server.get("/version?device=lamp", json)).status == 200
        server.port_.look()
        server.clock.value += STALLED
        server.port_.look()
        async with asyncio.timeout(5):
            while server.sender.full:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.001)
        assert (await server.get("/version?device=lamp")).status == 200
        for sock in stalled:
            sock.close()


Ask = Callable[[str, dict[str, str]], Awaitable[Reply]]


async def in_ranges(ask: Ask, target: str, *, careful: bool) -> bytes:
    """A download as ESP-IDF makes it: HEAD, then ranges, each on a connection of its own.

    It knows the size alone, and checks no status but the first; a `careful` one begins anew where
    it is told to. What it ends with is what it would flash.
    """
    while True:
        head = await ask(target, {"method": "HEAD"})
        if head.status != 200:
            await asyncio.sleep(0.01)
            continue
        size, parts = int(head["Content-Length"]), []
        for first in range(0, size, RANGE):
            last = min(first + RANGE, size) - 1
            part = await ask(target, {"Range": f"bytes={first}-{last}"})
            if part.status != 206:
                assert careful, "a board that began must be able to end"
                assert part.status in {409, 416, 503}
                break
            parts.append(part.body)
        else:
            return b"".join(parts)


@pytest.mark.parametrize(
    "named",
    ["", "&unit=board-{}", "&version=1.0.0", "content"],
    ids=["sharing an address", "each with its unit", "pinned", "by content"],
)
async def test_a_release_amid_500_downloads_in_ranges_mixes_nothing(
    tmp_path: Path, named: str
) -> None:
    """Whatever a board began with it ends with, byte for byte, though a release came in between."""
    async with PortServer(tmp_path, places=200) as server:
        old, new = release("lamp", "1.0.0", OLD), release("lamp", "1.1.0", NEW)
        server.publish(old)
        asked = itertools.count()
        gate = asyncio.Semaphore(100)  # connections at once; the machine's ports are not endless

        async def ask(target: str, how: dict[str, str]) -> Reply:
            if next(asked) == 700:
                server.publish(new, kept=(old,))
            headers = {name: value for name, value in how.items() if name != "method"}
            async with gate:
                return await server.get(target, headers, method=how.get("method", "GET"))

        def target(number: int) -> str:
            if named == "content":
                return f"/firmware/sha256/{old.firmware.sums.sha256}"
            return "/firmware?device=lamp" + named.format(number)

        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            boards = [
                group.create_task(in_ranges(ask, target(number), careful=not named))
                for number in range(500)
            ]
        ends = [board.result() for board in boards]
        assert {OLD, NEW} >= set(ends)
        assert ends.count(OLD) > 0
        assert next(asked) > 700
        if named in {"&version=1.0.0", "content"}:
            assert ends.count(OLD) == 500


class ShiftedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward, as if that much time had passed."""

    shift = 0.0

    def time(self) -> float:
        """Seconds, with the shift."""
        return super().time() + self.shift


def test_slow_heads_and_bodies_end_in_time(tmp_path: Path) -> None:
    """Heads that trickle have 75 s, bodies that nobody wants ten; others are answered meanwhile."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ShiftedLoop)
        async with PortServer(tmp_path) as server:
            server.publish(release("lamp", "1.0.0", OLD))
            heads = [await server.connect() for _ in range(200)]
            for head in heads:
                await head.send(b"GET /version?device=lamp HTTP/1.1\r\nHo")
            body = await server.connect()
            await body.send(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
            assert (await body.reply()).status == 200
            await settled()
            loop.shift += 11
            assert await ended(body)
            loop.shift += KEEPALIVE - 20
            await trickle(heads)
            assert (await server.get("/version?device=lamp")).status == 200
            await settled()
            assert server.port_.connections == len(heads)
            loop.shift += 10
            for head in heads:
                assert await ended(head)
            await settled()
            assert server.port_.connections == 0

    async def trickle(heads: list[Connection]) -> None:
        for head in heads:
            await head.send(b"s")
        await settled()

    async def settled() -> None:
        for _ in range(20):
            await asyncio.sleep(0.002)

    async def ended(connection: Connection) -> bool:
        closed = await connection.is_closed()
        await connection.close()
        return closed

    with asyncio.Runner(loop_factory=ShiftedLoop) as runner:
        runner.run(scene())
