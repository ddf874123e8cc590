"""Plain polls are answered before aiohttp, and by the same bytes."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import tracemalloc
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError
from device_port import PortServer, place_of
from device_server import EPOCH, release
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from property_runs import examples

from otaflux.web.devices.admission import PERIOD, Admission
from otaflux.web.origin import Origins
from otaflux.web.port.cachedanswer import CachedAnswer
from otaflux.web.port.handler import KEEPALIVE
from otaflux.web.port.requestcache import RequestCache

PLAIN = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"
DATE = re.compile(rb"Date: [^\r]*")

METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "BREW", "get", "OPTIONS", "PRI"])
TARGETS = st.sampled_from(
    [
        "/version?device=lamp",
        "/version?device=lamp",
        "/version?device=site/pump",
        "/version?device=site%2Fpump",
        "/version?device=site%2fpump",
        "/version?device=l%61mp",
        "/version?device=lamp#x",
        "/version?device=lamp&channel=beta",
        "/version?device=lamp&channel=stable",
        "/version?device=lamp&channel=nope",
        "/version?device=lamp&version=1.0.0",
        "/version?device=lamp&unit=a",
        "/version?device=lamp&unit=b",
        "/version?unit=&device=lamp",
        "/version?device=lamp&unit=a&unit=b",
        "/version?device=lamp&unit=" + "a" * 65,
        "/version?unit=a%20b&device=lamp",
        "/version?device=lamp&xunit=a",
        "/version?device=lamp&device=lamp",
        "/version?device=lamp&x=%00",
        "/version?device=",
        "/version",
        "/version?device=LAMP",
        "http://ota/version?device=lamp",
        "//version?device=lamp",
        "/health",
        "/firmware?device=lamp",
        "/nothing",
        "*",
        "version",
    ]
)
PROTOCOLS = st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.2", ""])
HEADERS = st.lists(
    st.sampled_from(
        [
            "User-Agent: ESP32",
            "Accept: */*",
            "Accept: application/json",
            "Accept: text/plain, application/json;q=0.5",
            "Connection: keep-alive",
            "Connection: close",
            "connection: CLOSE",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Expect: tea",
            "Content-Length: 0",
            "Content-Length: 2",
            "Content-Length: -1",
            "Transfer-Encoding: chunked",
            "Content-Encoding: gzip",
            'If-None-Match: "x"',
            "If-None-Match: *",
            "If-Match: *",
            "Range: bytes=0-3",
            "If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT",
            "Want-Repr-Digest: sha-256=10",
            "Via: 1.1 x",
            "Forwarded: for=1.2.3.4",
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-For: 10.0.0.9, fe80::1",
            "X-Forwarded-For: unknown",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: ota.example",
            "X-Real-IP: 1.2.3.4",
            "x-ESP32-STA-MAC: AA:BB",
            "x-ESP32-STA-MAC: AA:CC",
            "x-ESP8266-STA-MAC: a b",
            "RAUC-Serial: 7",
            "x-ESP32-version: 1.0.0",
            "Host: other",
            "Sec-WebSocket-Key1: x",
            "X-Nul: a\x00b",
            "X-Folded: a\r\n b",
            "Bad Name: x",
            "nocolon",
            "X-Long: " + "a" * 900,
        ]
    ),
    max_size=3,
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, mostly whole and often plain, sometimes cut, doubled or with something behind."""
    line = " ".join(part for part in (draw(METHODS), draw(TARGETS), draw(PROTOCOLS)) if part)
    host = draw(st.sampled_from(["Host: ota\r\n"] * 5 + ["", "Host: ota:8080\r\n"]))
    end = draw(st.sampled_from(["\r\n"] * 8 + ["\n"]))
    fields = "".join(f"{header}\r\n" for header in draw(HEADERS))
    if draw(st.integers(0, 2)) == 0:
        return PLAIN
    whole = f"{line}\r\n{host}{fields}{end}".encode("latin-1")
    before = draw(st.sampled_from([b""] * 6 + [b"\r\n", b"\r\n\r\n", b"\n", b"\x16\x03\x01"]))
    behind = draw(
        st.sampled_from(
            [b""] * 8 + [PLAIN, PLAIN[:20], b"\r\n", b"ab", b"0\r\n\r\n", b"\x00", PLAIN[1:]]
        )
    )
    return before + whole + behind


