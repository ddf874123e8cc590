"""Polls are answered on the bare socket; whatever else comes is handed over with what is known."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from device_port import Ears, PortServer
from device_server import Connection, release
from waiting import until

from otaflux.web.origin import Origins
from otaflux.web.port.acceptor import Acceptor
from otaflux.web.port.cachedanswer import CachedAnswer, CachedDownload
from otaflux.web.port.connection import Begun, Connections
from otaflux.web.port.handler import KEEPALIVE
from otaflux.web.port.listening import listen
from otaflux.web.port.watch import OneByOne, Watch, watch

POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"
CLOSING = POLL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
DOWNLOAD = POLL.replace(b"/version", b"/firmware")
WAITING = POLL.replace(b"lamp", b"lamp&wait=30").replace(
    b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n"
)
HOOK = b"POST /webhooks/generic HTTP/1.1\r\nHost: ota\r\nContent-Length: 2\r\n\r\n"


class Taken(asyncio.Protocol):
    """Whoever takes a connection: keeps what it is told of it, and hangs up."""

    def __init__(self) -> None:
        self.begun: list[Begun] = []
        self.connections = Connections(100)
        self.port = 0

    def take(self, begun: Begun) -> asyncio.BaseProtocol:
        """A protocol for what was begun."""
        self.begun.append(begun)
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up."""
        transport.close()

    async def connect(self) -> Connection:
        """A client."""
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))


@asynccontextmanager
async def bare(
    server: PortServer, kind: Callable[[], Watch] = watch, *, room: int = 0
) -> AsyncIterator[Taken]:
    """Accepts connections and answers polls as `server` would; whoever takes the rest.

    The kernel keeps `room` bytes for answers that are not read.
    """
    taken = Taken()
    acceptor = Acceptor(
        taken.take,
        connections=taken.connections,
        watch=kind(),
        cache=server.cache,
        clock=server.clock,
    )
    for sock in await listen("127.0.0.1", 0, setting="LISTEN_ADDR"):
        if room:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        taken.port = sock.getsockname()[1]
        acceptor.listen(sock)
    try:
        yield taken
    finally:
        for connection in taken.connections:
            connection.close_idle()
        await acceptor.close()


def answered(server: PortServer) -> int:
    """How many polls were answered."""
    server.cache.report()
    return int(server.observer.answered)


@pytest.mark.parametrize("kind", [watch, OneByOne])
async def test_polls_kept_alive_need_no_transport(
    tmp_path: Path, kind: Callable[[], Watch]
) -> None:
    """However many come, of however many boards, until the boards hang up."""
    server = PortServer(tmp_path)
    server.publish(release("lamp", "1.0.0"))
    async with bare(server, kind) as taken:
        boards = [await taken.connect() for _ in range(5)]
        for turn in range(4):
            for board in boards:
                assert (await board.get("/version?device=lamp")).body.startswith(b"1.0.0\n")
                assert (await board.get(f"/version?device=lamp&unit=u{turn}")).status == 200
                assert (await board.get("/health")).status == 200
        assert len(taken.connections) == 5
        for board in boards:
            await board.close()
        await until(lambda: not len(taken.connections))
        assert taken.begun == []


@pytest.mark.parametrize("polls", [0, 2])
@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (POLL[:30], None),
        (POLL + POLL, None),
        (POLL + POLL[:30], None),
        (HOOK, None),
        (HOOK + b"{}", None),
        (b"\x16\x03\x01", None),
        (POLL.replace(b"lamp", b"nobodys"), "message"),
        (POLL.replace(b"GET", b"HEAD"), "message"),
        (POLL.replace(b"1.1", b"1.0"), None),
        (DOWNLOAD, "download"),
        (WAITING, "answer"),
    ],
)
async def test_all_else_is_handed_over_with_what_was_read_and_told(
    tmp_path: Path, sent: bytes, found: str | None, polls: int
) -> None:
    """Not a byte is lost, nothing is parsed twice, and what was told before is known."""
    server = PortServer(tmp_path)
    server.publish(release("lamp", "1.0.0"))
    async with bare(server) as taken, await taken.connect() as board:
        for _ in range(polls):
            await board.get("/version?device=lamp")
        told_at = server.clock()
        server.clock.value += 5
        await board.send(sent)
        assert await board.is_closed()
        (begun,) = taken.begun
        assert begun.data == sent
        kinds = {CachedDownload: "download", CachedAnswer: "answer", type(None): None}
        assert kinds.get(type(begun.found), "message") == found
        assert begun.asked is bool(polls)
        assert (begun.told is not None) is bool(polls)
        if begun.told is not None and begun.told.told is not None:
            assert (str(begun.told.told.version), begun.told_at) == ("1.0.0", told_at)
        await until(lambda: not len(taken.connections))


async def test_what_a_trusted_proxy_asks_is_handed_over_as_shared(tmp_path: Path) -> None:
    """Polls of many clients on its connection need no transport either."""
    server = PortServer(tmp_path, origins=Origins(trusted=(ip_network("127.0.0.0/8"),)))
    server.publish(release("lamp", "1.0.0"))
    async with bare(server) as taken, await taken.connect() as proxy:
        for client in ("1.2.3.4", "1.2.3.5"):
            reply = await proxy.get("/version?device=lamp", {"X-Forwarded-For": client})
            assert reply.status == 200
        assert taken.begun == []
        await proxy.send(DOWNLOAD)
        assert await proxy.is_closed()
        assert taken.begun[0].shared


