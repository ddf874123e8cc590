"""What aiohttp's own handler leaves open: bad requests, long heads, stalls, half-closed clients."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from aiohttp import web
from device_port import PortServer
from device_server import release
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from property_runs import examples
from structlog.testing import capture_logs

from otaflux.web.port.handler import STALLED, Handler
from otaflux.web.port.parsing import MAX_FIELDS, MAX_HEAD
from otaflux.work.outcome import Done

POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"


def get(target: bytes, *fields: bytes) -> bytes:
    """A request."""
    return b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: ota", *fields, b"", b""))


BAD = {
    "no request at all": b"\x00\x01\x02\x03\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a request of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no Host": b"GET /version?device=lamp HTTP/1.1\r\n\r\n",
    "a header without a colon": get(b"/health", b"nonsense"),
    "a NUL in a header": get(b"/health", b"X: a\x00b"),
    "a NUL in the target": get(b"/version?device=la\x00mp"),
    "a space in the target": get(b"/version?device=la mp"),
    "two lengths": get(b"/health", b"Content-Length: 1", b"Content-Length: 2"),
    "length and chunks": get(b"/health", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    "a line of 100,000 bytes": get(b"/version?device=" + b"a" * 100_000),
    "a header of 100,000 bytes": get(b"/health", b"X: " + b"a" * 100_000),
    "a header's name of 100,000 bytes": get(b"/health", b"a" * 100_000 + b": x"),
    "too many headers": get(b"/health", *(b"X%d: y" % n for n in range(MAX_FIELDS + 1))),
    "a head of many long lines": get(b"/health", *(b"X: " + b"a" * 8000 for _ in range(60))),
    "100,000 bytes without an end": b"a" * 100_000,
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a method of 5,000 characters": b"G" * 5000 + b" /health HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("shortcut", [True, False])
async def test_what_cannot_be_read_gets_a_short_answer(
    tmp_path: Path, data: bytes, shortcut: bool
) -> None:
    """4xx in HTTP/1.1, short plain text, nothing of the request, no name of a server, no log."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        server.publish(release("lamp", "1.0.0"))
        with capture_logs() as logs:
            async with await server.connect() as connection:
                await connection.send(data)
                reply = await connection.reply()
                assert await connection.is_closed()
        assert reply.status in {400, 431}
        assert [*reply.names] == [
            "Content-Type", "Content-Length", "Cache-Control", "Date", "Connection"
        ]  # fmt: skip
        assert reply["Connection"] == "close"
        assert len(reply.raw) < 300
        assert b"aaaa" not in reply.raw
        assert logs == []
        assert (await server.get("/version?device=lamp")).status == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/firmware?device=" + b"a" * 5000, 400),
        (b"/firmware?device=../../etc/passwd", 400),
        (b"/firmware?device=%00", 400),
        (b"/firmware?device=a%0d%0aSet-Cookie:%20x", 400),
        (b"/firmware/%2e%2e/firmware.bin", 400),
        (b"/" + b"a" * 5000, 404),
        (b"/firmware?device=lamp&version=" + b"9" * 5000, 400),
    ],
)
async def test_after_a_request_that_is_wrong_the_next_one_works(
    tmp_path: Path, target: bytes, status: int
) -> None:
    """A name that cannot be one is refused on a connection that lives on."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0"))
        await connection.send(get(target))
        reply = await connection.reply()
        assert reply.status == status
        assert len(reply.raw) < 350
        assert (await connection.get("/version?device=lamp")).status == 200


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Many requests in one piece, good and bad, get their answers one after the other."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0"))
        await connection.send((POLL + get(b"/nothing") + get(b"/firmware?device=")) * 50)
        for _ in range(50):
            statuses = [(await connection.reply()).status for _ in range(3)]
            assert statuses == [200, 404, 400]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 20])
async def test_a_head_that_is_cut_behind_a_request_hides_none_behind_it(
    tmp_path: Path, cut: int
) -> None:
    """Its rest may come with one more whole request, while the first is still being answered."""
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        began.set()
        await goes_on.wait()
        return web.Response(text="slow")

    async with (
        PortServer(tmp_path, routes=[("/slow", slow)]) as server,
        await server.connect() as connection,
    ):
        second, third = get(b"/nothing"), get(b"/health")
        await connection.send(get(b"/slow") + second[:-cut])
        await asyncio.wait_for(began.wait(), 5)
        await connection.send(second[-cut:] + third)
        await asyncio.sleep(0.01)
        goes_on.set()
        async with asyncio.timeout(2):
            assert [(await connection.reply()).status for _ in range(3)] == [200, 404, 200]


@pytest.mark.parametrize("shortcut", [True, False])
async def test_polls_in_one_read_before_an_end_are_all_answered(
    tmp_path: Path, shortcut: bool
) -> None:
    """A client that sends its polls and closes its sending side gets every answer."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        server.publish(release("lamp", "1.0.0"))
        for many in (1, 2, 7, 700):
            answer = await server.raw(POLL * many + get(b"/health"))
            assert answer.count(b"HTTP/1.1 200 OK\r\n") == many + 1
            assert answer.endswith(b"ok")


