"""What devices get over HTTP, from the real port over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from device_port import PortServer, place_of
from device_server import Connection, DeviceServer, release, sums
from structlog.testing import capture_logs

from otaflux.web.answers import Answer
from otaflux.web.devices.handlers import Devices
from otaflux.web.devices.protocols.route import Route
from otaflux.web.devices.protocols.table import ROUTES
from otaflux.web.devices.request import DeviceRequest
from otaflux.web.origin import Origins

OLD = random.Random(1).randbytes(4000)
NEW = random.Random(2).randbytes(5000)
ONE = release("lamp", "1.0.0", OLD)
TWO = release("lamp", "1.1.0", NEW)
NOTHING = "No firmware for device 'lamp'"
TEXT_ONE = f"1.0.0\n{sums(OLD).crc32}\n4000".encode()
TEXT_TWO = f"1.1.0\n{sums(NEW).crc32}\n5000".encode()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PortServer]:
    """A server that tells 1.0.0 of a lamp, and serves a beta channel."""
    async with PortServer(tmp_path, channels=frozenset({"beta"})) as running:
        running.publish(ONE)
        yield running


async def test_health(server: PortServer) -> None:
    """200 while the process can answer."""
    reply = await server.get("/health")
    assert (reply.status, reply.body) == (200, b"ok")


async def test_version_and_firmware_agree(server: PortServer) -> None:
    """Version, CRC, size and bytes are of one release."""
    text = await server.get("/version?device=lamp")
    assert (text.status, text.body) == (200, TEXT_ONE)
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    firmware = await server.get("/firmware?device=lamp")
    assert (firmware.status, firmware.body) == (200, OLD)
    assert firmware["Content-Type"] == "application/octet-stream"
    assert firmware["Content-Length"] == "4000"


@pytest.mark.parametrize(
    "target",
    [
        "/health",
        "/version?device=lamp",
        "/firmware?device=lamp",
        "/firmware/lamp/firmware.bin",
        f"/firmware/sha256/{sums(OLD).sha256}",
        "/esphome/lamp/manifest.json",
        "/firmware?device=nothing&version=x",
        "/nowhere",
    ],
)
async def test_head_has_the_same_headers_and_no_body(server: PortServer, target: str) -> None:
    """HEAD of each address is GET without its body, errors too; the connection goes on."""
    async with await server.connect() as connection:
        got = await connection.get(target)
        head = await connection.get(target, method="HEAD")
        assert head.status == got.status
        assert [line for line in head.headers if line[0] != "Date"] == [
            line for line in got.headers if line[0] != "Date"
        ]
        assert (await connection.get("/health")).body == b"ok"


async def test_json_for_programs(server: PortServer) -> None:
    """JSON has every sum, and a link to the content that works."""
    reply = await server.get("/version?device=lamp", {"Accept": "application/json"})
    told = json.loads(reply.body)
    assert told["version"] == "1.0.0"
    assert told["sha256"] == sums(OLD).sha256
    assert told["url"] == f"http://ota/firmware/sha256/{sums(OLD).sha256}"
    content = await server.get(told["url"])
    assert content.body == OLD
    assert content["Cache-Control"] == "public, max-age=31536000, immutable"
    assert content["ETag"] == (await server.get("/firmware?device=lamp"))["ETag"]


@pytest.mark.parametrize(
    "target",
    [
        "/firmware?device=lamp&version=1.0.0",
        "/firmware?device=lamp&version=v1.0.0",
        "/firmware/lamp/firmware.bin?version=1.0.0",
    ],
)
async def test_a_pin_names_a_kept_release(server: PortServer, target: str) -> None:
    """A version is served by name while it is current or kept, and never looked for."""
    server.publish(TWO, kept=(ONE,))
    assert (await server.get(target)).body == OLD
    assert (await server.get("/version?device=lamp&version=1.0.0")).body == TEXT_ONE
    server.publish(TWO)
    assert (await server.get(target)).status == 404
    assert server.queue.touches == []


async def test_channels(server: PortServer) -> None:
    """A channel has its own answer, else the stable one; unknown ones are named."""
    assert (await server.get("/version?device=lamp&channel=beta")).body == TEXT_ONE
    beta = release("lamp", "2.0.0-beta.1", b"beta")
    server.publish(beta, channel="beta")
    assert (await server.get("/firmware?device=lamp&channel=beta")).body == b"beta"
    assert (await server.get("/version?device=lamp&channel=stable")).body == TEXT_ONE
    reply = await server.get("/version?device=lamp&channel=alpha")
    assert reply.status == 400
    assert reply.body == b"There is no such channel; there are: stable, beta"


@pytest.mark.parametrize("shortcut", [True, False])
async def test_polls_that_name_no_channel_have_the_default_one(
    tmp_path: Path, shortcut: bool
) -> None:
    """By either way to an answer, in each protocol; the stable one is had by its name."""
    channels = frozenset({"beta"})
    async with PortServer(
        tmp_path, channels=channels, default_channel="beta", shortcut=shortcut
    ) as server:
        server.publish(ONE)
        assert (await server.get("/version?device=lamp")).body == TEXT_ONE
        beta = release("lamp", "2.0.0-beta.1", b"beta")
        server.publish(beta, channel="beta")
        for _ in range(2):
            told = await server.get("/version?device=lamp")
            assert told.body.startswith(b"2.0.0-beta.1\n")
        assert (await server.get("/firmware?device=lamp")).body == b"beta"
        assert (await server.get("/firmware/lamp/firmware.bin")).body == b"beta"
        manifest = json.loads((await server.get("/esphome/lamp/manifest.json")).body)
        assert manifest["version"] == "2.0.0-beta.1"
        for target in ("/version?device=lamp", "/firmware?device=lamp"):
            stable = await server.get(f"{target}&channel=stable")
            assert stable.body in {TEXT_ONE, OLD}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["//version", "/version/", "///version//", "/%2Fversion"])
async def test_empty_parts_of_a_path_count_for_nothing(
    server: PortServer, path: str, method: str
) -> None:
    """As with nginx, by either way to an answer; also where the path names the device."""
    reply = await server.get(f"{path}?device=lamp", method=method)
    assert (reply.status, reply["Content-Length"]) == (200, str(len(TEXT_ONE)))
    assert (await server.get("//firmware//lamp///firmware.bin/")).body == OLD


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("/version", 400, "Missing required query parameter: 'device'"),
        ("/firmware?device=", 400, "Missing required query parameter: 'device'"),
        ("/version?device=La%0d%0amp", 400, "A device's name is"),
        ("/version?device=" + "a" * 5000, 400, "A device's name has at most 200"),
        ("/version?device=lamp&version=one", 400, "A version is SemVer"),
        (
            "/version?device=lamp&version=9.9.9",
            404,
            "No firmware for device 'lamp' in version 9.9.9",
        ),
        ("/firmware?device=lamp&version=v2", 400, "A version is SemVer"),
        (
            "/firmware?device=lamp&version=v9.9.9_a",
            404,
            "No firmware for device 'lamp' in version 9.9.9+a",
        ),
        ("/firmware/lamp/tasmota32.bin", 404, "Nothing is at this address"),
        ("/firmware/sha256/" + "0" * 64, 404, "No firmware has that content"),
    ],
)
async def test_refusals_are_short_plain_text(
    server: PortServer, target: str, status: int, text: str
) -> None:
    """A refusal says what is wrong; the connection goes on, but after a refused poll."""
    async with await server.connect() as connection:
        reply = await connection.get(target)
        assert reply.status == status
        assert reply.body.decode().startswith(text)
        assert reply["Content-Type"] == "text/plain; charset=utf-8"
        assert len(reply.raw) < 400
        if target.startswith("/version"):
            assert reply["Connection"] == "close"
            assert await connection.is_closed()
        else:
            assert (await connection.get("/version?device=lamp")).body == TEXT_ONE


async def test_a_wrong_method_says_which_are_right(server: PortServer) -> None:
    """405 with `Allow`; a body that came with it harms nothing."""
    async with await server.connect() as connection:
        await connection.send(
            b"POST /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\nContent-Length: 3\r\n\r\nabc"
        )
        reply = await connection.reply()
        assert (reply.status, reply["Allow"]) == (405, "GET, HEAD")
        assert (await connection.get("/version?device=lamp")).body == TEXT_ONE


async def test_a_firmware_follows_the_version_told_on_its_connection(server: PortServer) -> None:
    """What was published between the two does not come between them; others get the new one."""
    async with await server.connect() as connection:
        assert (await connection.get("/version?device=lamp")).body == TEXT_ONE
        server.publish(TWO)
        assert (await server.get("/firmware?device=lamp")).body == NEW
        assert (await connection.get("/firmware?device=lamp")).body == OLD
        assert (await connection.get("/firmware?device=lamp")).body == NEW


@pytest.mark.parametrize(
    "between",
    ["/health", "/firmware?device=fan&version=1.0.0", "/nowhere", "/firmware?device=NO"],
)
async def test_only_the_request_directly_after_follows(server: PortServer, between: str) -> None:
    """Another request in between ends it."""
    async with await server.connect() as connection:
        await connection.get("/version?device=lamp", {"Accept": "application/json"})
        await connection.get(between)
        server.publish(TWO)
        assert (await connection.get("/firmware?device=lamp")).body == NEW


async def test_following_ends_after_a_minute(server: PortServer) -> None:
    """60 seconds after a `/version` its connection is like any other."""
    async with await server.connect() as connection:
        await connection.get("/version?device=lamp")
        server.publish(TWO)
        server.clock.value += 60.1
        assert (await connection.get("/firmware?device=lamp")).body == NEW


async def test_another_channel_does_not_follow(server: PortServer) -> None:
    """The told release belongs to its device and channel alone."""
    async with await server.connect() as connection:
        await connection.get("/version?device=lamp")
        server.publish(TWO, channel="beta")
        assert (await connection.get("/firmware?device=lamp&channel=beta")).body == NEW


async def test_a_pinned_version_is_followed_too(server: PortServer) -> None:
    """A board that pins the question alone gets what it was told, and begins it for nobody else."""
    server.publish(TWO, kept=(ONE,))
    async with await server.connect() as connection:
        await connection.get("/version?device=lamp&version=1.0.0")
        assert (await connection.get("/firmware?device=lamp")).body == OLD
    assert len(server.memory) == 0


@pytest.mark.parametrize("header", ["Via", "Forwarded", "X-Forwarded-For"])
@pytest.mark.parametrize("first", [True, False])
async def test_proxied_connections_are_shared(server: PortServer, header: str, first: bool) -> None:
    """Where a proxy names itself, in either request, nothing follows."""
    proxied = {header: "192.0.2.7"}
    async with await server.connect() as connection:
        await connection.get("/version?device=lamp", proxied if first else None)
        server.publish(TWO)
        reply = await connection.get("/firmware?device=lamp", None if first else proxied)
        assert reply.body == NEW


async def test_a_trusted_proxys_connections_are_shared(tmp_path: Path) -> None:
    """A peer in TRUSTED_PROXIES need not name itself."""
    origins = Origins(trusted=(ip_network("127.0.0.0/8"),))
    async with PortServer(tmp_path, origins=origins) as server, await server.connect() as proxy:
        server.publish(ONE)
        await proxy.get("/version?device=lamp")
        server.publish(TWO)
        assert (await proxy.get("/firmware?device=lamp")).body == NEW


async def part(server: PortServer, text: str, query: str = "", **headers: str) -> bytes | int:
    """A range on a connection of its own: its bytes, or the status that it got instead."""
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await server.get(f"/firmware?device=lamp{query}", {"Range": f"bytes={text}", **lines})
    return reply.body if reply.status == 206 else reply.status


async def length(server: PortServer, query: str = "") -> int:
    """What HEAD says the size is, or the status that it got instead."""
    reply = await server.get(f"/firmware?device=lamp{query}", method="HEAD")
    return int(reply["Content-Length"]) if reply.status == 200 else reply.status


async def test_a_download_in_ranges_holds_together(server: PortServer) -> None:
    """HEAD and ranges on new connections give one release; a whole GET gives the current one."""
    assert await length(server) == 4000
    server.publish(TWO)
    assert await part(server, "0-1999") == OLD[:2000]
    assert (await server.get("/firmware?device=lamp")).body == NEW
    assert await part(server, "2000-") == OLD[2000:]
    assert await length(server) == 4000
    server.clock.value += 120
    assert await length(server) == 5000
    assert await part(server, "0-99") == NEW[:100]


async def test_units_behind_one_address_have_their_own_downloads(server: PortServer) -> None:
    """Boards that name themselves begin for themselves."""
    await length(server, "&unit=a")
    server.publish(TWO)
    assert await length(server, "&unit=b") == 5000
    assert await part(server, "10-19", "&unit=a") == OLD[10:20]
    assert await part(server, "10-19", "&unit=b") == NEW[10:20]
    assert await part(server, "0-9", RAUC_Serial="c") == NEW[:10]


async def test_a_whole_get_that_broke_off_is_resumed_with_the_same_release(
    server: PortServer,
) -> None:
    """A resume without If-Range, as swupdate's, gets the rest of what it began."""
    assert (await server.get("/firmware?device=lamp")).body == OLD
    server.publish(TWO)
    assert await part(server, "3000-") == OLD[3000:]


