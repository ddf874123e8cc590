"""The port: where it listens, how many it takes, and how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from device_port import PortServer
from device_server import Connection, release
from structlog.testing import capture_logs
from waiting import until

from otaflux.errors import BadSetting
from otaflux.web.port.server import Port

SUPPORT = Path(__file__).parent.parent.parent / "support"
BIG = os.urandom(1 << 20) * 16
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"
GET = b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"


async def nobody(request: web.BaseRequest) -> web.StreamResponse:
    """Nobody asks."""
    raise NotImplementedError


async def status(host: str, port: int) -> int:
    """What `/health` answers at an address."""
    async with Connection(*await asyncio.open_connection(host, port)) as connection:
        return (await connection.get("/health")).status


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1", "127.0.0.2"]),
        ("localhost", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("::", ["::1", "127.0.0.1"]),
    ],
)
async def test_it_listens_where_it_is_told_to(
    tmp_path: Path, host: str, reached: list[str]
) -> None:
    """IPv4, IPv6, names, and `::` for both."""
    async with PortServer(tmp_path, host=host) as server:
        assert server.port > 0
        for address in reached:
            assert await status(address, server.port) == 200
        shown = f"[{host}]" if ":" in host else host
        assert server.port_.url == f"http://{shown}:{server.port}"


async def test_a_port_that_was_just_used_can_be_used_again(tmp_path: Path) -> None:
    """A restart does not wait for connections that linger in the kernel."""
    async with PortServer(tmp_path / "a") as server:
        async with await server.connect() as connection:
            await connection.get("/health")
        port = server.port
    async with Port(nobody, "127.0.0.1", port):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "name.invalid"])
async def test_an_address_that_cannot_be_had_is_a_wrong_setting(host: str) -> None:
    """Taken, not ours, or no address at all: the complaint names the setting and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSetting, match=rf"^METRICS_LISTEN_ADDR: found {host}:{port}, exp"):
            async with Port(nobody, host, port, setting="METRICS_LISTEN_ADDR"):
                pass


async def test_an_end_closes_idle_connections_at_once(tmp_path: Path) -> None:
    """Neither polls kept alive, nor aiohttp's connections, nor silent ones hold the end up."""
    server = PortServer(tmp_path, shutdown_timeout=20)
    async with server:
        server.publish(release("lamp", "1.0.0"))
        polled, handled, silent = [await server.connect() for _ in range(3)]
        await polled.get("/version?device=lamp")
        await handled.get("/health")
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for connection in (polled, handled, silent):
        assert await connection.is_closed()
        await connection.close()
    with pytest.raises(ConnectionError):
        await server.connect()


async def test_an_end_finishes_what_is_under_way(tmp_path: Path) -> None:
    """A download that goes on is sent whole, and then its connection ends; no new one begins."""
    server = PortServer(tmp_path, shutdown_timeout=20)
    await server.__aenter__()
    server.publish(release("lamp", "1.0.0", BIG))
    connection = await server.connect()
    await connection.send(GET)
    await until(lambda: server.sender.under_way == 1)
    ends = asyncio.create_task(server.__aexit__(None, None, None))
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionError):
        await server.connect()
    assert not ends.done()
    assert (await connection.reply()).body == BIG
    assert await connection.is_closed()
    await ends
    assert server.sender.finished == 1
    await connection.close()


