"""Plain downloads are sent before aiohttp, by the same bytes and with the same traces."""

from __future__ import annotations

import asyncio
import os
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from device_port import PortServer, place_of
from device_server import release
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from otaflux.model.names import Device
from otaflux.model.release import Release
from otaflux.web.devices.admission import Admission
from otaflux.web.observer import Nobody
from otaflux.web.origin import Origins
from otaflux.web.port.cachedanswer import CachedAnswer, CachedDownload
from otaflux.web.port.handler import KEEPALIVE

GET = b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"
BIG = os.urandom(1 << 20) * 16  # more than all buffers between here and a reader take


class Heard(Nobody):
    """Remembers all that an observer is told, but how long it took."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Remember."""
        self.told.append((path, method, status))

    def lookup(self, device: Device, *, hit: bool) -> None:
        """Remember."""
        self.told.append((device.name, hit))

    def poll(self, device: Device, runs: str) -> None:
        """Remember."""
        self.told.append((device.name, runs))

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """Remember."""
        self.told.append((release.version.text, unit, whole, last))


def get(target: str, *headers: str) -> bytes:
    """A whole request."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET {target} HTTP/1.1\r\nHost: ota\r\n{lines}\r\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        GET,
        get("/firmware?device=lamp", "User-Agent: ESP32", "Connection: close"),
        get("/firmware/lamp/firmware.bin"),
        get("/firmware?device=lamp&channel=beta"),
        get("/firmware?device=lamp&version=1.0.0"),
        get("/firmware?device=lamp", "Want-Repr-Digest: sha-256=1"),
        get("/firmware?device=lamp", 'If-None-Match: "other"'),
    ],
)
async def test_it_leaves_the_same_traces_either_way(tmp_path: Path, data: bytes) -> None:
    """Observers, counters and what is remembered of the download are as after a handler's."""
    channels = frozenset({"beta"})
    traces = []
    for name, shortcut in (("with", True), ("without", False)):
        heard = Heard()
        server = PortServer(tmp_path / name, observer=heard, channels=channels, shortcut=shortcut)
        async with server, await server.connect() as connection:
            server.publish(release("lamp", "1.0.0", b"firmware"))
            assert not shortcut or isinstance(server.cache.lookup(data), CachedDownload)
            await connection.send(data)
            assert (await connection.reply()).body == b"firmware"
            await until(lambda heard=heard: len(heard.told) == 4)
            traces.append((heard.told, server.sender.finished, len(server.memory)))
            assert not server.sender.full
    assert traces[0] == traces[1]


@pytest.mark.parametrize(
    "data",
    [
        GET.replace(b"GET", b"HEAD"),
        GET + GET,
        get("/firmware?device=lamp", "Range: bytes=0-3"),
        get("/firmware?device=lamp", "If-None-Match: *"),
        get("/firmware?device=lamp", 'If-Match: "other"'),
        get("/firmware?device=lamp&unit=a"),
        get("/firmware?device=lamp&current=0.9.0"),
        get("/firmware?device=lamp", "RAUC-Serial: 7"),
        get("/firmware?device=lamp", "x-ESP32-STA-MAC: aa:bb", "x-ESP32-mode: sketch"),
        get("/firmware?device=lamp", "Via: 1.1 proxy"),
        get("/firmware?device=lamp", "X-Forwarded-For: 192.0.2.1"),
        get("/firmware?device=lamp&version=2.0.0"),
        get("/firmware?device=other"),
        get("/firmware?device="),
        get("/firmware"),
        get("/firmware/sha256/" + "0" * 64),
    ],
)
async def test_whatever_may_be_answered_otherwise_is_the_handlers(
    tmp_path: Path, data: bytes
) -> None:
    """Names, ranges, conditions that hold, proxies and what there is not."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        assert not isinstance(server.cache.lookup(data), CachedAnswer | CachedDownload)


async def test_a_trusted_proxy_is_the_handlers(tmp_path: Path) -> None:
    """Its clients are told apart by what it forwards."""
    origins = Origins(trusted=(ip_network("127.0.0.0/8"),))
    async with PortServer(tmp_path, origins=origins) as server, await server.connect() as proxy:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        assert not isinstance(server.cache.behind.lookup(GET), CachedDownload)
        assert (await proxy.get("/firmware?device=lamp")).body == b"firmware"


async def test_what_is_published_is_sent_from_the_next_download_on(tmp_path: Path) -> None:
    """A connection that downloads gets each release, until there is none."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        for number in range(3):
            server.publish(release("lamp", f"1.{number}.0", b"firmware %d" % number))
            for _ in range(2):
                body = (await connection.get("/firmware?device=lamp")).body
                assert body == b"firmware %d" % number
        server.publish(None)
        assert (await connection.get("/firmware?device=lamp")).status == 404


async def test_only_who_proves_itself_gets_firmware(tmp_path: Path) -> None:
    """A token that counts no more opens nothing, though its request was seen before."""
    tokens = ["sesame"]
    admission = Admission(lambda: tokens)
    async with PortServer(tmp_path, admission=admission) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        proof = {"Authorization": "Bearer sesame"}
        for _ in range(2):
            assert (await server.get("/firmware?device=lamp", proof)).body == b"firmware"
        assert (await server.get("/firmware?device=lamp")).status == 401
        tokens[:] = ["open"]
        server.cache.forget_tokens()
        assert (await server.get("/firmware?device=lamp", proof)).status == 401


