"""OtaFlux as a whole program on a core of its own, and what can be asked of it from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from parts.programs import (
    SERVER_CORE,
    Running,
    certificate,
    free_port,
    launched,
    python,
    status_of,
)

SECRET = "bench"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Server(Running):
    """A running OtaFlux."""

    operators: int = 0
    log: Path = Path()
    listened: float = 0.0  # seconds from its start until it listened
    spent: float = 0.0  # seconds of processor time until then

    @property
    def peak(self) -> float:
        """MiB that it had at most, since its start or `forget_peak`."""
        return status_of(self.pid, "VmHWM")

    def forget_peak(self) -> None:
        """Let `peak` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def metric(self, name: str) -> float:
        """One metric, summed over its labels; 0 where it never moved."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operators}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def logged(self, event: str, times: int = 1, patience: float = 300.0) -> None:
        """Return once it logged that so many times."""
        deadline = time.monotonic() + patience
        while self.log.read_text(errors="replace").count(f'"event": "{event}"') < times:
            if time.monotonic() > deadline:
                raise RuntimeError(f"it never said {event}: {self.log.read_text()[-500:]}")
            time.sleep(0.02)


def settings(folder: Path, more: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """An environment with these settings, `DATA_DIR` in `folder`, and nobody's credentials."""
    own = {"HOME": str(folder), "DATA_DIR": str(folder / "data"), "LOG_FORMAT": "json"}
    return {"PATH": os.environ["PATH"], **own, **more}


@contextmanager
def otaflux(
    folder: Path,
    more: Mapping[str, str] = NOTHING,
    *,
    firmware: Path | None = None,
    cores: str = SERVER_CORE,
    tls: bool = False,
) -> Iterator[Server]:
    """A server that listens; with `firmware` it tells that as lamp:1.4.0 of its embedded folder."""
    folder.mkdir(exist_ok=True)
    port, operators = free_port(), free_port()
    environment = {
        "LISTEN_ADDR": f"127.0.0.1:{port}",
        "METRICS_LISTEN_ADDR": f"127.0.0.1:{operators}",
        "WEBHOOK_SECRET": SECRET,
        "SHUTDOWN_TIMEOUT": "1",
    }
    if tls:
        pair = certificate(folder)
        environment |= {"TLS_CERT_PATH": str(pair.path), "TLS_KEY_PATH": str(pair.key)}
    environment = settings(folder, environment | dict(more))
    if firmware is not None:
        command(folder, "push", "lamp:1.4.0", str(firmware))
    path = folder / "log"
    with path.open("wb") as log:
        began = time.monotonic()
        with launched(
            python("-m", "otaflux", "serve"), port, cores=cores,
            env=environment, stdout=log, stderr=log,
        ) as process:  # fmt: skip
            listened, spent = time.monotonic() - began, processor_time(process.pid)
            server = Server(port, process.pid, port, operators, path, listened, spent)
            if firmware is not None and not tls:
                answered(port, "lamp", token=more.get("DEVICE_TOKENS", ""))
            elif firmware is not None:
                server.logged("release_published")
            yield server


def command(folder: Path, *arguments: str, more: Mapping[str, str] = NOTHING) -> float:
    """Run a command of the program over `DATA_DIR` in `folder`; the seconds that it took."""
    began = time.perf_counter()
    subprocess.run(
        ["taskset", "-c", SERVER_CORE, *python("-m", "otaflux", *arguments)],
        check=True, capture_output=True, env=settings(folder, more),
    )  # fmt: skip
    return time.perf_counter() - began


def processor_time(pid: int) -> float:
    """Seconds of a core that a process has spent (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answered(port: int, device: str, *, token: str = "", patience: float = 120.0) -> None:
    """Return once the device's release is told."""
    query = f"device={device}" + (f"&token={token}" if token else "")
    poll = f"GET /version?{query} HTTP/1.1\r\nHost: ota\r\n\r\n".encode()
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(poll)
            if sock.recv(100).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.01)
    raise RuntimeError(f"OtaFlux does not tell of {device}")


def hook(device: str, tag: str, prefix: str = "bench") -> tuple[bytes, dict[str, str]]:
    """A push as the distribution registry tells it: body and headers."""
    target = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "repository": f"{prefix}/{device}",
        "tag": tag,
    }
    headers = {
        "Authorization": f"Bearer {SECRET}",
        "Content-Type": "application/vnd.docker.distribution.events.v1+json",
    }
    return json.dumps({"events": [{"action": "push", "target": target}]}).encode(), headers
