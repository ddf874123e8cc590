"""10,000 boards that wait with `&wait=`: their memory, and how long a change takes to reach all.

On connections of their own, behind a trusted proxy, and for JSON with a token.
"""

from __future__ import annotations

import os
import re
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from parts.programs import LOAD_CORE, Running, need, otaflux
from parts.table import Most

COUNT = 10_000
TOKEN = "sesame"


@dataclass(frozen=True)
class Way:
    """How boards ask: the settings of the server, and what their requests carry."""

    name: str
    settings: dict[str, str]
    headers: str = ""

    def poll(self, query: str = "", more: str = "") -> bytes:
        """A poll for a version."""
        head = f"GET /version?device=lamp{query} HTTP/1.1\r\nHost: ota\r\n{self.headers}{more}\r\n"
        return head.encode()

    def wait(self, number: int, etag: str) -> bytes:
        """A board's poll that waits for something else."""
        forwarded = f"X-Forwarded-For: 10.0.{number >> 8}.{number & 255}\r\n"
        more = f"If-None-Match: {etag}\r\n" + (
            forwarded if "TRUSTED_PROXIES" in self.settings else ""
        )
        return self.poll(f"&wait=60&unit=board-{number:05}", more)


WAYS = (
    Way("on their own", {}),
    Way("behind a proxy", {"TRUSTED_PROXIES": "127.0.0.0/8"}),
    Way(
        "JSON with a token",
        {"DEVICE_TOKENS": TOKEN},
        f"Authorization: Bearer {TOKEN}\r\nAccept: application/json\r\n",
    ),
)


def main() -> None:
    """Print the figures."""
    need("taskset")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + 200:
        sys.exit(f"The hard limit on open files is {hard}; this needs {COUNT + 200}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    for way in WAYS:
        with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
            measure(way, Path(name))


def measure(way: Way, folder: Path) -> None:
    """Print the figures of one way to ask."""
    firmware = folder / "firmware"
    firmware.write_bytes(os.urandom(1 << 20))
    with otaflux(firmware, folder / "ours", **way.settings) as ours:
        with connect(ours, way.poll()) as sock:
            etag = re.search(r"ETag: (\S+)", sock.recv(2000).decode())[1]  # type: ignore[index]
        time.sleep(0.5)
        idle = ours.rss
        there = [connect(ours, way.wait(number, etag)) for number in range(COUNT)]
        time.sleep(2)
        held = (ours.rss - idle) / (1 << 20)
        print(Most(f"{way.name}: {COUNT} that wait", held, 40, "MiB").line(), flush=True)
        firmware.write_bytes(os.urandom(1 << 20))
        push(firmware, folder / "ours")
        print(Most(f"{way.name}: from the first told to the last", told(there), 500, "ms").line())
        for sock in there:
            sock.close()


def connect(server: Running, request: bytes) -> socket.socket:
    """A connection with a request on it."""
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall(request)
    return sock


def push(firmware: Path, folder: Path) -> None:
    """Publish the next release."""
    command = [sys.executable, "-m", "otaflux", "push", "lamp:1.5.0", str(firmware)]
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder)}
    subprocess.run(command, check=True, capture_output=True, env=environment)


def told(there: list[socket.socket]) -> float:
    """Milliseconds between the first answer and the last, each of which is of the new release."""
    poll = select.epoll()
    by_number = {sock.fileno(): sock for sock in there}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    first = 0.0
    while by_number:
        ready = poll.poll(30)
        if not ready:
            sys.exit(f"{len(by_number)} were not told")
        first = first or time.perf_counter()
        for number, _ in ready:
            answer = by_number.pop(number).recv(2000)
            poll.unregister(number)
            if b"1.5.0" not in answer:
                sys.exit(f"answered {answer[:40]!r}")
    return (time.perf_counter() - first) * 1000


if __name__ == "__main__":
    sys.exit(main())