@pytest.mark.parametrize(
    "head",
    [
        get(b"/version?device=lamp", b"Connection: Upgrade", b"Upgrade: websocket"),
        get(b"/version?device=lamp", b"Connection: keep-alive, Upgrade", b"Upgrade: h2c"),
        get(b"/nothing", b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
        b"CONNECT lamp:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
@pytest.mark.parametrize("shortcut", [True, False])
async def test_after_another_protocol_was_wanted_the_connection_ends(
    tmp_path: Path, head: bytes, shortcut: bool
) -> None:
    """One answer that says so and no other, so that no answer is taken for another's."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as connection:
            await connection.send(head + POLL + POLL)
            reply = await connection.reply()
            assert reply["Connection"] == "close"
            assert await connection.is_closed()


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/version?device=lamp&version=9.9.9", {}, 404),
        ("/version?device=unknown", {}, 404),
        ("/version", {}, 400),
        ("/version/?device=a%20b", {}, 400),
        ("//version?device=lamp", {"If-Match": '"x"'}, 412),
    ],
)
async def test_a_refused_poll_closes_the_connection(
    tmp_path: Path, shortcut: bool, target: str, headers: dict[str, str], status: int
) -> None:
    """Clients of the seed's family would wait 30 s for more; other addresses stay open."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        server.publish(release("lamp", "1.0.0"))
        server.queue.touch = lambda touch: ended()  # type: ignore[method-assign]
        for _ in range(2):
            async with await server.connect() as connection:
                assert (await connection.get("/firmware?device=")).status == 400
                reply = await connection.get(target, headers)
                assert (reply.status, reply["Connection"]) == (status, "close")
                assert await connection.is_closed()


def ended() -> asyncio.Future[Done]:
    """A look that ended without finding anything."""
    future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
    future.set_result(Done())
    return future


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("fields", [[b"Connection: close"], []], ids=["closes", "stays"])
async def test_a_poll_fits_a_small_buffer_whether_it_closes_or_not(
    tmp_path: Path, shortcut: bool, fields: list[bytes]
) -> None:
    """Head and body have 256 bytes at most: `Connection` stands in the place of `Cache-Control`."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        version = "10.20.30-rc.4000+build.123456789"
        assert len(version) == 32
        server.publish(release("lamp", version, b"x" * 4_000_000), channel="stable")
        for _ in range(2):
            async with await server.connect() as connection:
                await connection.send(get(b"/version?device=lamp", *fields))
                reply = await connection.reply()
            assert reply.body.endswith(b"\n4000000")
            assert len(reply.raw) <= 256
            names = ["Content-Type", "Content-Length", "ETag"]
            names += ["Date", "Connection"] if fields else ["Cache-Control", "Date"]
            assert reply.names == names


async def test_a_client_that_sends_on_can_still_read_why_it_was_refused(tmp_path: Path) -> None:
    """The answer is not lost in a reset while a megabyte of nonsense is on its way."""
    async with PortServer(tmp_path) as server:

        def send_then_read() -> bytes:
            with server.plain_socket() as sock:
                sock.sendall(b"x" * 9000)
                for _ in range(64):
                    time.sleep(0.001)
                    sock.sendall(b"x" * 16384)
                sock.shutdown(socket.SHUT_WR)
                return sock.recv(4096)

        assert (await asyncio.to_thread(send_then_read)).startswith(b"HTTP/1.1 4")
        await asyncio.sleep(0.02)
        assert server.port_.connections == 0


async def test_a_head_in_many_small_pieces_is_read(tmp_path: Path) -> None:
    """Pieces of any size make one request, as long as the head stays within its bound."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0"))
        fields = [b"X%d: " % n + b"a" * 250 for n in range(MAX_FIELDS - 4)]
        request = get(b"/version?device=lamp", *fields)
        assert len(request) < MAX_HEAD
        for _ in range(2):
            for start in range(0, len(request), 3000):
                await connection.send(request[start : start + 3000])
                await asyncio.sleep(0.001)
            assert (await connection.reply()).status == 200


async def test_an_answer_that_nobody_reads_is_given_up_after_five_minutes(tmp_path: Path) -> None:
    """A client that asks and asks and takes nothing is dropped; one that reads is not."""

    async def large(request: web.BaseRequest) -> web.Response:
        return web.Response(body=bytes(16 << 20))

    routes = [("/large", large)]
    async with PortServer(tmp_path, routes=routes) as server:
        with server.plain_socket(receive_buffer=4096) as sock:
            sock.send(get(b"/large"))
            await asyncio.sleep(0.05)
            server.port_.look()
            server.clock.value += STALLED - 1
            server.port_.look()
            assert server.port_.connections == 1
            await asyncio.to_thread(sock.recv, 4 << 20, socket.MSG_WAITALL)
            await asyncio.sleep(0.05)
            server.port_.look()
            server.clock.value += STALLED - 1
            server.port_.look()
            assert server.port_.connections == 1
            server.clock.value += 1
            server.port_.look()
            await asyncio.sleep(0.02)
            assert server.port_.connections == 0


async def test_who_closes_the_sending_side_gets_the_answer(tmp_path: Path) -> None:
    """As `nc -N` does it: a request, an end of sending, and the answer comes all the same."""

    async def slow(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(text="late")

    async with PortServer(tmp_path, routes=[("/slow", slow)]) as server:
        assert (await server.raw(get(b"/slow"))).endswith(b"late")
        assert (await server.raw(get(b"/health"))).startswith(b"HTTP/1.1 200 OK")
        assert await server.raw(b"GET /hea") == b""
        assert await server.raw(get(b"/slow", b"Content-Length: 9")) == b""


async def test_a_bug_is_answered_and_logged(tmp_path: Path) -> None:
    """A handler that fails gives 500 without a word of why, which is in the log."""

    async def broken(request: web.BaseRequest) -> web.Response:
        raise RuntimeError("secret")

    async with PortServer(tmp_path, routes=[("/broken", broken)]) as server:
        with capture_logs() as logs:
            reply = await server.get("/broken", {"Accept": "text/html"})
        assert reply.status == 500
        assert b"secret" not in reply.raw
        assert b"\r\nServer" not in reply.raw
        assert [line["event"] for line in logs] == ["request_crashed"]


async def test_no_answer_names_a_server(tmp_path: Path) -> None:
    """Nowhere does a header say what software this is."""
    async with PortServer(tmp_path) as server:
        for method, target, status in (
            ("GET", "/health", 200),
            ("GET", "/x", 404),
            ("POST", "/version?device=lamp", 405),
            ("DELETE", "/firmware?device=lamp", 405),
            ("GET", "/version", 400),
        ):
            reply = await server.get(target, method=method)
            assert reply.status == status
            assert "Server" not in reply.names


async def test_any_bytes_are_survived(tmp_path: Path) -> None:
    """Whatever comes, what goes back is nothing or HTTP/1.x, and the next client is answered."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        loop = asyncio.get_running_loop()
        pieces = st.sampled_from(
            [POLL, POLL[:10], b"\r\n", b"\n", b"\x00", b"GET ", b"/firmware?device=lamp ",
             b"HTTP/1.1", b"Host: x", b"Content-Length: 5\r\n", b"0\r\n\r\n", b"\xff\xfe",
             b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"CONNECT x:1 ",
             b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"a" * 9000]
        )  # fmt: skip
        anything = st.one_of(st.binary(max_size=200), st.lists(pieces).map(b"".join))

        @settings(
            max_examples=examples(150),
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(data=anything)
        def survive(data: bytes) -> None:
            async def there() -> tuple[bytes, int]:
                return await server.raw(data), (await server.get("/version?device=lamp")).status

            answer, status = asyncio.run_coroutine_threadsafe(there(), loop).result(20)
            assert answer == b"" or answer.startswith(b"HTTP/1.")
            assert b"\r\nServer" not in answer
            assert status == 200

        with capture_logs() as logs:
            await asyncio.to_thread(survive)
        assert logs == []
        await asyncio.sleep(0.02)
        assert server.port_.connections == 0


async def test_the_base_class_is_what_we_take_it_for(tmp_path: Path) -> None:
    """The undocumented attributes of aiohttp's handler mean what `Handler` takes them for."""
    seen: list[tuple[bool, bool, int]] = []
    handlers: list[Handler] = []

    async def look(request: web.BaseRequest) -> web.Response:
        handler = request.protocol
        assert isinstance(handler, Handler)
        seen.append((handler._waiter is None, handler._close, len(handler._messages)))
        handlers.append(handler)
        return web.Response()

    server = PortServer(tmp_path, routes=[("/look", look)])
    async with server, await server.connect() as connection:
        await connection.send(get(b"/look") * 2)
        await connection.reply()
        await connection.reply()
        handler = handlers[0]
        assert handlers == [handler, handler]
        assert handler._waiter is not None
        assert handler._loop is asyncio.get_running_loop()
    assert seen == [(True, False, 0), (True, False, 0)]