async def everything(server: PortServer, data: bytes) -> bytes:
    """All that the server answers to bytes and a closed sending side, without the dates."""
    async with await server.connect() as connection:
        await connection.send(data)
        connection.writer.write_eof()
        return DATE.sub(b"Date: now", await connection.reader.read())


@pytest.mark.parametrize("trusted", [(), (ip_network("127.0.0.0/8"),)], ids=["boards", "proxies"])
async def test_the_same_request_gets_the_same_bytes_either_way(
    tmp_path: Path, trusted: tuple[Any, ...]
) -> None:
    """Whichever of the two answers, every byte but the date is the same."""
    folders = [tmp_path / "with", tmp_path / "without"]
    both_have = {"channels": frozenset({"beta"}), "places": 1, "origins": Origins(trusted=trusted)}
    fast = PortServer(folders[0], **both_have)
    slow = PortServer(folders[1], **both_have, shortcut=False)
    async with fast, slow:
        for server in (fast, slow):
            server.publish(release("lamp", "1.0.0"))
            server.publish(release("lamp", "1.1.0-beta.1", b"beta"), channel="beta")
            server.publish(release("site/pump", "2.0.0+7", b"pump"))
        loop = asyncio.get_running_loop()

        @settings(
            max_examples=examples(250),
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(data=requests(), full=st.sampled_from([False] * 5 + [True]))
        def same(data: bytes, full: bool) -> None:
            # Without a Host the link in JSON has the server's own port, and that is not the same.
            assume(b"json" not in data.lower() or re.search(rb"\nhost: *\w", data.lower()))

            async def both() -> tuple[bytes, bytes]:
                async with AsyncExitStack() as taken:
                    for server in (fast, slow) if full else ():
                        await taken.enter_async_context(place_of(server.sender))
                    return await everything(fast, data), await everything(slow, data)

            one, other = asyncio.run_coroutine_threadsafe(both(), loop).result(20)
            assert one == other

        await asyncio.to_thread(same)
        fast.cache.report()
        assert fast.observer.answered > 10
        assert slow.observer.answered == 0


async def test_plain_polls_never_reach_aiohttp(tmp_path: Path) -> None:
    """Polls kept alive and polls with a connection each are answered without a handler."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as connection:
            for _ in range(3):
                reply = await connection.get("/version?device=lamp")
                assert reply.status == 200
                assert reply.body.startswith(b"1.0.0\n")
        closing = PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in await server.raw(closing)
        server.cache.report()
        assert server.observer.answered == 4
        assert server.observer.devices == {"lamp"}
        assert server.observer.requests == 0


async def test_what_is_published_is_told_from_the_next_poll_on(tmp_path: Path) -> None:
    """A connection that polls hears of each release, and of the last one's end."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0"))
        assert (await connection.get("/version?device=lamp")).body.startswith(b"1.0.0\n")
        server.publish(release("lamp", "1.1.0", b"newer"))
        assert (await connection.get("/version?device=lamp")).body.startswith(b"1.1.0\n")
        server.publish(None)
        assert (await connection.get("/version?device=lamp")).status == 404


async def test_a_download_follows_what_its_connection_was_told(tmp_path: Path) -> None:
    """After a plain poll `/firmware` gives the release told there, though another is current."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", b"old"))
        await connection.get("/version?device=lamp")
        server.publish(release("lamp", "1.1.0", b"new"))
        assert (await connection.get("/firmware?device=lamp")).body == b"old"
        assert (await connection.get("/firmware?device=lamp")).body == b"new"


async def test_what_was_told_long_ago_is_not_followed(tmp_path: Path) -> None:
    """Told more than a minute ago, a release does not bind the download any more."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", b"old"))
        await connection.get("/version?device=lamp")
        server.publish(release("lamp", "1.1.0", b"new"))
        server.clock.value += 61
        assert (await connection.get("/firmware?device=lamp")).body == b"new"


