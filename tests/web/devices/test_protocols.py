"""Sessions of the clients that update from OtaFlux, byte for byte as they send, on the real port.

Scripted ones are written after the clients' sources, named in each; swupdate and curl are the real
programs. docs/devices.md has a table of them, and names these tests.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import Connection, release, sums
from swu import HARDWARE, Signer, trusting

from otaflux.model.names import STABLE, Device
from otaflux.web.devices.continuity import Downloader

IMAGE = b"\xe9" + random.Random(1).randbytes(70_000)  # begins as an ESP image does
NEXT = b"\xe9" + random.Random(2).randbytes(90_000)
ONE = release("lamp", "1.0.0", IMAGE, chip="ESP32-S3", summary="Dims", page="https://lamp.example")
TWO = release("lamp", "1.1.0", NEXT, chip="ESP32-S3")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PortServer]:
    """A server that tells 1.0.0 of a lamp."""
    async with PortServer(tmp_path) as running:
        running.publish(ONE)
        yield running


# esp32-home-sensor (Rust, src/ota.rs): a request written by hand on a raw socket. It sends an empty
# line first, reads into a fixed buffer without a look at status or length, and flashes what follows
# the head of /firmware until the server closes.


@pytest.mark.parametrize("buffer", [256, 1024])
async def test_home_sensor(server: PortServer, buffer: int) -> None:
    """Head and body of /version come in one read of its buffer; then it downloads to the end."""
    async with await server.connect() as sensor:
        await sensor.send(
            b"\r\nGET /version?device=lamp HTTP/1.1\r\nHost: ota.example\r\n"
            b"Connection: keep-alive\r\n\r\n"
        )
        answer = await sensor.reader.read(buffer)
        head, body = answer.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        version, crc, size = body.split(b"\n")
        assert (version, int(crc), int(size)) == (b"1.0.0", sums(IMAGE).crc32, len(IMAGE))
        server.publish(TWO)
        await sensor.send(
            b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota.example\r\nConnection: close\r\n\r\n"
        )
        head = await sensor.reader.readuntil(b"\r\n\r\n")
        assert len(head) < buffer
        flashed = await sensor.reader.read()
        assert (len(flashed), flashed) == (int(size), IMAGE)


async def test_home_sensor_of_an_unknown_device(server: PortServer) -> None:
    """What is no answer of three lines is an error that it takes calmly, also in its buffer."""
    async with await server.connect() as sensor:
        await sensor.send(
            b"\r\nGET /version?device=nobody HTTP/1.1\r\nHost: ota.example\r\n"
            b"Connection: keep-alive\r\n\r\n"
        )
        answer = await sensor.reader.read(256)
        assert b"\r\n\r\n" in answer
        assert b"\n" not in answer.split(b"\r\n\r\n")[1]


# Arduino HTTPUpdate (ESP32 and ESP8266 cores): HTTP/1.0, its state in headers, 200 with a length
# above 0 or 304; it checks x-MD5.


def arduino(
    target: str,
    *,
    chip: str = "ESP32",
    mode: str = "sketch",
    version: str | None = None,
    md5: str = "00" * 16,
) -> bytes:
    """What `HTTPUpdate::handleUpdate` sends."""
    said = f"x-{chip}-version: {version}\r\n" if version else ""
    return (
        f"GET {target} HTTP/1.0\r\nHost: ota.example\r\nUser-Agent: {chip}-http-Update\r\n"
        "Connection: close\r\nAccept-Encoding: identity;q=1,chunked;q=0.1,*;q=0\r\n"
        f"Cache-Control: no-cache\r\nx-{chip}-STA-MAC: 24:0A:C4:00:00:01\r\n"
        f"x-{chip}-AP-MAC: 24:0A:C4:00:00:02\r\nx-{chip}-free-space: 1310720\r\n"
        f"x-{chip}-sketch-size: 719968\r\nx-{chip}-sketch-md5: {md5}\r\n"
        f"x-{chip}-chip-size: 4194304\r\nx-{chip}-sdk-version: v5.1.4\r\n"
        f"x-{chip}-mode: {mode}\r\n{said}\r\n"
    ).encode()


async def exchange(server: PortServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection that the server closes: status, headers, body."""
    async with await server.connect() as board:
        await board.send(request)
        answer = await board.reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert status.startswith("HTTP/1.0 ")
    return int(status.split()[1]), dict(line.split(": ") for line in lines), body


