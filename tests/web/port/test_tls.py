"""TLS in this process: the same answers, downloads by plain writes, certificates that rotate."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from device_port import PortServer
from device_server import EPOCH, Connection, release
from structlog.testing import capture_logs
from waiting import until

from otaflux.errors import Undecided
from otaflux.model.names import Device
from otaflux.web.devices.admission import Admission, unit_of
from otaflux.web.devices.sending import STALLED
from otaflux.web.port.expiry import DAILY
from otaflux.web.port.tls import Certificate

BIG = os.urandom(1 << 20) * 12


class Pair:
    """A certificate and its key in files, made anew on demand."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.chain = folder / "cert.pem"
        self.key = folder / "key.pem"
        self.renew()

    def renew(
        self, *, chain: bool = True, key: bool = True, ends: float = EPOCH + 400 * DAILY
    ) -> None:
        """Replace the files; only one of them makes a pair that does not fit."""
        fresh = self.authority.issue_cert(
            "127.0.0.1", "localhost", not_after=datetime.fromtimestamp(ends, UTC)
        )
        if chain:
            self.chain.write_bytes(b"".join(part.bytes() for part in fresh.cert_chain_pems))
        if key:
            self.key.write_bytes(fresh.private_key_pem.bytes())

    def client(self) -> ssl.SSLContext:
        """A client that trusts the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair in files."""
    return Pair(tmp_path)


def served(tmp_path: Path, pair: Pair, **more: object) -> PortServer:
    """A server over TLS."""
    return PortServer(tmp_path, certificate=Certificate(pair.chain, pair.key), **more)  # type: ignore[arg-type]


async def connect(server: PortServer, pair: Pair, name: str = "127.0.0.1") -> Connection:
    """A connection that has checked the certificate."""
    return Connection(
        *await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=pair.client(), server_hostname=name
        )
    )


async def serial(server: PortServer, pair: Pair, name: str = "127.0.0.1") -> str:
    """The number of the certificate that a new connection is shown."""
    async with await connect(server, pair, name) as connection:
        shown = connection.writer.get_extra_info("peercert")
        return str(shown["serialNumber"])


async def test_polls_and_downloads_work_as_without_it(tmp_path: Path, pair: Pair) -> None:
    """The shortcut polls, ranges and whole downloads, on one connection."""
    async with served(tmp_path, pair) as server, await connect(server, pair) as connection:
        server.publish(release("lamp", "1.0.0", BIG))
        assert server.port_.url.startswith("https://127.0.0.1:")
        for _ in range(3):
            reply = await connection.get("/version?device=lamp")
            assert reply.body.startswith(b"1.0.0\n")
        server.cache.report()
        assert server.observer.answered == 3
        assert (await connection.get("/firmware?device=lamp")).body == BIG
        part = await connection.get("/firmware?device=lamp", {"Range": "bytes=99-1000099"})
        assert part.body == BIG[99:1000100]
        said = (await connection.get("/version?device=lamp", {"Accept": "application/json"})).body
        assert b'"url":"https://ota/firmware/sha256/' in said


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_new_pair_counts_from_the_next_connection_on(
    tmp_path: Path, pair: Pair, name: str
) -> None:
    """Clients with and without SNI see the new certificate, and open connections go on."""
    async with served(tmp_path, pair) as server, await connect(server, pair) as old:
        before = await serial(server, pair, name)
        assert await serial(server, pair, name) == before
        pair.renew()
        after = await serial(server, pair, name)
        assert after != before
        assert (await old.get("/health")).status == 200


async def test_a_pair_that_does_not_fit_leaves_the_old_one(tmp_path: Path, pair: Pair) -> None:
    """While key and certificate are not of one pair the old one stands; it is said once."""
    async with served(tmp_path, pair) as server:
        before = await serial(server, pair)
        with capture_logs() as logs:
            pair.renew(key=False)
            assert await serial(server, pair) == before
            pair.key.write_text("no key")
            assert await serial(server, pair) == before
            pair.key.unlink()
            assert await serial(server, pair) == before
            pair.renew()
            assert await serial(server, pair) != before
        assert [line["event"] for line in logs].count("secret_kept") == 1