async def test_polls_hear_that_no_download_place_is_free(tmp_path: Path) -> None:
    """While all places are taken a plain poll gets 503 and its connection ends."""
    async with PortServer(tmp_path, places=1) as server:
        server.publish(release("lamp", "1.0.0"))
        async with place_of(server.sender), await server.connect() as connection:
            reply = await connection.get("/version?device=lamp")
            assert (reply.status, reply["Retry-After"]) == (503, "10")
            assert await connection.is_closed()
        assert (await server.get("/version?device=lamp")).status == 200
        server.cache.report()
        assert server.observer.statuses == {200: 1, 503: 1}


@pytest.mark.parametrize(
    ("target", "headers", "status", "body"),
    [
        ("/version?device=lamp", {"Accept": "application/json"}, 200, b'"version":"1.0.0"'),
        ("/version?device=lamp&channel=beta", {}, 200, b"1.1.0-beta.1"),
        ("/version?device=lamp&version=v1.0.0", {}, 200, b"1.0.0"),
        ("/version?device=lamp", {"If-None-Match": "*"}, 304, b""),
        ("/version?device=lamp", {"If-Match": '"x"'}, 412, b""),
        ("/version?device=lamp", {"Want-Repr-Digest": "sha-256=1"}, 200, b"1.0.0"),
        ("/version?device=lamp", {"Via": "1.1 proxy"}, 200, b"1.0.0"),
    ],
)
async def test_other_polls_are_answered_at_once_too(
    tmp_path: Path, target: str, headers: dict[str, str], status: int, body: bytes
) -> None:
    """Conditions, JSON, channels and pins need nothing but the record either, while it stands."""
    server = PortServer(tmp_path, channels=frozenset({"beta"}))
    async with server:
        server.publish(release("lamp", "1.0.0"))
        server.publish(release("lamp", "1.1.0-beta.1", b"beta"), channel="beta")
        for _ in range(3):
            reply = await server.get(target, headers)
            assert reply.status == status
            assert body in reply.body
        server.publish(release("lamp", "1.2.0", b"newer"))
        after = await server.get(target, headers)
        assert "version=" in target or "beta" in target or status != 200 or b"1.2.0" in after.body
        server.cache.report()
        assert server.observer.statuses[status] >= 3
        assert server.observer.requests == (1 if "version=" in target else 0)


async def test_a_pin_that_was_told_is_followed(tmp_path: Path) -> None:
    """What a connection was told of a channel or by a pin binds its next download."""
    server = PortServer(tmp_path, channels=frozenset({"beta"}))
    async with server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", b"old"))
        server.publish(release("lamp", "1.1.0-beta.1", b"beta"), channel="beta")
        await connection.get("/version?device=lamp&channel=beta")
        server.publish(release("lamp", "1.1.0-beta.2", b"beta 2"), channel="beta")
        assert (await connection.get("/firmware?device=lamp&channel=beta")).body == b"beta"


async def test_trusted_proxies_are_answered_at_once_and_told_nothing(tmp_path: Path) -> None:
    """Many clients may share a connection: what one was told says nothing of the next."""
    origins = Origins(trusted=(ip_network("127.0.0.0/8"),))
    async with PortServer(tmp_path, origins=origins) as server, await server.connect() as proxy:
        server.publish(release("lamp", "1.0.0", b"old"))
        for client in ("1.2.3.4", "1.2.3.5, 10.0.0.1"):
            headers = {"X-Forwarded-For": client}
            reply = await proxy.get("/version?device=lamp", headers)
            assert reply.body.startswith(b"1.0.0")
        headers = {"Accept": "application/json", "X-Forwarded-Host": "ota.example"}
        reply = await proxy.get("/version?device=lamp", headers)
        assert json.loads(reply.body)["url"].startswith("http://ota.example/firmware")
        server.publish(release("lamp", "1.1.0", b"new"))
        assert (await proxy.get("/firmware?device=lamp")).body == b"new"
        server.cache.report()
        assert server.observer.answered == 3