@pytest.mark.parametrize("chip", ["ESP32", "ESP8266"])
@pytest.mark.parametrize("version", [None, "0.9.0", "unknown"])
async def test_arduino_updates(server: PortServer, chip: str, version: str | None) -> None:
    """A board that runs something else gets the image with its length and MD5."""
    status, headers, body = await exchange(
        server, arduino("/firmware?device=lamp", chip=chip, version=version)
    )
    assert status == 200
    assert headers["Content-Length"] == str(len(IMAGE))
    assert headers["x-MD5"] == hashlib.md5(body).hexdigest()
    assert "Transfer-Encoding" not in headers
    assert body == IMAGE


@pytest.mark.parametrize("chip", ["ESP32", "ESP8266"])
@pytest.mark.parametrize(
    ("version", "md5"),
    [
        ("1.0.0", "00" * 16),
        ("v1.0.0", "00" * 16),
        ("1.0.0(tasmota32)", "00" * 16),
        ("0.9.0", sums(IMAGE).md5),
        (None, sums(IMAGE).md5.upper()),
    ],
)
async def test_arduino_has_nothing_to_do(
    server: PortServer, chip: str, version: str | None, md5: str
) -> None:
    """304 for a board that runs the version, or the image."""
    status, headers, body = await exchange(
        server, arduino("/firmware?device=lamp", chip=chip, version=version, md5=md5)
    )
    assert (status, body) == (304, b"")
    assert "Content-Length" not in headers


async def test_arduino_asks_for_the_version(server: PortServer) -> None:
    """ESP8266's `getAvailableVersion` reads `x-version` of a 200, and needs no image for it."""
    for version in ("1.0.0", "0.9.0"):
        status, headers, body = await exchange(
            server,
            arduino("/firmware?device=lamp", chip="ESP8266", mode="version", version=version),
        )
        assert status == 200
        assert headers["x-version"] == "1.0.0"
        assert headers["x-MD5"] == sums(IMAGE).md5
        assert len(body) < 100


@pytest.fixture
async def unfalling(tmp_path: Path) -> AsyncIterator[PortServer]:
    """The same, with `DOWNGRADES=never`."""
    async with PortServer(tmp_path, follows_down=False) as running:
        running.publish(ONE)
        bound = running.catalog.get(ONE.device)
        assert bound is not None
        running.catalog.load(replace(bound, floors={STABLE: ONE.tag}))
        yield running


async def test_a_board_that_runs_more_has_nothing_to_do(unfalling: PortServer) -> None:
    """304 for Arduino, 404 for who says `current=`; others are told."""
    server = unfalling
    for chip, mode in (("ESP32", "sketch"), ("ESP8266", "version")):
        request = arduino("/firmware?device=lamp", chip=chip, mode=mode, version="1.1.0")
        assert (await exchange(server, request))[0] == 304
        request = arduino("/firmware?device=lamp", chip=chip, mode=mode, version="0.9.0")
        assert (await exchange(server, request))[0] == 200
    assert (await exchange(server, arduino("/firmware?device=lamp", mode="spiffs")))[0] == 404
    async with await server.connect() as board:
        for target in ("/version?device=lamp", "/firmware?device=lamp"):
            for _ in range(2):  # from memory, too
                assert (await board.get(f"{target}&current=1.0.0")).status == 200
            assert (await server.get(f"{target}&current=1.1.0-rc.1")).status == 404
            assert (await server.get(f"{target}&version=1.0.0&current=1.1.0")).status == 404
            assert (await board.get(target)).status == 200


async def test_esphome_that_runs_more_keeps_it(unfalling: PortServer) -> None:
    """Any answer but 200 costs old ones memory; the link is to nothing that is lower."""
    manifest = "/esphome/lamp/manifest.json?current="
    reply = await unfalling.get(manifest + "1.1.0-rc.1")
    assert reply.status == 200
    told = json.loads(reply.body)
    assert (told["name"], told["version"]) == ("lamp", "1.1.0-rc.1")
    (build,) = told["builds"]
    assert build["chipFamily"] == "ESP32-S3"
    assert (await unfalling.get(build["ota"]["path"])).status == 404
    assert set(build["ota"]) == {"path", "md5"}
    for other in ("1.0.0", "0.9.0", "dirty"):
        assert json.loads((await unfalling.get(manifest + other)).body)["version"] == "1.0.0"
    assert (await unfalling.get(f"{manifest}1.1.0&version=0.1.0")).status == 404