@pytest.mark.parametrize("sent", ["at once", "in pieces", "in chunks", "never whole"])
async def test_an_end_hears_out_who_is_amid_a_request(tmp_path: Path, sent: str) -> None:
    """A hook whose body is half in is taken and answered; nothing behind it is begun."""
    bodies: list[bytes] = []

    async def hear(request: web.BaseRequest) -> web.Response:
        try:
            async with asyncio.timeout(1 if sent == "never whole" else 10):
                bodies.append(await request.read())
        except TimeoutError:
            return web.Response(status=408)
        return web.Response(text="taken")

    body = os.urandom(50_000)
    head, rest = b"Content-Length: %d" % len(body), body
    if sent == "in chunks":
        head, rest = b"Transfer-Encoding: chunked", b"c350\r\n" + body + b"\r\n0\r\n\r\n"
    server = PortServer(tmp_path, shutdown_timeout=20, routes=[("/hear", hear)])
    await server.__aenter__()
    async with await server.connect() as connection, await server.connect() as another:
        await connection.send(
            b"POST /hear HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + rest[:99]
        )
        await another.send(b"POST /hear HTTP/1.1\r\nHost: x\r\nContent-Le")
        await until(lambda: server.port_.connections == 2)
        await asyncio.sleep(0.02)
        ends = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        size = 7000 if sent == "in pieces" else len(rest)
        rest = rest[:200] if sent == "never whole" else rest
        for start in range(99, len(rest), size):
            await connection.send(rest[start : start + size])
            await asyncio.sleep(0.005)
        if sent == "at once":
            await connection.send(POLL)
        reply = await connection.reply()
        assert reply.status == (408 if sent == "never whole" else 200)
        assert await connection.is_closed()
        assert await another.is_closed()
        await ends
    assert bodies == ([] if sent == "never whole" else [body])


async def test_an_end_does_not_wait_for_ever(tmp_path: Path) -> None:
    """After `shutdown_timeout` a reader that takes nothing is cut off, and so is a handler."""

    async def slow(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    routes = [("/slow", slow)]
    server = PortServer(tmp_path, shutdown_timeout=0.2, routes=routes)
    await server.__aenter__()
    server.publish(release("lamp", "1.0.0", BIG))
    with server.plain_socket(receive_buffer=4096) as sock, server.plain_socket() as other:
        sock.send(GET)
        other.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: server.sender.under_way == 1 and server.port_.connections == 2)
        began = time.monotonic()
        with capture_logs() as logs:
            await server.__aexit__(None, None, None)
        assert time.monotonic() - began < 10
    assert server.sender.broken_off == 1
    assert [line["event"] for line in logs] == ["downloads_cut"]


async def test_connections_beyond_the_limit_get_a_small_answer(tmp_path: Path) -> None:
    """One too many is told to come again, those that asked go on, and the log says it once."""
    async with PortServer(tmp_path, max_connections=3) as server:
        server.publish(release("lamp", "1.0.0"))
        there = [await server.connect() for _ in range(3)]
        for connection in there:
            assert (await connection.get("/version?device=lamp")).status == 200
        with capture_logs() as logs:
            for question in (POLL, b""):
                async with await server.connect() as one_too_many, asyncio.timeout(1):
                    await one_too_many.send(question)
                    reply = await one_too_many.reply()
                    assert (reply.status, reply["Retry-After"]) == (503, "10")
                    assert await one_too_many.is_closed()
        assert [line["event"] for line in logs] == ["connections_crowded"]
        for connection in there:
            assert (await connection.get("/health")).status == 200
            await connection.close()


@pytest.mark.parametrize("sent", [b"", b"G", POLL[:-2]], ids=["silent", "a letter", "half a head"])
async def test_who_never_asked_makes_way(tmp_path: Path, sent: bytes) -> None:
    """The longest silent one is answered 503 and closed for each new one; the others stay."""
    async with PortServer(tmp_path, max_connections=3) as server:
        server.publish(release("lamp", "1.0.0"))
        silent = []
        for number in range(3):
            silent.append(await server.connect())
            await silent[-1].send(sent)
            await until(lambda number=number: server.port_.connections == number + 1)
        await asyncio.sleep(0.02)
        asked = [await server.connect() for _ in range(2)]
        for connection, longest in zip(asked, silent, strict=False):
            assert (await connection.get("/version?device=lamp")).status == 200
            async with asyncio.timeout(1):
                assert (await longest.reply()).status == 503
                assert await longest.is_closed()
        await silent[2].send(POLL[len(sent) :])
        assert (await silent[2].reply()).status == 200
        for connection in (*silent, *asked):
            await connection.close()


