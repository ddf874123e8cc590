"""1,000 hooks a second on one core, and polls meanwhile: how long each is waited for."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from parts.programs import LOAD_CORE, need, scripted
from parts.table import Most

RATE = 1000  # hooks a second
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
DEVICES = 10
POLLS = 500  # polls a second meanwhile
CONNECTIONS = 8
PAYLOAD = Path(__file__).parent.parent / "tests" / "payloads" / "harbor-push_artifact.json"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def main() -> None:
    """Print the table."""
    need("taskset")
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        firmware = folder / "firmware.bin"
        firmware.write_bytes(os.urandom(1 << 20))
        with (
            (folder / "log").open("wb") as log,
            (folder / "looks").open("wb") as looks,
            scripted(
                firmware, folder / "ours", script="hook_port.py", stdout=log, stderr=looks
            ) as ours,
        ):
            fast, hooks, polls = asyncio.run(measure(ours.port))
        accepted = (folder / "log").read_text().count('"hook_accepted"')
        looked = int((folder / "looks").read_text().split("looks ")[1])
    per_second = looked / (accepted / RATE)
    assert accepted == len(hooks) + len(fast), "each hook that was answered is in the log"
    for line in (
        Most("a hook, one after the other: median", median(fast), 5, "ms"),
        Most(f"a hook at {RATE}/s: median", median(hooks), 5, "ms"),
        Most(f"a hook at {RATE}/s: 99th of 100", late(hooks), 20, "ms"),
        Most(f"a poll at {RATE} hooks/s: 99th of 100", late(polls), 20, "ms"),
        Most(f"looks for {RATE} hooks of {DEVICES} devices", per_second, 100, ""),
    ):
        print(line.line(), flush=True)


async def measure(port: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds that hooks take alone, hooks at the rate, and polls meanwhile."""
    pushes = [_push(f"lamp-{number}") for number in range(DEVICES)]
    poll = b"GET /version?device=lamp HTTP/1.1\r\nHost: x\r\n\r\n"
    fast: list[float] = []
    hooks: list[float] = []
    polls: list[float] = []
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    for number in range(RATE // 2):
        await _ask(connections[0], pushes[number % DEVICES], b"202", fast)
    await asyncio.gather(
        _at(RATE, connections, lambda c, n: _ask(c, pushes[n % DEVICES], b"202", hooks)),
        _at(
            POLLS,
            [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)],
            lambda c, _: _ask(c, poll, b"200", polls),
        ),
    )
    return fast, hooks, polls


async def _at(
    rate: int, connections: list[Connection], ask: Callable[[Connection, int], Awaitable[None]]
) -> None:
    """So many a second, each at its time whether or not the one before was answered."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)

    async def one(number: int) -> None:
        connection = await free.get()
        await ask(connection, number)
        free.put_nowait(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * SECONDS)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.create_task(one(number))


async def _ask(connection: Connection, request: bytes, status: bytes, took: list[float]) -> None:
    reader, writer = connection
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    took.append(time.perf_counter() - began)
    if head[9:12] != status:
        sys.exit(f"answered {head[:40]!r}")


def _push(device: str) -> bytes:
    body = PAYLOAD.read_bytes().replace(b"sensor-esp32", device.encode())
    head = (
        "POST /hooks/registry HTTP/1.1\r\nHost: x\r\nAuthorization: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def median(seconds: list[float]) -> float:
    """In milliseconds."""
    return statistics.median(seconds) * 1000


def late(seconds: list[float]) -> float:
    """What one in a hundred takes, in milliseconds."""
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000


if __name__ == "__main__":
    sys.exit(main())