async def test_what_is_held_together_lowers_nobody_either(unfalling: PortServer) -> None:
    """What the connection was told before, or a download that was begun, is no exception."""
    server = unfalling
    async with await server.connect() as board:
        assert (await board.get("/version?device=lamp")).status == 200
        assert (await board.get("/firmware?device=lamp&current=2.0.0")).status == 404
    begins = {"Range": "bytes=0-99"}
    assert (await server.get("/firmware?device=lamp", begins)).status == 206
    later = {"Range": "bytes=100-199"}
    assert (await server.get("/firmware?device=lamp", later)).status == 206
    assert (await server.get("/firmware?device=lamp&current=2.0.0", later)).status == 404


@pytest.mark.parametrize("mode", ["spiffs", "littlefs", "other"])
async def test_arduino_gets_no_sketch_for_a_file_system(server: PortServer, mode: str) -> None:
    """There is no image of a file system here: 404, which the board reports as such."""
    status, _, body = await exchange(server, arduino("/firmware?device=lamp", mode=mode))
    assert status == 404
    assert len(body) < 100


async def test_boards_behind_one_address_are_told_apart_by_their_mac(server: PortServer) -> None:
    """A board's MAC makes its download its own."""
    await exchange(server, arduino("/firmware?device=lamp"))
    named, others = (
        Downloader(Device("lamp"), "stable", who) for who in ("24:0A:C4:00:00:01", "127.0.0.1")
    )
    assert server.memory.release_of(named) is ONE
    assert server.memory.release_of(others) is None


# Tasmota (support_tasmota.ino): the same client with a path address; when an upgrade fails it tries
# other file names.


async def test_tasmota(server: PortServer) -> None:
    """`OtaUrl http://ota.example/firmware/lamp/firmware.bin`, then `Upgrade 1`."""
    status, headers, body = await exchange(
        server, arduino("/firmware/lamp/firmware.bin", version="0.9.0(tasmota32)")
    )
    assert (status, body) == (200, IMAGE)
    assert headers["x-MD5"] == sums(IMAGE).md5
    status, _, _ = await exchange(
        server, arduino("/firmware/lamp/firmware.bin", version="1.0.0(tasmota32)")
    )
    assert status == 304


@pytest.mark.parametrize(
    "file", ["firmware-minimal.bin", "firmware.bin.gz", "firmware-safeboot.bin"]
)
async def test_tasmota_tries_other_files(server: PortServer, file: str) -> None:
    """Other names are 404: the full image under a small one's name would not fit."""
    status, _, _ = await exchange(
        server, arduino(f"/firmware/lamp/{file}", chip="ESP8266", version="0.9.0(tasmota)")
    )
    assert status == 404


# ESP-IDF esp_https_ota with partial_http_download: HEAD, then a range on a new connection each, and
# no look at whether it gets 206.


async def esp_idf(server: PortServer, line: str, *, method: str = "GET") -> Connection:
    """The connection after a request as esp_http_client sends it."""
    board = await server.connect()
    await board.send(
        f"{method} /firmware?device=lamp HTTP/1.1\r\nUser-Agent: ESP32 HTTP Client/1.0\r\n"
        f"Host: ota.example\r\n{line}Content-Length: 0\r\n\r\n".encode()
    )
    return board


async def test_esp_idf_in_ranges(server: PortServer) -> None:
    """HEAD and ranges of 16 KiB give one image, though another is published in between."""
    async with await esp_idf(server, "", method="HEAD") as board:
        head = await board.reply(head=True)
    assert head.status == 200
    size = int(head["Content-Length"])
    assert size == len(IMAGE)
    flashed = b""
    while len(flashed) < size:
        last = len(flashed) + 16383
        line = f"Range: bytes={len(flashed)}-{last if last < size - 1 else ''}\r\n"
        async with await esp_idf(server, line) as board:
            reply = await board.reply()
        assert reply.status == 206
        first, end = len(flashed), min(last, size - 1)
        assert reply["Content-Range"] == f"bytes {first}-{end}/{size}"
        flashed += reply.body
        server.publish(TWO)
    assert flashed == IMAGE
    assert max(len(f"{name}: {value}") for name, value in head.headers) < 512


