"""10,000 boards that wait with `&wait=`: their memory, and how long a change takes to reach all."""

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
from pathlib import Path

from parts.programs import LOAD_CORE, Running, need, otaflux
from parts.table import Most

COUNT = 10_000
PLAIN = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"


def main() -> None:
    """Print the figures."""
    need("taskset")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + 200:
        sys.exit(f"The hard limit on open files is {hard}; this needs {COUNT + 200}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        firmware = folder / "firmware"
        firmware.write_bytes(os.urandom(1 << 20))
        with otaflux(firmware, folder / "ours") as ours:
            with connect(ours, PLAIN) as sock:
                etag = re.search(rb"ETag: (\S+)", sock.recv(1000))[1]  # type: ignore[index]
            time.sleep(0.5)
            idle = ours.rss
            there = [connect(ours, wait(number, etag)) for number in range(COUNT)]
            time.sleep(2)
            held = (ours.rss - idle) / (1 << 20)
            print(Most(f"{COUNT} that wait", held, 40, "MiB").line(), flush=True)
            firmware.write_bytes(os.urandom(1 << 20))
            push(firmware, folder / "ours")
            print(Most("from the first that is told to the last", told(there), 500, "ms").line())
            for sock in there:
                sock.close()


def connect(server: Running, request: bytes) -> socket.socket:
    """A connection with a request on it."""
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall(request)
    return sock


def wait(number: int, etag: bytes) -> bytes:
    """A board's poll that waits for something else."""
    target = b"/version?device=lamp&wait=60&unit=board-%05d" % number
    return b"GET " + target + b" HTTP/1.1\r\nHost: ota\r\nIf-None-Match: " + etag + b"\r\n\r\n"


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
            answer = by_number.pop(number).recv(1000)
            poll.unregister(number)
            if b"\r\n\r\n1.5.0\n" not in answer:
                sys.exit(f"answered {answer[:40]!r}")
    return (time.perf_counter() - first) * 1000


if __name__ == "__main__":
    sys.exit(main())