async def test_what_is_asked_during_a_download_is_answered_behind_it(tmp_path: Path) -> None:
    """A poll, another download and half a request that come meanwhile wait for their turn."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", BIG))
        await connection.send(GET)
        await until(lambda: server.sender.under_way == 1)
        await connection.send(POLL)
        await connection.send(GET + POLL[:9])
        assert (await connection.reply()).body == BIG
        assert (await connection.reply()).body.startswith(b"1.0.0\n")
        assert (await connection.reply()).body == BIG
        await connection.send(POLL[9:])
        assert (await connection.reply()).body.startswith(b"1.0.0\n")


@pytest.mark.parametrize("behind", [POLL, GET, get("/firmware?device=lamp", "Range: bytes=0-")])
async def test_who_closes_only_the_sending_side_gets_all_answers(
    tmp_path: Path, behind: bytes
) -> None:
    """Those to what came during a download too, whoever gives them."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", BIG))
        await connection.send(GET)
        await until(lambda: server.sender.under_way == 1)
        await connection.send(behind)
        connection.writer.write_eof()
        assert (await connection.reply()).body == BIG
        said = (await connection.reply()).body
        assert said.startswith(b"1.0.0\n") if behind is POLL else said == BIG
        assert await connection.is_closed()
        await until(lambda: server.port_.connections == 0)


async def test_a_download_behind_unread_polls_keeps_its_order(tmp_path: Path) -> None:
    """Firmware never overtakes answers that its client has not taken yet."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        polls = 3000
        with server.plain_socket(receive_buffer=4096) as sock:
            for _ in range(polls):
                sock.sendall(POLL)
                await asyncio.sleep(0)
            sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

            def everything() -> bytes:
                return b"".join(iter(lambda: sock.recv(1 << 16), b""))

            got = await asyncio.to_thread(everything)
        assert got.count(b"HTTP/1.1 200 OK") == polls + 1
        assert got.endswith(b"\r\n\r\nfirmware")


async def test_a_connection_that_downloads_is_not_idle(tmp_path: Path) -> None:
    """However long it takes; from its end on the usual time counts."""
    async with PortServer(tmp_path) as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", BIG))
        await connection.send(GET)
        await until(lambda: server.sender.under_way == 1)
        server.clock.value += KEEPALIVE
        server.port_.look()
        assert (await connection.reply()).body == BIG
        server.clock.value += KEEPALIVE - 1
        server.port_.look()
        assert (await connection.get("/version?device=lamp")).status == 200
        server.clock.value += KEEPALIVE
        server.port_.look()
        assert await connection.is_closed()


@pytest.mark.parametrize("reads", [True, False])
async def test_the_server_ends_behind_its_downloads(tmp_path: Path, reads: Any) -> None:
    """What is under way has the time that a shutdown has, and is cut then."""
    server = PortServer(tmp_path, shutdown_timeout=5 if reads else 0.1)
    async with server:
        server.publish(release("lamp", "1.0.0", BIG))
        connection = await server.connect()
        await connection.send(GET)
        await until(lambda: server.sender.under_way == 1)
        reading = asyncio.create_task(connection.reply()) if reads else None
    assert (server.sender.finished, server.sender.broken_off) == ((1, 0) if reads else (0, 1))
    if reading is not None:
        assert (await reading).body == BIG
    await connection.close()


async def test_a_damaged_file_is_refused_and_none_is_left_open(tmp_path: Path) -> None:
    """What was found to be other bytes goes to nobody, and the place is free."""
    async with PortServer(tmp_path, places=1) as server, await server.connect() as connection:
        held = release("lamp", "1.0.0", b"firmware")
        server.publish(held)
        assert (await connection.get("/firmware?device=lamp")).body == b"firmware"
        server.store.condemn(held.firmware.firmware_digest)
        assert (await connection.get("/firmware?device=lamp")).status == 503
        assert not server.sender.full


async def test_a_download_waits_for_its_place_like_any_other(tmp_path: Path) -> None:
    """Where no place is free, the handlers have it wait, and refuse it in the end."""
    async with PortServer(tmp_path, places=1, place_patience=2) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        async with place_of(server.sender):
            waits = asyncio.create_task(server.get("/firmware?device=lamp"))
            await until(lambda: server.sender.waiting == 1)
        assert (await waits).body == b"firmware"


@given(st.lists(st.sampled_from(["poll", "get", "publish", "wait"]), min_size=1, max_size=12))
def test_polls_and_downloads_hold_together_either_way(steps: list[str]) -> None:
    """Whatever comes in what order on one connection, each answer is that of the handlers."""
    told = [asyncio.run(_answers(steps, shortcut=shortcut)) for shortcut in (True, False)]
    assert told[0] == told[1]


async def _answers(steps: list[str], *, shortcut: bool) -> list[bytes]:
    answered = []
    with tempfile.TemporaryDirectory() as folder:
        server = PortServer(Path(folder), shortcut=shortcut)
        async with server, await server.connect() as connection:
            server.publish(release("lamp", "1.0.0", b"firmware 0"))
            for number, step in enumerate(steps, start=1):
                if step == "publish":
                    server.publish(release("lamp", f"1.{number}.0", b"firmware %d" % number))
                elif step == "wait":
                    server.clock.value += 45
                else:
                    path = "/version" if step == "poll" else "/firmware"
                    answered.append((await connection.get(f"{path}?device=lamp")).body)
    return answered
