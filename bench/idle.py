"""The memory that 10,000 connections take which polled once and are kept alive."""

from __future__ import annotations

import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

from parts.programs import Running, need, otaflux
from parts.table import Most

COUNT = 10_000
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\nUser-Agent: bench\r\n\r\n"


def main() -> None:
    """Print the figure."""
    need("taskset")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + 200:
        sys.exit(f"The hard limit on open files is {hard}; this needs {COUNT + 200}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        firmware = Path(name, "firmware")
        firmware.write_bytes(os.urandom(1 << 20))
        with otaflux(firmware, Path(name, "ours")) as ours:
            connect(ours).close()
            time.sleep(0.5)
            idle = ours.rss
            there = [connect(ours) for _ in range(COUNT)]
            time.sleep(2)
            found = (ours.rss - idle) / (1 << 20)
            print(Most(f"{COUNT} idle connections that polled", found, 40, "MiB").line())
            for sock in there:
                sock.close()


def connect(server: Running) -> socket.socket:
    """A connection that has polled."""
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall(POLL)
    if not sock.recv(1000).startswith(b"HTTP/1.1 200"):
        sys.exit("A poll was refused")
    return sock


if __name__ == "__main__":
    sys.exit(main())
