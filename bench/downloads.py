"""Downloads of 1 MiB against nginx's `sendfile` on one core, and 1,500 slow ones at once."""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from parts.programs import LOAD_CORE, Running, need, nginx, otaflux, wrk
from parts.table import Most, Ratio, alternate

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
CONNECTIONS = 16
SLOW = 1500  # downloads at once
PACE = 100_000  # bytes a second, each
READ = 10_000  # bytes at a time
WATCHED = 10.0  # seconds

DOWNLOAD = b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\nConnection: close\r\n\r\n"
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"


def main() -> None:
    """Print the table."""
    need("nginx", "wrk", "taskset")
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "root"
        root.mkdir()
        firmware = root / "firmware"
        firmware.write_bytes(os.urandom(1 << 20))
        with nginx(root, folder) as theirs, otaflux(firmware, folder / "ours") as ours:
            print(fast(ours, theirs).line(), flush=True)
        big = folder / "big"
        big.write_bytes(os.urandom(1 << 20) * 16)
        with otaflux(big, folder / "slow") as ours:
            for line in slow(ours):
                print(line.line(), flush=True)


def fast(ours: Running, theirs: Running) -> Ratio:
    """Both in turns."""

    def run(server: Running) -> float:
        url = f"http://127.0.0.1:{server.port}/firmware?device=lamp"
        return wrk(url, seconds=SECONDS, connections=CONNECTIONS)

    mine, its = alternate(RUNS, lambda: run(ours), lambda: run(theirs))
    return Ratio("1 MiB downloads", mine, its, 0.90)


def slow(server: Running) -> list[Most]:
    """Memory above idle, and how long polls take meanwhile."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    poller = socket.create_connection(("127.0.0.1", server.port))
    poll(poller)
    idle = server.rss
    readers = [begin(server) for _ in range(SLOW)]
    waiting = selectors.DefaultSelector()
    waiting.register(poller, selectors.EVENT_READ)
    began, turn, most, took = time.monotonic(), 0, 0, []
    while time.monotonic() - began < WATCHED:
        turn += 1
        for reader in readers:
            reader.recv(READ)
        took.append(poll(poller))
        most = max(most, server.rss)
        due = began + turn * READ / PACE
        while time.monotonic() < due:
            took.append(poll(poller))
            time.sleep(0.005)
    pace = turn * READ / (time.monotonic() - began)
    for reader in readers:
        reader.close()
    poller.close()
    took.sort()
    what = f"{SLOW} downloads at {pace / 1000:.0f} kB/s each"
    return [
        Most(f"{what}: memory over idle", (most - idle) / (1 << 20), 120, "MiB"),
        Most(f"{what}: polls, median", statistics.median(took) * 1000, 250, "ms"),
        Most(f"{what}: polls, 99th percentile", took[int(len(took) * 0.99)] * 1000, 250, "ms"),
    ]


def begin(server: Running) -> socket.socket:
    """A download whose head has come."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(DOWNLOAD)
    if not sock.recv(100).startswith(b"HTTP/1.1 200"):
        sys.exit("A download was refused")
    return sock


def poll(sock: socket.socket) -> float:
    """Seconds that a poll takes."""
    began = time.monotonic()
    sock.sendall(POLL)
    if not sock.recv(1000).startswith(b"HTTP/1.1 200"):
        sys.exit("A poll was refused")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
