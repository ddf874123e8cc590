"""What one client can hold of the server's memory, measured from outside of the process."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

SUPPORT = Path(__file__).parent.parent.parent / "support"
ALLOWED = 64 << 10  # bytes a connection
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"
GET = b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"

PROGRAM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {support!r})
from device_port import PortServer
from device_server import release
from otaflux.web.observer import Nobody
from otaflux.web.port.tls import Certificate

async def main():
    folder = Path({folder!r})
    chain = folder / "chain.pem"
    certificate = Certificate(chain, folder / "key.pem") if chain.exists() else None
    async with PortServer(folder, certificate=certificate, observer=Nobody(),
                          max_connections=5000, places=5000) as server:
        server.publish(release("lamp", "1.0.0", bytes(16 << 20)))
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@dataclass
class Running:
    """A server in a process of its own."""

    port: int
    pid: int

    def memory(self) -> int:
        """Bytes that are its own in RAM."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        private = (line.split() for line in lines if line.startswith("Private_"))
        return sum(int(fields[1]) << 10 for fields in private)

    def settled(self) -> int:
        """The same, once the server has done what was sent to it."""
        last = self.memory()
        for _ in range(50):
            time.sleep(0.1)
            now = self.memory()
            if now == last:
                return now
            last = now
        return last

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """A blocking socket to it."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.port))
        return sock


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """A server while it runs; with TLS where there is a `chain.pem` in the folder."""
    program = PROGRAM.format(support=str(SUPPORT), folder=str(folder))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Running(int(process.stdout.readline()), process.pid)
        process.communicate("")
    assert process.returncode == 0


@pytest.mark.parametrize("asks", ["nothing", "a handshake", "a poll"])
def test_a_connection_over_tls_is_small(tmp_path: Path, asks: str) -> None:
    """Silent ones, those that only shook hands, and those that polled: 64 KiB each at most."""
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    chain = b"".join(part.bytes() for part in pair.cert_chain_pems)
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(pair.private_key_pem.bytes())
    client = ssl.create_default_context()
    authority.configure_trust(client)
    with running(tmp_path) as server, ExitStack() as stack:

        def connect() -> None:
            sock = stack.enter_context(server.connect())
            if asks != "nothing":
                sock = stack.enter_context(client.wrap_socket(sock, server_hostname="127.0.0.1"))
            if asks == "a poll":
                sock.sendall(POLL)
                assert b"1.0.0" in sock.recv(4096)

        for _ in range(50):
            connect()
        before = server.settled()
        for _ in range(200):
            connect()
        assert (server.settled() - before) / 200 < ALLOWED


FIELDS = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8140) for number in range(60))
BODY = b"POST /version HTTP/1.1\r\nHost: x\r\n"
SENT_BEHIND = {
    "long heads": POLL.replace(b"\r\n\r\n", b"\r\n" + FIELDS + b"\r\n") * 32,
    "polls": POLL * 20_000,
    "a head that never ends": b"GET / HTTP/1.1\r\n" + FIELDS * 3,
    "a body": BODY + b"Content-Length: 9999999\r\n\r\n" + bytes(1 << 20),
    "chunks": BODY + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000,
}
UNREAD = {name: GET + sent for name, sent in SENT_BEHIND.items()} | {
    "its own body": GET.replace(
        b"\r\n\r\n", b"\r\nContent-Length: 9999999\r\n\r\n" + bytes(1 << 20)
    ),
    "its own chunks": GET.replace(
        b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000
    ),
}


@pytest.mark.parametrize("sent", UNREAD.values(), ids=UNREAD.keys())
def test_what_is_sent_behind_an_unread_answer_is_bounded(tmp_path: Path, sent: bytes) -> None:
    """It holds 64 KiB a connection at most, and what it held is given back when that closes."""
    many = 40
    with running(tmp_path) as server:
        attack(server, many, GET)  # what the allocator keeps for the next time is there once
        idle = server.settled()
        held = attack(server, many, sent)
        assert held / many < ALLOWED
        assert server.settled() - idle < many * ALLOWED / 2
        with server.connect() as sock:
            sock.sendall(POLL)
            assert b"1.0.0" in sock.recv(4096)


def attack(server: Running, many: int, sent: bytes) -> int:
    """Bytes that so many connections hold which poll, and then send that and read nothing."""
    with ExitStack() as stack:
        before = server.settled()
        for _ in range(many):
            sock = stack.enter_context(server.connect(receive_buffer=4096))
            sock.sendall(POLL)
            assert sock.recv(4096)
            sock.setblocking(False)
            push(sock, sent)
        return server.settled() - before


def push(sock: socket.socket, data: bytes) -> None:
    """Send as much as the other side takes within some moments."""
    view, patience = memoryview(data), 5
    while view and patience:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            patience -= 1
            time.sleep(0.01)
        except ConnectionError:
            return
