"""The nginx of deploy/nginx in front of running servers, on a free port.

    with fronted(tmp_path, [one, other]) as front:
        front.get("/version?device=lamp")

The shipped file is used as it is, but for where it listens, what it is in front of, and where its
cache lies.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from installed import find_program
from programs import Answer, Server, free_port

SHIPPED = Path(__file__).resolve().parent.parent.parent / "deploy" / "nginx" / "otaflux.conf"
PATIENCE = 10.0  # seconds
_AROUND = """
worker_processes 1;
daemon off;
master_process off;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log;
events { worker_connections 1000; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    include FOLDER/otaflux.conf;
}
"""


class Front:
    """A running nginx."""

    def __init__(self, folder: Path, servers: Sequence[Server], *, tokens: bool = False) -> None:
        self._folder = folder
        self.port = free_port()
        folder.mkdir()
        text = SHIPPED.read_text()
        upstream = "".join(f"server {each.env['LISTEN_ADDR']};\n" for each in servers)
        for shipped, ours in (
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
            ("server 127.0.0.1:8080;", upstream),
            ("/var/cache/nginx/otaflux", str(folder / "cache")),
        ):
            assert text.count(shipped) == 1
            text = text.replace(shipped, ours)
        if tokens:  # the lines that are commented out
            text = "\n".join(_uncommented(text.splitlines()))
        (folder / "otaflux.conf").write_text(text)
        (folder / "nginx.conf").write_text(_AROUND.replace("FOLDER", str(folder)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        program = find_program("nginx")
        assert program is not None
        command = [program, "-e", self._folder / "error.log", "-c", self._folder / "nginx.conf"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, (self._folder / "error.log").read_text()
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def get(self, target: str, **headers: str) -> Answer:
        """One GET on a connection of its own; `_` in a header's name is `-`."""
        return self.ask("GET", target, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        sender: str = "127.0.0.1",
    ) -> Answer:
        """One request from an address of this machine."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE, source_address=(sender, 0)
        )
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


def _uncommented(lines: Sequence[str]) -> Iterator[str]:
    """The file with its variant for DEVICE_TOKENS."""
    for line in lines:
        bare = line.strip()
        wanted = ("auth_request", "proxy_ignore_headers", "location = /may-have", "internal")
        own = ("proxy_pass http://otaflux$", "proxy_method", "proxy_pass_request_body")
        if bare.removeprefix("# ").strip().startswith((*wanted, *own)) or bare in {
            '#     proxy_set_header Content-Length "";',
            "# }",
        }:
            yield bare.removeprefix("#")
        else:
            yield line


@contextmanager
def fronted(folder: Path, servers: Sequence[Server], *, tokens: bool = False) -> Iterator[Front]:
    """An nginx that runs, and is gone at the end."""
    front = Front(folder, servers, tokens=tokens)
    try:
        front.start()
        yield front
    finally:
        front.stop()