@pytest.mark.parametrize("shortcut", [True, False])
async def test_the_host_of_an_absolute_target_is_that_of_its_links(
    tmp_path: Path, shortcut: bool
) -> None:
    """It counts instead of the header's (RFC 9112 section 3.2.2), at once or not."""
    async with PortServer(tmp_path, shortcut=shortcut) as server, await server.connect() as board:
        server.publish(release("lamp", "1.0.0"))
        for _ in range(2):
            target = "http://b.example:81/version?device=lamp"
            reply = await board.get(target, {"Accept": "application/json"})
            assert json.loads(reply.body)["url"].startswith("http://b.example:81/firmware/")


async def test_json_with_a_token_is_answered_at_once_until_its_link_is_another(
    tmp_path: Path,
) -> None:
    """What is remembered goes with the time for which links are the same, and with the tokens."""
    admission = Admission(lambda: ["sesame"], now=lambda: now[0])
    now = [EPOCH]
    async with PortServer(tmp_path, admission=admission) as server:
        server.publish(release("lamp", "1.0.0", b"old"))
        told = []
        for hours in (0, 0, PERIOD):
            now[0] += hours * 3600
            server.cache.forget_tokens()
            async with await server.connect() as board:
                headers = {"Accept": "application/json", "Authorization": "Bearer sesame"}
                told.append(await board.get("/version?device=lamp", headers))
        server.cache.report()
        assert server.observer.answered == 3
        first, second, third = (json.loads(reply.body)["url"] for reply in told)
        assert first == second != third
        assert "?sig=" in third
        assert (await server.get("/version?device=lamp")).status == 401


async def test_an_idle_connection_ends_after_75_seconds(tmp_path: Path) -> None:
    """A connection that polled, or never asked anything, is closed when nothing comes."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as polled, await server.connect() as silent:
            server.clock.value += 10
            await polled.get("/version?device=lamp")
            server.clock.value += KEEPALIVE - 5
            server.port_.look()
            assert await silent.is_closed()
            assert (await polled.get("/version?device=lamp")).status == 200
            server.clock.value += KEEPALIVE
            server.port_.look()
            assert await polled.is_closed()


async def test_a_client_that_reads_no_answers_is_read_no_further(tmp_path: Path) -> None:
    """Unread answers do not pile up in memory, and the client is dropped once it is idle."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))

        def answered() -> int:
            server.cache.report()
            return int(server.observer.answered)

        async def poll(greedy: socket.socket) -> bool:
            before = answered()
            greedy.send(PLAIN)
            for turn in range(60):
                await asyncio.sleep(0 if turn < 40 else 0.002)
                if answered() == before + 1:
                    return True
            return False

        with server.plain_socket(receive_buffer=4096) as greedy:
            while await poll(greedy):
                assert answered() < 100_000
            assert server.port_.connections == 1
            server.clock.value += KEEPALIVE
            server.port_.look()
            await asyncio.sleep(0.01)
            assert server.port_.connections == 0


async def test_a_poll_in_two_pieces_is_answered(tmp_path: Path) -> None:
    """Half a request, and the rest of it later, make one poll."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0"))
        await connection.send(PLAIN[:25])
        await asyncio.sleep(0.02)
        await connection.send(PLAIN[25:])
        assert (await connection.reply()).body.startswith(b"1.0.0\n")


async def test_requests_seen_before_are_bounded(tmp_path: Path) -> None:
    """However many different polls come, what is remembered of them stays bounded."""
    most = 1 << 20
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        parts = server.side
        cache = RequestCache(
            ready_record=parts.first_looks.ready_record,
            downloads=server.sender,
            last_told=parts.last_told,
            origins=server.origins,
            observer=server.observer,
            most=most,
        )
        tracemalloc.start()
        try:
            for number in range(1500):
                padded = PLAIN.replace(b"ota", b"o" * 800 + str(number).encode())
                assert isinstance(cache.lookup(padded), CachedAnswer)
            assert tracemalloc.get_traced_memory()[0] < 1.5 * most
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN + b"G",
        PLAIN + PLAIN,
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"lamp", b"unknown"),
        PLAIN.replace(b"GET", b"HEAD"),
        PLAIN.replace(b"Host", b"Content-Length: 1\r\nHost"),
        PLAIN.replace(b"version", b"firmware"),
        PLAIN.replace(b"GET /version?device=lamp", b"HEAD /health"),
        PLAIN.replace(b"ota\r\n", b"<ota>\r\nAccept: application/json\r\n"),
        PLAIN.replace(b"Host", b"Expect: 100-continue\r\nHost"),
        PLAIN.replace(b"Host", b"X: " + b"x" * 1024 + b"\r\nHost"),
    ],
)
async def test_whatever_is_not_plain_and_whole_is_left_to_aiohttp(
    tmp_path: Path, data: bytes
) -> None:
    """Only one whole plain poll for a device that has a release is the shortcut's."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        assert not isinstance(server.cache.lookup(data), CachedAnswer)
        assert isinstance(server.cache.lookup(PLAIN), CachedAnswer)