@pytest.mark.parametrize(
    ("days", "reason"),
    [(9, "the certificate ends soon"), (-2, "the certificate has ended"), (20, "")],
)
async def test_a_certificate_that_ends_is_warned_of_daily(
    tmp_path: Path, pair: Pair, days: int, reason: str
) -> None:
    """At start, and each day from 14 days before its end on, until it is renewed."""
    pair.renew(ends=EPOCH + days * DAILY + 5000)
    with capture_logs() as logs:
        async with served(tmp_path, pair) as server:
            for _ in range(10):
                server.clock.value += DAILY / 10
                server.port_.look()
            said = [(line["event"], line["days"], line["reason"]) for line in logs]
            told = [("certificate_ends", days - day, reason) for day in range(2)]
            assert said == (told if reason else [])
            pair.renew()
            server.clock.value += DAILY
            server.port_.look()
            assert len([line for line in logs if line["event"] == "certificate_ends"]) == len(said)


NO_WRITING = """
import sys
from pathlib import Path
from otaflux.web.port.expiry import DAILY
from otaflux.web.port.tls import Certificate

def watch(event, arguments):
    if event.startswith("tempfile."):
        raise OSError("there is no room for temporary files")
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & 3:
        raise OSError(f"{arguments[0]} cannot be written")

sys.addaudithook(watch)
Certificate(Path(sys.argv[1]), Path(sys.argv[2])).context()
"""


def test_a_certificate_needs_no_folder_that_can_be_written(pair: Pair) -> None:
    """With a root that is read only TLS works, and the key is on no disk a second time."""
    subprocess.run([sys.executable, "-c", NO_WRITING, pair.chain, pair.key], check=True)


def test_a_pair_that_cannot_be_read_stops_the_start(tmp_path: Path, pair: Pair) -> None:
    """Without any good pair there is nothing to serve with."""
    pair.key.write_text("no key")
    with pytest.raises(Undecided, match="TLS_CERT_PATH"):
        Certificate(pair.chain, pair.key).context()


PLAIN_HTTP = "plain HTTP was sent to the TLS port"
NO_TLS = "what came is no TLS"


@pytest.mark.parametrize(
    ("sent", "reasons"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", {PLAIN_HTTP}),
        # OpenSSL 3.5 knows that method, 3.0 does not.
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {PLAIN_HTTP, NO_TLS}),
        (b"\x00" * 300, {NO_TLS}),
    ],
)
async def test_who_does_not_speak_tls_leaves_one_line(
    tmp_path: Path, pair: Pair, sent: bytes, reasons: set[str]
) -> None:
    """However often it comes, the connection ends and the log says once what it was."""
    async with served(tmp_path, pair) as server:
        with capture_logs() as logs:
            for _ in range(5):
                with suppress(ConnectionError):
                    assert b"HTTP" not in await server.raw(sent)
            async with await connect(server, pair) as connection:
                assert (await connection.get("/health")).status == 200
        (line,) = logs
        assert (line["event"], line["client"]) == ("tls_failed", "127.0.0.1")
        assert line["reason"] in reasons
        server.clock.value += 61
        with capture_logs() as logs, suppress(ConnectionError):
            await server.raw(sent)
        assert [line["more_since_last"] for line in logs] == [4]


async def test_a_client_that_trusts_another_root_leaves_one_line(
    tmp_path: Path, pair: Pair
) -> None:
    """A refusal of our certificate is said in words, once."""
    stranger = ssl.create_default_context()
    async with served(tmp_path, pair) as server:

        def refuse() -> None:
            with server.plain_socket() as sock, pytest.raises(ssl.SSLError):
                stranger.wrap_socket(sock, server_hostname="127.0.0.1")

        with capture_logs() as logs:
            for _ in range(3):
                await asyncio.to_thread(refuse)
            await until(lambda: not server.port_.connections)
        assert [line["reason"] for line in logs] == ["the client does not trust the certificate"]