async def test_esp_idf_looks_at_the_version_in_the_image_and_hangs_up(server: PortServer) -> None:
    """It reads a kilobyte and aborts when the version is its own: expected, and no error."""
    for _ in range(3):
        async with await esp_idf(server, "") as board:
            await board.reader.readuntil(b"\r\n\r\n")
            assert await board.reader.readexactly(1024) == IMAGE[:1024]
            board.writer.transport.abort()
    assert (await server.get("/health")).status == 200


async def test_esp_idf_resumes_after_a_restart_of_the_board(server: PortServer) -> None:
    """`ota_resumption` asks for the rest without a validator; after a change it is refused."""
    async with await esp_idf(server, "Range: bytes=50000-\r\n") as board:
        assert (await board.reply()).body == IMAGE[50000:]
    server.publish(TWO)
    async with await esp_idf(server, "Range: bytes=50000-\r\n") as board:
        assert (await board.reply()).status == 409


# ESPHome (http_request update and ota): a manifest, then the image with its MD5.


async def test_esphome(server: PortServer) -> None:
    """The manifest parses as ESPHome parses it, and its path leads to that image for ever."""
    headers = {"User-Agent": "ESPHome/2025.11.0 (https://esphome.io)"}
    reply = await server.get("/esphome/lamp/manifest.json", headers)
    assert reply.status == 200
    assert reply["Content-Type"] == "application/json"
    manifest = json.loads(reply.body)
    assert (manifest["name"], manifest["version"]) == ("lamp", "1.0.0")
    (build,) = (b for b in manifest["builds"] if b["chipFamily"] == "ESP32-S3")
    assert build["ota"]["summary"] == "Dims"
    assert build["ota"]["release_url"] == "https://lamp.example"
    path = build["ota"]["path"]
    assert "http" not in path  # or ESPHome would take it as absolute
    assert path.startswith("/")
    server.publish(TWO)
    image = (await server.get(path, headers)).body
    assert hashlib.md5(image).hexdigest() == build["ota"]["md5"]
    assert image == IMAGE


async def test_esphome_always_gets_a_manifest(server: PortServer) -> None:
    """With nothing newer too, the answer is 200 with a version."""
    reply = await server.get("/esphome/lamp/manifest.json")
    again = await server.get("/esphome/lamp/manifest.json", {"If-None-Match": reply["ETag"]})
    assert again.status == 304
    server.publish(TWO)
    assert (await server.get("/esphome/lamp/manifest.json")).status == 200


@pytest.mark.parametrize("board", ["RP2040", "RP2350", "BK7231N", "RTL8710B", "LN882H", "NRF52"])
async def test_esphome_on_other_chips(server: PortServer, board: str) -> None:
    """A board finds its build also where the image does not say its chip; all are one image.

    An empty list is an error there. What each build repeats is short, for boards hold it whole.
    """
    long = release("fan", "1.0.0", b"no ESP image", summary="s" * 500, page="https://" + "p" * 490)
    server.publish(long)
    reply = await server.get("/esphome/fan/manifest.json")
    builds = json.loads(reply.body)["builds"]
    (build,) = (b for b in builds if b["chipFamily"] == board)
    assert (await server.get(build["ota"]["path"])).body == b"no ESP image"
    assert build["ota"]["summary"] == "s" * 100
    assert not any(b["chipFamily"].startswith("ESP32") for b in builds)
    assert len(reply.body) < 6000
    server.publish(release("fan", "1.0.1", b"named", chip=board))
    reply = await server.get("/esphome/fan/manifest.json")
    assert [b["chipFamily"] for b in json.loads(reply.body)["builds"]] == [board]


# RAUC's polling (src/polling.c, src/nbd.c): the first four bytes with the ETag of last time, then
# many ranges of a bundle.