@pytest.mark.parametrize(
    "named",
    [
        PLAIN.replace(b"lamp", b"lamp&unit=%s"),
        PLAIN.replace(b"?device", b"?unit=%s&device"),
        PLAIN.replace(b"Host", b"x-ESP32-STA-MAC: %s\r\nHost"),
        PLAIN.replace(b"ota\r\n", b"ota\r\nx-ESP8266-STA-MAC: %s\r\n"),
        PLAIN.replace(b"ota\r\n", b"ota\r\nRAUC-Serial: %s\r\n"),
    ],
)
async def test_boards_that_name_themselves_share_an_answer(tmp_path: Path, named: bytes) -> None:
    """However many units poll, one answer serves all; no other bytes are taken for a name."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        first = server.cache.lookup(named % b"24:0A:C4:00:00:01")
        assert isinstance(first, CachedAnswer)
        for name in (b"24:0A:C4:00:00:02", b"a", b"x" * 64, b"pump_7.b-3"):
            assert server.cache.lookup(named % name) is first
        for hostile in (b"a\x00", b"a\r\nContent-Length: 5", b"a\n\nGET /"):
            assert not isinstance(server.cache.lookup(named % hostile), CachedAnswer)
        server.publish(release("lamp", "1.1.0", b"newer"))
        after = server.cache.lookup(named % b"b")
        assert isinstance(after, CachedAnswer)
        assert b"1.1.0" in after.after


@pytest.mark.parametrize(
    "named",
    [
        PLAIN.replace(b"lamp", b"lamp&unit=pump"),
        PLAIN.replace(b"ota\r\n", b"ota\r\nRAUC-Serial: pump\r\n"),
    ],
)
async def test_a_poll_may_come_in_two_parts_wherever_it_is_cut(
    tmp_path: Path, named: bytes
) -> None:
    """Also in the middle of the board's name, on a new connection and on one that polled."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        for cut in range(1, len(named)):
            assert server.cache.lookup(named[:cut]) is None
        cut = named.index(b"pump") + 2
        for polled in (False, True):
            async with await server.connect() as connection:
                if polled:
                    assert (await connection.get("/version?device=lamp")).status == 200
                await connection.send(named[:cut])
                await asyncio.sleep(0.05)
                await connection.send(named[cut:])
                connection.writer.write_eof()
                assert (await connection.reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_the_parser_is_what_we_take_it_for() -> None:
    """Aiohttp exports `HttpRequestParser` without documenting it; this is what we rely on."""
    loop = asyncio.get_running_loop()

    def parse(data: bytes) -> tuple[int, bool]:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 65536)
        messages, upgraded, _ = parser.feed_data(data)
        return len(messages), upgraded

    assert parse(PLAIN) == (1, False)
    assert parse(b"\r\n" + PLAIN) == (1, False)
    assert parse(PLAIN[:-1]) == (0, False)
    assert parse(PLAIN + PLAIN[:20]) == (1, False)  # the rest is kept without a word
    assert parse(PLAIN + PLAIN) == (2, False)
    with pytest.raises(HttpProcessingError):
        parse(b"GET /version?device=lamp HTTP/1.1\r\n\r\n")
    with pytest.raises(HttpProcessingError):
        parse(PLAIN.replace(b"\r\n\r\n", b"\n\n"))
    parser = HttpRequestParser(BaseProtocol(loop), loop, 65536)
    (message, body), *_ = parser.feed_data(PLAIN)[0]
    assert (message.method, message.path) == ("GET", "/version?device=lamp")
    assert message.headers["host"] == "ota"
    assert not message.should_close
    assert body.is_eof()