@pytest.mark.parametrize("last", [CLOSING, POLL], ids=["close", "half close"])
async def test_a_last_poll_is_answered_and_its_connection_closed(
    tmp_path: Path, last: bytes
) -> None:
    """Where the client says so, or sends nothing more; on its first poll and on a later one."""
    server = PortServer(tmp_path)
    server.publish(release("lamp", "1.0.0"))
    async with bare(server) as taken:
        for polls in (0, 1):
            async with await taken.connect() as board:
                for _ in range(polls):
                    await board.get("/version?device=lamp")
                await board.send(last)
                if last is POLL:
                    board.writer.write_eof()
                assert (await board.reply()).body.startswith(b"1.0.0\n")
                assert await board.is_closed()
        assert taken.begun == []
        assert not len(taken.connections)


async def test_a_reset_ends_a_connection(tmp_path: Path) -> None:
    """Also one that comes before the answer; no place stays taken."""
    server = PortServer(tmp_path)
    server.publish(release("lamp", "1.0.0"))
    async with bare(server) as taken:
        for sent in (b"", POLL):
            board = await taken.connect()
            await board.get("/version?device=lamp")
            board.writer.write(sent)
            sock = board.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            board.writer.transport.abort()
            await until(lambda: not len(taken.connections))


async def test_who_does_not_read_gets_a_transport_that_owes_the_rest(tmp_path: Path) -> None:
    """An answer for which the kernel has no room is neither lost nor waited for."""
    server = PortServer(tmp_path)
    server.publish(release("lamp", "1.0.0"))
    async with bare(server, room=2048) as taken:
        with socket.socket() as board:
            board.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            board.connect(("127.0.0.1", taken.port))
            for polls in range(1, 1000):
                board.send(POLL)
                await until(lambda: answered(server) == polls)  # noqa: B023 - called here only
                if len(taken.begun):
                    break
        (begun,) = taken.begun
        assert begun.owed
        assert begun.data == b""
        assert begun.told is not None
        rest = begun.told.after
        assert begun.owed.endswith(rest) or rest.endswith(begun.owed)


async def test_who_reads_late_gets_every_answer_whole(tmp_path: Path) -> None:
    """Polls whose answers pile up are answered in order and to the last byte."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        with server.plain_socket(receive_buffer=2048) as board:
            board.setblocking(False)
            polls = 0
            try:
                while polls < 5000:
                    board.send(POLL)
                    polls += 1
                    if polls < 20:
                        await until(lambda: answered(server) == polls)  # noqa: B023 - called here
                    elif polls % 50 == 0:
                        await asyncio.sleep(0)
            except BlockingIOError:
                pass
            reader, writer = await asyncio.open_connection(sock=board.dup())
            writer.write_eof()
            answers = (await reader.read()).split(b"HTTP/1.1 200 OK\r\n")
            writer.close()
        assert len(answers) == polls + 1
        assert {each.rpartition(b"\r\n\r\n")[2] for each in answers[1:]} == {
            answers[1].rpartition(b"\r\n\r\n")[2]
        }


async def test_who_polled_is_closed_when_nothing_comes_for_long(tmp_path: Path) -> None:
    """The time counts from the last poll, not from the connection's beginning."""
    async with PortServer(tmp_path) as server, await server.connect() as board:
        server.publish(release("lamp", "1.0.0"))
        for _ in range(3):
            assert (await board.get("/version?device=lamp")).status == 200
            server.clock.value += KEEPALIVE - 1
            server.port_.look()
        server.clock.value += 1
        server.port_.look()
        assert await board.is_closed()
        assert server.port_.connections == 0


class Broken(Ears):
    """Has a bug."""

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Raise."""
        raise RuntimeError("a bug")


async def test_a_bug_in_one_answer_ends_one_connection(tmp_path: Path) -> None:
    """It is reported, its client need not wait for an answer, and others are answered."""
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
    async with PortServer(tmp_path, observer=Broken()) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as one, await server.connect() as other:
            await one.get("/version?device=lamp")
            await one.send(b"GET /health HTTP/1.1\r\nHost: ota\r\n\r\n")
            assert await one.is_closed()
            assert (await other.get("/version?device=lamp")).status == 200
        assert [str(error["exception"]) for error in errors] == ["a bug"]


async def test_a_poll_that_waits_misses_nothing_while_it_is_handed_over(tmp_path: Path) -> None:
    """In whichever step of it a release is published, the poll is told that at once."""
    async with PortServer(tmp_path) as server:
        for steps in range(12):
            server.publish(release("lamp", "1.0.0", b"old"))
            async with await server.connect() as board:
                etag = (await board.get("/version?device=lamp"))["ETag"]
                poll = WAITING.replace(b"*", etag.encode())
                board.writer.write(poll)
                for _ in range(steps):
                    await asyncio.sleep(0)
                server.publish(release("lamp", "1.1.0", b"new"))
                reply = await asyncio.wait_for(board.reply(), 2)
                assert reply.body.startswith(b"1.1.0\n")


async def test_answers_do_not_wait_for_each_other() -> None:
    """No answer waits until the one before it was acknowledged (Nagle's algorithm)."""
    for sock in await listen("127.0.0.1", 0, setting="LISTEN_ADDR"):
        with sock, socket.create_connection(sock.getsockname()):
            sock.setblocking(True)
            accepted, _ = sock.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