async def test_a_range_that_nothing_remembers_may_belong_to_the_old_release(
    server: PortServer,
) -> None:
    """409 for 30 minutes after a release replaced another, and after a restart too."""
    assert await part(server, "10-19") == OLD[10:20]
    server.publish(TWO)
    assert await part(server, "10-19") == 409
    assert await part(server, "-10") == 409
    assert await part(server, "10-19", If_Range=f'"{sums(NEW).sha256[:32]}"') == NEW[10:20]
    assert await part(server, "10-19", If_Range=f'"{sums(OLD).sha256[:32]}"') == 200
    assert await part(server, "10-19", "&version=1.1.0") == NEW[10:20]
    server.clock.value += 30 * 60
    assert await part(server, "10-19") == NEW[10:20]


async def test_the_409_says_what_to_do(server: PortServer) -> None:
    """The board begins anew, and gets the new release."""
    server.publish(TWO)
    reply = await server.get("/firmware?device=lamp", {"Range": "bytes=10-19"})
    assert reply.body == b"The firmware of device 'lamp' changed: begin anew"
    assert await part(server, "0-9") == NEW[:10]
    assert await part(server, "10-19") == NEW[10:20]


async def test_after_a_withdrawal_without_a_successor_too(server: PortServer) -> None:
    """What comes after a withdrawn release replaced it as well, for boards in the middle."""
    server.publish(None, withdrawn=True)
    assert await part(server, "10-19") == 404
    server.publish(TWO)
    assert await part(server, "10-19") == 409