async def test_who_polled_need_not_make_way_amid_its_next_request(tmp_path: Path) -> None:
    """Half a head on a connection that asked before does not make a silent one of it."""
    async with PortServer(tmp_path, max_connections=1) as server, await server.connect() as polled:
        server.publish(release("lamp", "1.0.0"))
        assert (await polled.get("/version?device=lamp")).status == 200
        await polled.send(POLL[:-2])
        await asyncio.sleep(0.05)
        assert b" 503 " in await server.raw(POLL)
        await polled.send(POLL[-2:])
        assert (await polled.reply()).status == 200


async def test_silent_sockets_take_no_files_from_others(tmp_path: Path) -> None:
    """Hundreds beyond the limit hold as many files as the limit says, and polls are answered."""
    async with PortServer(tmp_path, max_connections=20) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        download = await server.connect()
        await download.send(GET)
        await until(lambda: server.sender.under_way == 1)
        before = open_files()
        silent = [server.plain_socket() for _ in range(300)]
        await until(lambda: open_files() - before < len(silent) + 25)
        assert server.port_.connections <= 20
        async with asyncio.timeout(1):
            assert (await server.get("/version?device=lamp")).status == 200
        assert (await download.reply()).body == BIG
        await download.close()
        for sock in silent:
            sock.close()


async def test_a_herd_that_asks_at_once_takes_no_more_places_than_there_are(tmp_path: Path) -> None:
    """Those whose place went to the next are told to come again, also before they are anybody's."""
    async with PortServer(tmp_path, max_connections=3) as server:
        most = 0
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
        for client in clients:
            client.sendall(POLL[:-2])
        for _ in range(50):
            await asyncio.sleep(0)
            most = max(most, server.port_.connections)
        for client in clients[:50]:
            client.settimeout(1)
            assert b" 503 " in client.recv(1000)
        for client in clients:
            client.close()
        assert most <= 2 * 3


def open_files() -> int:
    """How many files this process has open, the sockets of its clients included."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_what_the_shortcut_answered_is_reported_at_the_end(tmp_path: Path) -> None:
    """No poll is left out of the counts, however short the server lived."""
    server = PortServer(tmp_path)
    async with server:
        server.publish(release("lamp", "1.0.0"))
        await server.get("/version?device=lamp")
    assert server.observer.answered == 1


async def test_a_herd_is_accepted(tmp_path: Path) -> None:
    """Hundreds that connect in one moment are all answered."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        socks = []
        for _ in range(600):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", server.port))
            socks.append(sock)
        await until(lambda: server.port_.connections == 600)
        for sock in socks:
            sock.send(POLL)
        for sock in socks:
            answer = await asyncio.get_running_loop().sock_recv(sock, 500)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            sock.close()


SHORT_OF_FILES = """
import asyncio, resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from device_port import PortServer
from device_server import release

async def main():
    async with PortServer(Path({folder!r}), max_connections=10_000) as server:
        server.publish(release("lamp", "1.0.0"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


async def test_where_the_files_run_out_it_goes_on_when_there_are_some(tmp_path: Path) -> None:
    """Past the limit on open files connections wait in the kernel, and get their answers then."""
    script = SHORT_OF_FILES.format(tests=str(SUPPORT), folder=str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    there = [Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(80)]
    for connection in there:
        await connection.send(POLL)
    answered = there[:20]
    for connection in answered:
        assert (await connection.reply()).status == 200
        await connection.close()
    async with asyncio.timeout(20):
        for connection in there[20:]:
            assert (await connection.reply()).status == 200
            await connection.close()
    process.stdin.close()
    logged = (await process.stdout.read()).decode()
    assert await process.wait() == 0
    assert "connections_crowded" in logged
    assert "Too many open files" in logged