async def test_rauc(server: PortServer) -> None:
    """206 with the whole size, 304 before the range where nothing is new, then ranges."""
    bundle = b"sqsh" + os.urandom(300_000)
    server.publish(release("gateway", "2.0.0", bundle))
    poll = {
        "User-Agent": "rauc/1.15",
        "Range": "bytes=0-3",
        "RAUC-Serial": "0042",
        "RAUC-Variant": "rev-b",
    }
    first = await server.get("/firmware?device=gateway", poll)
    assert (first.status, first.body) == (206, b"sqsh")
    assert first["Content-Range"] == f"bytes 0-3/{len(bundle)}"
    same = await server.get("/firmware?device=gateway", poll | {"If-None-Match": first["ETag"]})
    assert (same.status, same.body) == (304, b"")
    streamed = b""
    async with await server.connect() as connection:
        while len(streamed) < len(bundle):
            last = min(len(streamed) + 131_071, len(bundle) - 1)
            reply = await connection.get(
                "/firmware?device=gateway", {"Range": f"bytes={len(streamed)}-{last}"}
            )
            assert reply.status == 206
            streamed += reply.body
    assert streamed == bundle
    server.publish(release("gateway", "2.1.0", b"sqsh" + os.urandom(10)))
    newer = await server.get(
        "/firmware?device=gateway",
        poll | {"RAUC-Serial": "0043", "If-None-Match": first["ETag"]},
    )
    assert newer.status == 206


# Mender's resumer (http_resumer.cpp): the rest must end where the whole does.


async def test_mender_resumes(server: PortServer) -> None:
    """206 whose range ends with the file, of an unchanged size."""
    reply = await server.get("/firmware?device=lamp", {"Range": "bytes=1000-"})
    assert reply.status == 206
    assert reply["Content-Range"] == f"bytes 1000-{len(IMAGE) - 1}/{len(IMAGE)}"
    assert reply.body == IMAGE[1000:]


class Cutter:
    """A relay that cuts the first connection on which more than `after` bytes come back."""

    def __init__(self, port: int, after: int, then: Callable[[], None]) -> None:
        self._port = port
        self._after = after
        self._then = then
        self.requests: list[str] = []
        self.cuts = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, as `asyncio.start_server` hands it over."""
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, back))
                both.create_task(self._down(there, writer))
        finally:
            back.transport.abort()
            writer.close()

    async def _up(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.requests.append(data.decode("latin-1"))
            back.write(data)
        back.transport.abort()

    async def _down(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await there.read(8192):
            passed += len(data)
            writer.write(data)
            await writer.drain()
            if passed > self._after and not self.cuts:
                self.cuts += 1
                self._then()
                break
        writer.close()


async def run(*command: str, folder: Path) -> tuple[int, str]:
    """A real program in an environment of its own: its exit code, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode()


@pytest.mark.real("swupdate")
async def test_swupdate_downloads_and_resumes(server: PortServer, tmp_path: Path) -> None:
    """Debian's `swupdate -d`: cut off and resumed while another update is published, it installs.

    It resumes with `Range` and without `If-Range`.
    """
    payload = os.urandom(400_000)
    signer = Signer()
    installed = tmp_path / "installed.bin"
    update = release("gateway", "2.0.0", signer.update(payload, str(installed)))
    newer = release("gateway", "2.1.0", signer.update(os.urandom(300_000), str(installed)))
    server.publish(update)
    cutter = Cutter(server.port, 150_000, lambda: server.publish(newer))
    relay = await asyncio.start_server(cutter, "127.0.0.1", 0)
    port = relay.sockets[0].getsockname()[1]
    (tmp_path / "signer.pem").write_bytes(signer.certificate)
    with tempfile.TemporaryDirectory(prefix="swu") as short:  # its sockets' paths must be short
        options = f"-u http://127.0.0.1:{port}/firmware?device=gateway -r 5 -t 10"
        code, said = await run(
            *("swupdate", "-H", HARDWARE, "-v", "-M", "-m"),
            *(*trusting(tmp_path / "signer.pem"), "-d", options),
            folder=Path(short),
        )
    relay.close()
    assert code == 0, said
    assert "SWUPDATE successful" in said
    assert installed.read_bytes() == payload
    assert cutter.cuts == 1
    resumed = [request for request in cutter.requests if "Range: bytes=" in request]
    assert resumed
    assert not any("If-Range" in request for request in cutter.requests)