async def test_a_withdrawn_release_is_for_those_who_began_it(server: PortServer) -> None:
    """Nobody is told it, but a board in the middle of it gets the rest."""
    await length(server)
    server.publish(None, withdrawn=True)
    assert (await server.get("/version?device=lamp")).status == 404
    assert (await server.get("/firmware?device=lamp")).status == 404
    assert await part(server, "10-19") == OLD[10:20]


async def test_a_download_ends_15_minutes_after_its_release_was_replaced(
    server: PortServer,
) -> None:
    """Then nobody begins there for two minutes, for a board was in the middle."""
    await length(server)
    server.publish(TWO)
    for _ in range(14):
        server.clock.value += 60
        assert await part(server, "10-19") == OLD[10:20]
    server.clock.value += 60
    reply = await server.get("/firmware?device=lamp", method="HEAD")
    assert (reply.status, reply["Retry-After"]) == (503, "120")
    assert await part(server, "0-9") == 503
    assert await part(server, "10-19") == 503
    assert (await server.get("/firmware?device=lamp")).body == NEW
    server.clock.value += 119
    assert await length(server) == 503
    server.clock.value += 1
    assert await part(server, "10-19") == 409
    assert await length(server) == 5000


async def test_a_304_begins_nothing(server: PortServer) -> None:
    """Boards that poll with HEAD or RAUC's range, and have it already, hold no release for others.

    Nor does a part that fails its condition.
    """
    etag = f'"{sums(OLD).sha256[:32]}"'
    headers = {"If-None-Match": etag, "Range": "bytes=0-3"}
    assert (await server.get("/firmware?device=lamp", headers)).status == 304
    assert (await server.get("/firmware?device=lamp", headers, method="HEAD")).status == 304
    assert (await server.get("/firmware?device=lamp", {"If-Match": '"x"'})).status == 412
    assert len(server.memory) == 0