async def test_stalled_handshakes_make_way(tmp_path: Path, pair: Pair) -> None:
    """Silent sockets and halves of a handshake are counted, and polls over TLS go on."""
    async with served(tmp_path, pair, max_connections=10) as server:
        server.publish(release("lamp", "1.0.0"))
        stalled = [server.plain_socket() for _ in range(40)]
        for sock in stalled[::2]:
            with suppress(OSError):
                sock.send(bytes.fromhex("16030100c8010000c40303"))
        await asyncio.sleep(0.05)
        assert server.port_.connections <= 10
        with capture_logs() as logs:
            for _ in range(3):
                async with asyncio.timeout(5), await connect(server, pair) as connection:
                    assert (await connection.get("/version?device=lamp")).status == 200
        assert {line["event"] for line in logs} <= {"connections_crowded", "tls_failed"}
        for sock in stalled:
            sock.close()


async def test_a_handshake_that_has_just_begun_does_not_hold_the_end_up(
    tmp_path: Path, pair: Pair
) -> None:
    """A connection that was accepted in the very step in which the server is told to end."""
    async with asyncio.timeout(10):
        async with served(tmp_path, pair) as server:
            stalled = server.plain_socket()
            stalled.send(bytes.fromhex("16030100c8010000c40303"))
            while not server.port_.connections:  # noqa: ASYNC110 - the very step counts
                await asyncio.sleep(0)
    stalled.close()


async def test_one_too_many_is_told_so_over_tls(tmp_path: Path, pair: Pair) -> None:
    """Where all that are there asked, the next one's handshake ends in a 503."""
    async with (
        served(tmp_path, pair, max_connections=1) as server,
        await connect(server, pair) as there,
    ):
        assert (await there.get("/health")).status == 200
        async with asyncio.timeout(2), await connect(server, pair) as one_too_many:
            assert (await one_too_many.reply()).status == 503
            assert await one_too_many.is_closed()
        assert (await there.get("/health")).status == 200


