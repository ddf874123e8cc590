"""Programs under comparison, each alone on one core, and the load on another.

Debian's nginx with one worker, and `wrk`. Everything is pinned with `taskset`, listens on
127.0.0.1, and is ended by its process id.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_CORE = "0"
LOAD_CORE = "1"
BOTH_CORES = "0,1"

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
        listen 127.0.0.1:{tls_port} ssl backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {root};
        location / {{ try_files $uri =404; }}
        location /hooks {{ return 202; }}
    }}
}}
"""


class MissingProgram(Exception):
    """What is measured needs a program that is not here; the message says which."""


@dataclass(frozen=True, slots=True)
class Running:
    """A program: where it answers, and its process."""

    port: int
    pid: int
    tls_port: int = 0

    def url(self, target: str, *, tls: bool = False) -> str:
        """The address of something it serves."""
        scheme, port = ("https", self.tls_port) if tls else ("http", self.port)
        return f"{scheme}://127.0.0.1:{port}{target}"

    @property
    def memory(self) -> float:
        """MiB that it has now (proc(5), VmRSS)."""
        return status_of(self.pid, "VmRSS")


def status_of(pid: int, field: str) -> float:
    """MiB of a line of proc(5)'s status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) / 1024  # type: ignore[index]


def need(*names: str) -> None:
    """Raise `MissingProgram` where one of them is missing."""
    missing = [name for name in names if program(name) is None]
    if missing:
        raise MissingProgram(f"not installed: {', '.join(missing)}")


def program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))


def free_port() -> int:
    """A port that nobody has now, of those that no connection is given by itself."""
    while True:
        port = random.randint(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 that is its own authority, and its key: ECDSA P-256."""

    path: Path
    key: Path


def certificate(folder: Path) -> Certificate:
    """A new one, or the one that lies there."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    if not made.path.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(made.key), "-out", str(made.path)]
        subprocess.run(command, check=True, capture_output=True)
    return made


@contextmanager
def nginx(root: Path, folder: Path, *, cores: str = SERVER_CORE) -> Iterator[Running]:
    """Debian's nginx serving the files of `root`, plainly and with TLS; `folder` is for its own."""
    folder.mkdir(exist_ok=True)
    ports, pair = (free_port(), free_port()), certificate(folder)
    config = folder / "nginx.conf"
    own = {"folder": folder, "root": root, "certificate": pair.path, "key": pair.key}
    config.write_text(NGINX.format(port=ports[0], tls_port=ports[1], **own))
    with launched([str(program("nginx")), "-c", str(config)], ports[0], cores=cores) as process:
        yield Running(ports[0], process.pid, ports[1])


@contextmanager
def launched(
    command: Sequence[str], port: int, *, cores: str = SERVER_CORE, **more: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program on `cores`, once it listens on `port`; `more` are Popen's."""
    # taskset executes the command, so the process is the program's
    process = subprocess.Popen(["taskset", "-c", cores, *command], **more)
    try:
        _wait(port, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended at once: {process.args}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.002)
        else:
            return
    raise RuntimeError(f"it does not listen: {process.args}")


def wrk(
    url: str,
    *,
    seconds: float,
    connections: int,
    headers: Sequence[str] = (),
    script: Path | None = None,
) -> float:
    """Requests a second, from the other core; raises where answers are not 2xx or 3xx.

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
        raise RuntimeError(f"{url}: {bad[0]}")
    return float(_RATE.search(done.stdout)[1])  # type: ignore[index]


def trusting() -> ssl.SSLContext:
    """A client's context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def shell(line: str, folder: Path, *, cores: str = BOTH_CORES) -> None:
    """Run a line of shell; raises where any part of it fails."""
    command = ["taskset", "-c", cores, "bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr.strip()[-300:]}")


def python(*arguments: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *arguments]