async def test_500_downloads_and_a_push_in_the_middle(tmp_path: Path) -> None:
    """Pinned or not, with a unit or not, nobody ends with bytes of two releases."""
    async with PortServer(tmp_path) as server:
        server.publish(ONE)
        began, go_on = 0, asyncio.Event()

        async def board(number: int) -> bytes:
            nonlocal began
            query = ("", f"&unit=u{number}", "&version=1.0.0", f"&unit=v{number}")[number % 4]
            async with gate:
                size = await length(server, query)
                got = await part(server, "0-999", query)
                began += 1
            if began == 500:
                server.publish(TWO, kept=(ONE,))
                go_on.set()
            await go_on.wait()
            async with gate:
                while isinstance(got, bytes) and len(got) < size:
                    more = await part(server, f"{len(got)}-{len(got) + 1499}", query)
                    got = got + more if isinstance(more, bytes) else more
            assert isinstance(got, bytes)
            return got

        gate = asyncio.Semaphore(50)
        wholes = await asyncio.gather(*(board(number) for number in range(500)))
        assert set(wholes) == {OLD}
        assert await part(server, "0-9", "&unit=late") == NEW[:10]


async def test_while_no_place_is_free(tmp_path: Path) -> None:
    """Text polls and downloads are told to come back; what costs no place is answered as ever."""
    async with PortServer(tmp_path, places=1, place_patience=0.01) as server:
        server.publish(ONE)
        etag = (await server.get("/version?device=lamp"))["ETag"]
        async with place_of(server.sender), await server.connect() as connection:
            for target in ("/version?device=lamp", "/version?device=lamp&version=1.0.0"):
                reply = await server.get(target)
                assert (reply.status, reply["Retry-After"]) == (503, "10")
            assert (await connection.get("/firmware?device=lamp")).status == 503
            json_reply = await connection.get(
                "/version?device=lamp", {"Accept": "application/json"}
            )
            assert json_reply.status == 200
            for target, headers, status, method in (
                ("/version?device=lamp", {"If-None-Match": etag}, 304, "GET"),
                ("/esphome/lamp/manifest.json", {}, 200, "GET"),
                ("/firmware?device=lamp", {}, 200, "HEAD"),
                ("/firmware?device=lamp", {"Range": "bytes=9999-"}, 416, "GET"),
                ("/version?device=lamp&version=2.0.0", {}, 404, "GET"),
            ):
                assert (await connection.get(target, headers, method=method)).status == status
        assert (await server.get("/firmware?device=lamp")).body == OLD


