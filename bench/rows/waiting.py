"""10,000 boards that wait with `&wait=`: their memory, and how long a change takes to reach all.

On connections of their own, behind a trusted proxy, and for JSON with a token.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from parts.effort import Effort
from parts.server import Server, command, otaflux
from parts.table import Row, below

from rows.memory import many

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
    Way("", {}),
    Way(" behind a proxy", {"TRUSTED_PROXIES": "127.0.0.0/8"}),
    Way(
        " for JSON with a token",
        {"DEVICE_TOKENS": TOKEN},
        f"Authorization: Bearer {TOKEN}\r\nAccept: application/json\r\n",
    ),
)


def rows(effort: Effort) -> Iterator[Row]:
    """Two figures a way."""
    count = many(effort.few(COUNT, 2000))
    for way in WAYS:
        folder = effort.new_folder()
        firmware = folder / "firmware"
        firmware.write_bytes(os.urandom(1 << 20))
        with otaflux(folder, way.settings, firmware=firmware) as ours, ExitStack() as stack:
            with connect(ours, way.poll()) as sock:
                etag = re.search(r"ETag: (\S+)", sock.recv(2000).decode())[1]  # type: ignore[index]
            time.sleep(0.5)
            idle = ours.memory
            there = [stack.enter_context(connect(ours, way.wait(n, etag))) for n in range(count)]
            time.sleep(2)
            what = f"{count:,} polls that wait{way.name}"
            yield Row(f"{what}: memory over idle", "MiB", [ours.memory - idle], goal=below(40))
            firmware.write_bytes(os.urandom(1 << 20))
            command(folder, "push", "lamp:1.5.0", str(firmware))
            yield Row(f"{what}: first told to last", "ms", [told(there)], goal=below(500))


def connect(server: Server, request: bytes) -> socket.socket:
    """A connection with a request on it."""
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall(request)
    return sock


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
            raise RuntimeError(f"{len(by_number)} were not told")
        first = first or time.perf_counter()
        for number, _ in ready:
            answer = by_number.pop(number).recv(2000)
            poll.unregister(number)
            if b"1.5.0" not in answer:
                raise RuntimeError(f"answered {answer[:40]!r}")
    return (time.perf_counter() - first) * 1000
