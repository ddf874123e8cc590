"""Programs under comparison, each alone on one core, and the load on another.

Debian's nginx with one worker, OtaFlux, and `wrk`. Everything is pinned with `taskset`, listens on
127.0.0.1, and is ended by its process id.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SERVER_CORE = "0"
LOAD_CORE = "1"

_SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_BAD = re.compile(r"Socket errors:.*|Non-2xx or 3xx responses: \d+")

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 60000;
events {{ worker_connections 30000; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75;
    keepalive_requests 1000000000;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {root};
        location / {{ try_files $uri =404; }}
    }}
}}
"""


@dataclass(frozen=True)
class Running:
    """A server: where it answers, and its process."""

    port: int
    pid: int

    @property
    def rss(self) -> int:
        """The memory that it has now, in bytes (proc(5), VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


def need(*names: str) -> None:
    """End with a word about what is missing; `make programs` installs it."""
    missing = [name for name in names if program(name) is None]
    if missing:
        sys.exit(f"Not installed: {', '.join(missing)}. `make programs` installs them.")


def program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[Running]:
    """Debian's nginx serving the files of `root`; `folder` is for its own."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, root=root, port=port))
    root.chmod(0o755)
    for parent in (root, *root.parents):
        if str(parent).startswith(str(folder)):
            parent.chmod(0o755)
    with launched([str(program("nginx")), "-c", str(config)], port) as running:
        yield running


@contextmanager
def otaflux(firmware: Path, folder: Path, **more: str) -> Iterator[Running]:
    """The whole program, with `firmware` pushed into its embedded folder as lamp:1.4.0.

    `more` are further settings.
    """
    port = free_port()
    settings = {
        "DATA_DIR": str(folder),
        "LISTEN_ADDR": f"127.0.0.1:{port}",
        "METRICS_LISTEN_ADDR": "127.0.0.1:0",
        "LOG_LEVEL": "warning",
        "SHUTDOWN_TIMEOUT": "1",
        **more,
    }
    run = [sys.executable, "-m", "otaflux"]
    environment = {"PATH": os.environ["PATH"], **settings}
    push = [*run, "push", "lamp:1.4.0", str(firmware)]
    subprocess.run(push, check=True, capture_output=True, env=environment)
    with launched([*run, "serve"], port, env=environment) as running:
        _wait_told(port, more.get("DEVICE_TOKENS", ""))
        yield running


@contextmanager
def scripted(
    firmware: Path, folder: Path, *, script: str, **streams: IO[bytes]
) -> Iterator[Running]:
    """A script beside this one that serves `firmware` as lamp; `streams` are Popen's."""
    port = free_port()
    path = Path(__file__).with_name(script)
    command = [sys.executable, str(path), str(port), str(firmware), str(folder)]
    with launched(command, port, **streams) as it:
        yield it


@contextmanager
def launched(command: list[str], port: int, **more: Any) -> Iterator[Running]:
    """A program on the core of servers, once it listens on `port`."""
    pinned = ["taskset", "-c", SERVER_CORE, *command]  # which executes the command
    process = subprocess.Popen(pinned, **more)
    try:
        _wait(port, process)
        yield Running(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_told(port: int, token: str) -> None:
    """Until the device's release is told."""
    request = f"GET /version?device=lamp&token={token} HTTP/1.1\r\nHost: ota\r\n\r\n"
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(request.encode())
            if sock.recv(100).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.05)
    sys.exit("OtaFlux does not tell of the firmware")


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            sys.exit("A server under comparison did not start")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("A server under comparison does not answer")


def wrk(
    url: str,
    *,
    seconds: float,
    connections: int,
    headers: tuple[str, ...] = (),
    script: Path | None = None,
) -> float:
    """Requests a second, from the other core; ends where answers are not 2xx or 3xx.

    A `script` in Lua makes the requests.
    """
    command = ["taskset", "-c", LOAD_CORE, str(program("wrk")), "-t1"]
    command += [f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    for header in headers:
        command += ["-H", header]
    if script is not None:
        command += ["-s", str(script)]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    bad = _BAD.search(done.stdout)
    if bad:
        sys.exit(f"{url}: {bad[0]}")
    return float(_RATE.search(done.stdout)[1])  # type: ignore[index]