async def test_digests_for_those_who_want_them(server: PortServer) -> None:
    """`Repr-Digest` is of the whole, for a part and for HEAD too, and only where it is wanted."""
    want = {"Want-Repr-Digest": "sha-256=10"}
    whole = base64.b64encode(hashlib.sha256(OLD).digest()).decode()
    for headers, method in ((want, "GET"), (want, "HEAD"), (want | {"Range": "bytes=1-2"}, "GET")):
        reply = await server.get("/firmware?device=lamp", headers, method=method)
        assert reply["Repr-Digest"] == f"sha-256=:{whole}:"
    text = await server.get("/version?device=lamp", want)
    of_text = base64.b64encode(hashlib.sha256(text.body).digest()).decode()
    assert text["Repr-Digest"] == f"sha-256=:{of_text}:"
    assert "Repr-Digest" not in (await server.get("/firmware?device=lamp")).names


async def link(server: PortServer, **headers: str) -> str:
    """The link in the JSON answer."""
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    async with await server.connect() as connection:
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await connection.send(
            b"GET /version?device=lamp HTTP/1.0\r\nAccept: application/json\r\n"
            + text.encode()
            + b"\r\n"
        )
        url: str = json.loads((await connection.reply()).body)["url"]
        return url.removesuffix(f"/firmware/sha256/{sums(OLD).sha256}")