async def test_a_stalled_reader_is_dropped_under_tls_too(tmp_path: Path, pair: Pair) -> None:
    """Five minutes without taking a byte, and the place is free again."""
    async with served(tmp_path, pair, places=1) as server:
        server.publish(release("lamp", "1.0.0", BIG))

        def ask() -> ssl.SSLSocket:
            sock = pair.client().wrap_socket(
                server.plain_socket(receive_buffer=4096), server_hostname="127.0.0.1"
            )
            sock.sendall(b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
            return sock

        def take(sock: ssl.SSLSocket, size: int) -> None:
            while size > 0:
                size -= len(sock.recv(65536)) or size

        with await asyncio.to_thread(ask) as sock:
            await until(lambda: server.sender.under_way == 1)
            await asyncio.sleep(0.05)
            server.port_.look()
            server.clock.value += STALLED - 1
            server.port_.look()
            await asyncio.to_thread(take, sock, 1000)
            await asyncio.sleep(0.05)
            server.port_.look()
            server.clock.value += STALLED - 1
            server.port_.look()
            assert server.sender.full
            server.clock.value += 1
            server.port_.look()
            await until(lambda: not server.sender.full)
            assert server.sender.broken_off == 1


async def test_a_client_that_hangs_up_under_tls_is_no_error(tmp_path: Path, pair: Pair) -> None:
    """The place is free again, and nothing is logged."""
    async with served(tmp_path, pair) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with capture_logs() as logs:
            for abrupt in (False, True):
                connection = await connect(server, pair)
                await connection.send(b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
                await connection.reader.readexactly(100)
                if abrupt:
                    connection.writer.transport.abort()
                else:
                    connection.writer.close()
                await until(lambda: server.sender.under_way == 0 and not server.port_.connections)
        assert server.sender.broken_off == 2
        assert logs == []


async def test_a_client_certificate_counts_as_a_token_and_names_the_unit(
    tmp_path: Path, pair: Pair
) -> None:
    """One of the root that is set; of another the handshake fails, and without one it is 401."""
    roots, others = trustme.CA(), trustme.CA()
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(roots.cert_pem.bytes())
    server = PortServer(
        tmp_path,
        certificate=Certificate(pair.chain, pair.key, client_ca),
        admission=Admission(by_certificate=True),
    )
    answered = {}
    async with server:
        server.publish(release("lamp", "1.0.0"))
        for name, authority in (("none", None), ("good", roots), ("other", others)):
            context = pair.client()
            if authority is not None:
                authority.issue_cert("x", common_name="pump-7").configure_cert(context)
            try:
                stream = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
                async with Connection(*stream) as connection:
                    for _ in range(2):
                        reply = await connection.get("/version?device=lamp&unit=made-up")
                        answered[name] = reply.status
                        if reply.status != 200:
                            break
            except (OSError, asyncio.IncompleteReadError):
                answered[name] = 0
    assert answered == {"none": 401, "good": 200, "other": 0}
    assert server.units.find(Device("lamp"), "pump-7") is not None
    assert server.units.find(Device("lamp"), "made-up") is None


@pytest.mark.parametrize(
    "target",
    [
        "/version?device=lamp&unit=made-up",
        "/firmware?device=lamp&unit=made-up",
        "/api/v0/releases/latest/url?software_type=lamp&device_serial=made-up",
        "/swupdate?device=lamp&unit=made-up",
        "/esp32fota/lamp.json?id=made-up",
        "/lamp/controller/v1/made-up",
    ],
)
@pytest.mark.parametrize("name", ["pump-7", "hall 2/pump", "pümpe"])
async def test_a_unit_with_a_certificate_has_no_other_name(
    tmp_path: Path, pair: Pair, target: str, name: str
) -> None:
    """Whatever it says of itself or is called, in each protocol, and with a token too."""
    roots = trustme.CA()
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(roots.cert_pem.bytes())
    context = pair.client()
    roots.issue_cert("x", common_name=name).configure_cert(context)
    async with PortServer(
        tmp_path,
        certificate=Certificate(pair.chain, pair.key, client_ca),
        admission=Admission(lambda: ["sesame"], by_certificate=True),
    ) as server:
        server.publish(release("lamp", "1.0.0"))
        stream = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        async with Connection(*stream) as connection:
            for _ in range(2):
                reply = await connection.get(target, {"Authorization": "Bearer sesame"})
                assert reply.status in {200, 302}
            assert ("/controller/" in target) is (b"deploymentBase" in reply.body)
    assert [each.unit for each in server.units.page(0, 9)[0]] == [
        unit_of({"subject": ((("commonName", name),),)})
    ]


async def test_a_client_certificate_that_does_not_count_is_said_to_be_the_clients(
    tmp_path: Path, pair: Pair
) -> None:
    """It is not the server's own that somebody has to look at."""
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(trustme.CA().cert_pem.bytes())
    context = pair.client()
    trustme.CA().issue_cert("x", common_name="pump-7").configure_cert(context)
    certificate = Certificate(pair.chain, pair.key, client_ca)
    async with PortServer(tmp_path, certificate=certificate) as server:
        with capture_logs() as logs:
            with suppress(OSError, asyncio.IncompleteReadError):
                stream = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
                async with Connection(*stream) as connection:
                    await connection.get("/health")
            await until(lambda: logs)
    assert "the client's certificate" in logs[0]["reason"]
    assert "TLS_CLIENT_CA_PATH" in logs[0]["hint"]


@pytest.mark.parametrize("target", ["/firmware?device=lamp", "/version?device=lamp"])
async def test_who_ends_its_side_with_its_request_gets_the_answer(
    tmp_path: Path, pair: Pair, target: str
) -> None:
    """Request and close_notify in one packet; the connection ends after the answer."""
    async with PortServer(tmp_path, certificate=Certificate(pair.chain, pair.key)) as server:
        server.publish(release("lamp", "1.0.0", b"firmware" * 50_000))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = pair.client().wrap_bio(came, goes, server_hostname="127.0.0.1")
        answer = b""
        asked = ended = False
        while not ended:
            try:
                if not asked:
                    tls.do_handshake()
                    tls.write(f"GET {target} HTTP/1.1\r\nHost: ota\r\n\r\n".encode())
                    asked = True
                    tls.unwrap()  # writes its half, and wants to read the other
                while True:
                    answer += tls.read(1 << 16)
            except ssl.SSLZeroReturnError:  # the server ended its half
                ended = True
            except ssl.SSLWantReadError:
                writer.write(goes.read())
                data = await asyncio.wait_for(reader.read(1 << 16), 5)
                came.write(data)
                ended = not data
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), answer[:100]
    assert body.startswith((b"firmware", b"1.0.0\n"))
    assert f"Content-Length: {len(body)}".encode() in head
