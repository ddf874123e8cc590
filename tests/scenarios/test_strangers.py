"""Strangers who hold sockets, bodies and heads, against the real process with few open files."""

from __future__ import annotations

import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme
from live_log import logged
from programs import PATIENCE, PROGRAM, Server, environment, otaflux

SECRET = "s"
HOOK = b'{"repository": "lamp", "tag": "1.1.0"}'
HELLO = bytes.fromhex("16030100c8010000c40303")  # the beginning of a TLS handshake


class FewFiles(Server):
    """A server that may open 1,024 files."""

    def start(self) -> None:
        """Start, and wait until it says so."""
        self.launch()
        deadline = time.monotonic() + PATIENCE
        while not any(line["event"] == "server_started" for line in self.log()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def launch(self) -> None:
        """Start, and wait for nothing."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", 'ulimit -n 1024 && exec "$0"', PROGRAM],
                cwd=self.folder,
                env=environment(self.folder, self.env),
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """The strangers are here, and may have more files than the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def few_files(folder: Path, **settings: str) -> Iterator[FewFiles]:
    """Such a server while it runs."""
    running = FewFiles(folder, {"WEBHOOK_SECRET": SECRET, **settings})
    running.start()
    try:
        yield running
    finally:
        assert running.process is not None
        running.process.kill()
        running.process.wait()


def strange(running: Server, stack: ExitStack, sent: bytes, many: int = 1500) -> None:
    """So many sockets that send that and no more."""
    host, _, port = running.env["LISTEN_ADDR"].rpartition(":")
    for _ in range(many):
        sock = stack.enter_context(socket.create_connection((host, int(port)), 10))
        sock.sendall(sent)


def pushed(running: Server, tag: str) -> None:
    """A push into the embedded folder."""
    (running.folder / "build.bin").write_bytes(tag.encode() * 1000)
    done = otaflux("push", f"lamp:{tag}", "build.bin", cwd=running.folder, **running.env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sent", [b"", b"GET /version?dev"], ids=["nothing", "half a head"])
def test_silent_sockets_take_no_files_from_the_fleet(tmp_path: Path, sent: bytes) -> None:
    """With 1,500 and 1,024 files polls, hooks, pulls and downloads go on; the log is JSON."""
    with few_files(tmp_path) as running, ExitStack() as stack:
        pushed(running, "1.0.0")
        running.told("lamp", "1.0.0")
        strange(running, stack, sent)
        began = time.monotonic()
        assert running.get("/version?device=lamp").status == 200
        assert time.monotonic() - began < 5
        assert len(list(Path(f"/proc/{running.process.pid}/fd").iterdir())) < 1000  # type: ignore[union-attr]
        pushed(running, "1.1.0")
        assert running.hook(HOOK, secret=SECRET).status == 202
        running.told("lamp", "1.1.0")
        assert running.get("/firmware?device=lamp").body == b"1.1.0" * 1000
        assert len(running.log()) < 40


@pytest.mark.parametrize("sent", [b"", HELLO], ids=["nothing", "half a handshake"])
def test_stalled_handshakes_are_counted(tmp_path: Path, sent: bytes) -> None:
    """Over TLS too; none of what strangers do fills the log, and each line of it is JSON."""
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    (tmp_path / "chain").write_bytes(b"".join(part.bytes() for part in pair.cert_chain_pems))
    (tmp_path / "key").write_bytes(pair.private_key_pem.bytes())
    client = ssl.create_default_context()
    authority.configure_trust(client)
    files = {"TLS_CERT_PATH": str(tmp_path / "chain"), "TLS_KEY_PATH": str(tmp_path / "key")}
    with few_files(tmp_path, **files) as running, ExitStack() as stack:
        strange(running, stack, sent)
        host, _, port = running.env["LISTEN_ADDR"].rpartition(":")
        for _ in range(5):
            with (
                socket.create_connection((host, int(port)), 10) as plain,
                client.wrap_socket(plain, server_hostname=host) as sock,
            ):
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert len(running.log()) < 40


@pytest.mark.parametrize("path", ["/", "/hooks", "/hooks/harbor", "/version/hook"])
def test_a_hook_at_a_wrong_address_is_told_the_right_one(tmp_path: Path, path: str) -> None:
    """Whatever it is but an address of devices, answer and log name those of hooks."""
    with few_files(tmp_path) as running:
        for _ in range(3):
            answer = running.post(path, HOOK, secret=SECRET)
            assert answer.status == 404
            assert answer.body.startswith(b"Hooks are taken at /hooks/registry")
        assert running.post("/version?device=lamp", HOOK, secret=SECRET).status == 405
        logged(running, "hook_rejected")  # a thread writes it
        assert running.stop() == 0
        lines = [line for line in running.log() if line["event"] == "hook_rejected"]
        assert [(line["status"], line["sender"]) for line in lines] == [(404, "127.0.0.1")]