async def test_links_go_where_the_client_came_from(server: PortServer) -> None:
    """The client's own Host, unless it cannot be one; what anybody may write is not believed."""
    local = f"http://127.0.0.1:{server.port}"
    assert await link(server, Host="ota.example:8080") == "http://ota.example:8080"
    assert await link(server, Host="[fd00::1]:80") == "http://[fd00::1]:80"
    assert await link(server) == local
    for hostile in ("a b", "a/../b", 'a"onload=', "x" * 300, "a@b", ""):
        assert await link(server, Host=hostile) == local
    assert (
        await link(server, Host="ota", X_Forwarded_Host="evil", X_Forwarded_Proto="https")
        == "http://ota"
    )


async def test_links_behind_a_trusted_proxy(tmp_path: Path) -> None:
    """`X-Forwarded-*` of a trusted proxy says where the client came from."""
    origins = Origins(trusted=(ip_network("127.0.0.0/8"),))
    async with PortServer(tmp_path, origins=origins) as server:
        server.publish(ONE)
        assert (
            await link(server, Host="in", X_Forwarded_Host="ota.example", X_Forwarded_Proto="https")
            == "https://ota.example"
        )
        assert await link(server, Host="in", X_Forwarded_Proto="gopher") == "http://in"


async def test_links_with_a_public_url(tmp_path: Path) -> None:
    """PUBLIC_URL is what links carry, whatever the client says."""
    async with PortServer(tmp_path, origins=Origins(public_url="https://ota.example/")) as server:
        server.publish(ONE)
        assert await link(server, Host="in") == "https://ota.example"


async def test_boards_behind_a_trusted_proxy_have_their_own_downloads(tmp_path: Path) -> None:
    """The address that begins a download is the client's, where a trusted proxy vouches for it."""
    origins = Origins(trusted=(ip_network("127.0.0.0/8"),))
    async with PortServer(tmp_path, origins=origins) as server:
        server.publish(ONE)
        await part(server, "0-9", X_Forwarded_For="198.51.100.1")
        server.publish(TWO)
        assert await part(server, "0-9", X_Forwarded_For="198.51.100.2") == NEW[:10]
        assert await part(server, "9-19", X_Forwarded_For="198.51.100.1") == OLD[9:20]
        assert (
            await part(server, "9-19", X_Forwarded_For="evil, 198.51.100.1, 127.0.0.9")
            == (OLD[9:20])
        )


async def test_a_file_that_is_missing_is_503_and_in_the_log(server: PortServer) -> None:
    """The disk's trouble is the operator's: the board may ask again, and hears no path."""
    server.store.path(ONE.firmware.firmware_digest).unlink()
    with capture_logs() as logs:
        reply = await server.get("/firmware?device=lamp")
    assert reply.status == 503
    assert reply.body == b"Not now, ask again"
    assert [line["event"] for line in logs] == ["request_failed"]
    assert sums(OLD).sha256 in logs[0]["reason"]


async def test_a_bug_is_500_with_a_traceback_in_the_log(tmp_path: Path) -> None:
    """A protocol that breaks ends one request, not the connection."""

    async def broken(request: DeviceRequest) -> Answer:
        raise AssertionError(request.target)

    server = PortServer(tmp_path)
    server.devices = Devices(server.parts, routes=(*ROUTES, Route("/broken", broken)))
    async with server, await server.connect() as connection:
        with capture_logs() as logs:
            reply = await connection.get("/broken")
        assert reply.status == 500
        assert reply.body == b"This is a bug of OtaFlux; its log says more"
        assert [line["event"] for line in logs] == ["request_crashed"]
        assert logs[0]["exc_info"] is not None
        assert (await connection.get("/health")).status == 200


async def test_content_is_served_for_a_while_after_it_was_replaced(server: PortServer) -> None:
    """A link that was told works for 15 minutes more; it never means other bytes."""
    target = f"/firmware/sha256/{sums(OLD).sha256}"
    server.publish(TWO)
    server.clock.value += 15 * 60 - 1
    assert (await server.get(target)).body == OLD
    assert (await server.get(target, {"Range": "bytes=5-9"})).body == OLD[5:10]
    server.clock.value += 1
    assert (await server.get(target)).status == 404


