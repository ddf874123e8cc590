"""Downloads of 1 MiB against nginx's `sendfile` on one core, and 1,500 slow ones at once."""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Iterator

from parts.effort import Effort
from parts.programs import Running, need, wrk
from parts.server import otaflux
from parts.table import Goal, Row, below, compared, least

from rows.polls import CLOSE, both

CONNECTIONS = 16
TARGET = "/firmware?device=lamp"
SLOW = 1500  # downloads at once
PACE = 100_000  # bytes a second, each
READ = 10_000  # bytes at a time
WATCHED = 10.0  # seconds

DOWNLOAD = b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\nConnection: close\r\n\r\n"
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"


def rows(effort: Effort) -> Iterator[Row]:
    """Rates on one core, then memory and polls."""
    with both(effort) as servers:
        yield fast(effort, "downloads of 1 MiB, kept alive", servers, goal=least(1.0))
        yield fast(effort, "downloads of 1 MiB, a connection each", servers, headers=CLOSE)
    with both(effort, tls=True) as servers:
        yield fast(effort, "downloads of 1 MiB over TLS", servers, tls=True)
    big = effort.folder / "big"
    big.write_bytes(os.urandom(1 << 20) * 16)
    need("taskset")
    with otaflux(effort.folder / "slow", firmware=big) as ours:
        yield from slow(ours, effort.few(SLOW, 300))


def fast(
    effort: Effort,
    what: str,
    servers: tuple[Running, Running],
    *,
    headers: tuple[str, ...] = (),
    tls: bool = False,
    goal: Goal | None = None,
) -> Row:
    """Both in turns."""
    targets = dict(zip(servers, (TARGET, "/firmware"), strict=True))

    def run(server: Running) -> float:
        url = server.url(targets[server], tls=tls)
        return wrk(url, seconds=effort.seconds, connections=CONNECTIONS, headers=headers)

    ours, theirs = servers
    rounds = effort.in_turns(lambda: run(ours), lambda: run(theirs))
    return compared(what, "/s", rounds, "nginx", goal)


def slow(server: Running, count: int) -> Iterator[Row]:
    """Memory above idle, and how long polls take meanwhile."""
    poller = socket.create_connection(("127.0.0.1", server.port))
    poll(poller)
    idle = server.memory
    readers = [begin(server) for _ in range(count)]
    began, turn, most, took = time.monotonic(), 0, 0.0, []
    while time.monotonic() - began < WATCHED:
        turn += 1
        for reader in readers:
            reader.recv(READ)
        took.append(poll(poller))
        most = max(most, server.memory)
        due = began + turn * READ / PACE
        while time.monotonic() < due:
            took.append(poll(poller))
            time.sleep(0.005)
    pace = turn * READ / (time.monotonic() - began)
    for sock in (*readers, poller):
        sock.close()
    took.sort()
    what = f"{count:,} downloads at {pace / 1000:.0f} kB/s"
    late = took[int(len(took) * 0.99)]
    yield Row(f"{what}: memory over idle", "MiB", [most - idle], goal=below(120))
    yield Row(f"{what}: half of the polls", "ms", [statistics.median(took) * 1000])
    yield Row(f"{what}: 99 of 100 polls", "ms", [late * 1000], goal=below(250))


def begin(server: Running) -> socket.socket:
    """A download whose head has come."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(DOWNLOAD)
    if not sock.recv(100).startswith(b"HTTP/1.1 200"):
        raise RuntimeError("a download was refused")
    return sock


def poll(sock: socket.socket) -> float:
    """Seconds that a poll takes."""
    began = time.monotonic()
    sock.sendall(POLL)
    if not sock.recv(1000).startswith(b"HTTP/1.1 200"):
        raise RuntimeError("a poll was refused")
    return time.monotonic() - began