@pytest.mark.real("curl")
async def test_curl_conditions_and_ranges(server: PortServer, tmp_path: Path) -> None:
    """A real HTTP client: ETags saved and compared, ranges, a resume, HEAD."""
    url = f"http://127.0.0.1:{server.port}/firmware?device=lamp"
    got = tmp_path / "got.bin"
    quiet = ("curl", "-sS", "--fail", "-w", "%{http_code}", "-o", str(got))

    async def curl(*options: str) -> str:
        code, said = await run(*quiet, *options, url, folder=tmp_path)
        assert code == 0, said
        return said

    assert await curl("--etag-save", "etag") == "200"
    assert got.read_bytes() == IMAGE
    assert (tmp_path / "etag").read_text().strip() == f'"{sums(IMAGE).sha256[:32]}"'
    got.unlink()
    assert await curl("--etag-compare", "etag") == "304"
    assert await curl("-r", "100-199") == "206"
    assert got.read_bytes() == IMAGE[100:200]
    assert await curl("-r", "-50") == "206"
    assert got.read_bytes() == IMAGE[-50:]
    assert await curl("-r", "0-9,20-29") == "200"
    assert got.read_bytes() == IMAGE
    got.write_bytes(IMAGE[:30_000])
    assert await curl("-C", "-") == "206"
    assert got.read_bytes() == IMAGE
    code, said = await run("curl", "-sS", "-r", "99999999-", "-i", url, folder=tmp_path)
    assert code == 0
    assert said.startswith("HTTP/1.1 416 ")
    assert f"Content-Range: bytes */{len(IMAGE)}" in said
    code, said = await run("curl", "-sSI", url, folder=tmp_path)
    assert (code, f"Content-Length: {len(IMAGE)}\r\n" in said) == (0, True)
    etag = f'If-Match: "{"0" * 32}"'
    code, said = await run("curl", "-sS", "-i", "-H", etag, url, folder=tmp_path)
    assert said.startswith("HTTP/1.1 412 ")


@pytest.mark.real("curl")
async def test_curl_goes_on_as_documented(server: PortServer, tmp_path: Path) -> None:
    """The documented line makes no file of two releases, whatever lies there from yesterday."""
    page = (Path(__file__).parents[3] / "docs/devices/curl.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith("curl") and "-C -" in line)
    base = f"http://127.0.0.1:{server.port}"

    async def go_on(version: str) -> bytes:
        typed = line.split("  #")[0].replace("http://ota.example:8080", base)
        typed = typed.replace("1.4.0", version)
        code, said = await run("sh", "-c", f"{typed} -sS", folder=tmp_path)
        assert code == 0, said
        return (tmp_path / f"lamp-{version}.bin").read_bytes()

    assert await go_on("1.0.0") == IMAGE
    assert await go_on("1.0.0") == IMAGE  # it is whole
    server.publish(TWO, kept=(ONE,))
    server.clock.value += 24 * 3600
    assert await go_on("1.1.0") == NEXT
    (tmp_path / "lamp-1.1.0.bin").write_bytes(NEXT[:30_000])
    assert await go_on("1.1.0") == NEXT
    assert await go_on("1.0.0") == IMAGE


@pytest.mark.real("curl")
async def test_curl_asks_as_people_do(server: PortServer, tmp_path: Path) -> None:
    """What the documentation shows works as it is typed, a version with a plus sign too."""
    server.publish(release("lamp", "1.2.0+b7", b"plus"))
    base = f"http://127.0.0.1:{server.port}"
    for query in ("device=lamp&version=1.2.0+b7", "device=lamp&version=1.2.0%2Bb7"):
        code, said = await run("curl", "-sS", f"{base}/version?{query}", folder=tmp_path)
        assert (code, said.split("\n")[0]) == (0, "1.2.0+b7")
    code, said = await run(
        *("curl", "-sS", "-G", f"{base}/version", "-H", "Accept: application/json"),
        *("--data-urlencode", "device=lamp", "--data-urlencode", "version=1.2.0+b7"),
        folder=tmp_path,
    )
    assert json.loads(said)["version"] == "1.2.0+b7"
    code, said = await run(
        *("curl", "-sS", "--http1.0", "-H", "Connection: keep-alive"),
        *(f"{base}/health", f"{base}/health"),
        folder=tmp_path,
    )
    assert said == "okok"