HOSTILE = [
    b"GET /version?device=lamp\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version?device=\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version?device=zqzq%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version?device=zqzq%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"zqzq" * 1000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://zqzq/version?device=zqzq! HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: zqzq\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: zqzq\r\n\r\n",
    b"GET /../../etc/zqzq HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //zqzq/version HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version?device=lamp&version=zqzq HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version?device=lamp&channel=zqzq HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version?device=lamp&unit=zq+zq HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /version#zqzq HTTP/1.1\r\nHost: a\r\n\r\n",
    b"ZQZQ /version?device=lamp HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT zqzq:443 HTTP/1.1\r\nHost: zqzq:443\r\n\r\n",
    b"GET /version?device=zqzq-nothing HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: a\r\nExpect: zqzq\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: a\r\nUpgrade: zqzq\r\nConnection: upgrade\r\n\r\n",
]


@pytest.mark.parametrize("request_", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_requests_get_a_short_answer_that_repeats_nothing(
    server: PortServer, request_: bytes
) -> None:
    """4xx, short, without the sender's words and without a word of the software."""
    answer = await server.raw(request_)
    status = int(answer.split()[1])
    assert 400 <= status < 500
    assert len(answer) < 400
    assert b"zqzq" not in answer.lower()
    assert b"Server:" not in answer
    assert b"Traceback" not in answer
    assert (await server.get("/version?device=lamp")).body == TEXT_ONE


async def test_pipelined_requests_are_answered_in_order(server: PortServer) -> None:
    """Several requests in one go get their answers in one order, whoever answers them."""
    async with await server.connect() as connection:
        await connection.send(
            b"GET /version?device=lamp HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /firmware?device=lamp HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n"
            b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /version?device=lamp HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        replies = [await connection.reply() for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 206, 404, 200]
    assert replies[1].body == OLD[:10]
    assert replies[3].body == TEXT_ONE


async def test_an_answer_in_pieces_asked_in_pieces(server: PortServer) -> None:
    """A request that comes byte by byte is a request."""
    async with await server.connect() as connection:
        for byte in b"GET /version?device=lamp HTTP/1.1\r\nHost: a\r\n\r\n":
            await connection.send(bytes([byte]))
        assert (await connection.reply()).body == TEXT_ONE


async def test_a_client_that_hangs_up_is_no_error(server: PortServer) -> None:
    """Boards hang up after reading a version: nobody else notices, nothing is logged."""
    with capture_logs() as logs:
        for _ in range(5):
            connection: Connection = await server.connect()
            await connection.send(b"GET /firmware?device=lamp HTTP/1.1\r\nHost: a\r\n\r\n")
            await connection.reader.readexactly(20)
            connection.writer.transport.abort()
        assert (await server.get("/firmware?device=lamp")).body == OLD
    assert [line for line in logs if line["event"] != "download_dropped"] == []


async def test_answers_that_name_late_sums_wait_for_them_and_others_do_not(tmp_path: Path) -> None:
    """A large release is told before its MD5 and SHA-1 are there; no field is ever missing."""
    content, as_json = b"an image", {"Accept": "application/json"}
    async with DeviceServer(tmp_path) as server:
        whole = release("lamp", "1.0.0", content)
        sums = replace(whole.firmware.sums, md5=None, sha1=None)
        server.publish(replace(whole, firmware=replace(whole.firmware, sums=sums)))
        path = server.store.path(whole.firmware.firmware_digest)
        path.unlink()
        assert (await server.get("/version?device=lamp", as_json)).status == 503
        assert (await server.get("/version?device=lamp")).status == 200
        path.write_bytes(content)
        said = json.loads((await server.get("/version?device=lamp", as_json)).body)
        md5 = hashlib.md5(content).hexdigest()
        assert (said["md5"], said["sha1"]) == (md5, hashlib.sha1(content).hexdigest())
        manifest = json.loads((await server.get("/esphome/lamp/manifest.json")).body)
        assert {build["ota"]["md5"] for build in manifest["builds"]} == {md5}
        arduino = {"x-ESP32-mode": "sketch", "x-ESP32-version": "0.9.0"}
        assert (await server.get("/firmware?device=lamp", arduino))["x-MD5"] == md5
        same = await server.get("/firmware?device=lamp", {"x-ESP32-sketch-md5": md5})
        assert same.status == 304
