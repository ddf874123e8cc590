"""Hooks on one core: how many a second, and how long 1,000 a second and polls beside them wait.

A fake registry over a real socket is there to be asked, on the core of the load.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web
from fake_registry import FakeRegistry, Fault, Reply
from parts.effort import Effort
from parts.programs import Running, need, nginx, wrk
from parts.server import SECRET, Server, answered, otaflux
from parts.table import Row, above, below, compared

RATE = 1000  # hooks a second
DEVICES = 10
POLLS = 500  # polls a second meanwhile
CONNECTIONS = 8
PREFIX = "firmware"
PAYLOAD = Path(__file__).parents[2] / "tests" / "payloads" / "harbor-push_artifact.json"
POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: x\r\n\r\n"
SCRIPT = """
local n = 0
local bodies = {BODIES}
request = function()
  n = (n + 1) % #bodies
  return wrk.format("POST", "/hooks/registry", {
    ["Authorization"] = "Bearer SECRET", ["Content-Type"] = "application/json"}, bodies[n + 1])
end
"""

LOOK = 0.02  # seconds that a registry near by takes


@dataclass(frozen=True)
class Late(Fault):
    """The right answer, after some seconds."""

    seconds: float

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Wait, then answer."""
        await asyncio.sleep(self.seconds)
        return reply.response()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def rows(effort: Effort) -> Iterator[Row]:
    """The rows."""
    need("nginx", "wrk", "taskset")
    yield from asyncio.run(measured(effort))


async def measured(effort: Effort) -> list[Row]:
    """Of one server before one registry."""
    folder = effort.folder / "hooks"
    folder.mkdir()
    async with FakeRegistry() as registry:
        registry.fail("tags", Late(LOOK), times=None)
        for device in ("lamp", *(f"lamp-{number}" for number in range(DEVICES))):
            registry.content.put(f"{PREFIX}/{device}", "1.0.0", layers=[b"firmware"])
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": PREFIX, "DEVICES": "lamp"}
        with (
            otaflux(folder / "ours", settings) as ours,
            nginx(folder, folder / "theirs") as theirs,
        ):
            await asyncio.to_thread(answered, ours.port, "lamp")
            rate = await rates(effort, folder, ours, theirs)
            fast, hooks, polls = await latencies(effort, ours.port)
            await asyncio.sleep(1)
            registry.requests.clear()
            await at_rate(RATE, await connections(ours.port), push_to, seconds=2)
            await asyncio.sleep(1)
            looks = len(registry.seen("tags")) / 2
    return [
        rate,
        Row("a hook, one after the other: half", "ms", [median(fast)], goal=below(5)),
        Row(f"a hook at {RATE:,}/s: half", "ms", [median(hooks)], goal=below(5)),
        Row(f"a hook at {RATE:,}/s: 99 of 100", "ms", [late(hooks)], goal=below(20)),
        Row(f"a poll at {RATE:,} hooks/s: 99 of 100", "ms", [late(polls)], goal=below(20)),
        Row(f"looks for {RATE:,} hooks of {DEVICES} devices", "", [looks], goal=below(100)),
    ]


async def rates(effort: Effort, folder: Path, ours: Server, theirs: Running) -> Row:
    """Hooks a second, against nginx that answers 202 and does nothing with them."""
    script = folder / "hooks.lua"
    bodies = ", ".join(f"[==[{body(f'lamp-{n}').decode()}]==]" for n in range(DEVICES))
    script.write_text(SCRIPT.replace("{BODIES}", f"{{{bodies}}}").replace("SECRET", SECRET))

    def run(server: Running) -> float:
        return wrk(server.url(""), seconds=effort.seconds, connections=CONNECTIONS, script=script)

    rounds = await asyncio.to_thread(effort.in_turns, partial(run, ours), partial(run, theirs))
    return compared("hooks, as many as it takes", "/s", rounds, "nginx `return 202`", above(RATE))


async def connections(port: int) -> list[Connection]:
    """Some, kept alive."""
    return [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]


async def latencies(effort: Effort, port: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds that hooks take alone, hooks at the rate, and polls meanwhile."""
    hooks: list[float] = []
    polls: list[float] = []
    there = await connections(port)
    fast = [await push_to(there[0], number) for number in range(RATE // 2)]
    seconds = effort.seconds * 2
    async with asyncio.TaskGroup() as both:
        both.create_task(at_rate(RATE, there, push_to, seconds=seconds, took=hooks))
        both.create_task(
            at_rate(POLLS, await connections(port), poll_to, seconds=seconds, took=polls)
        )
    return fast, hooks, polls


async def at_rate(
    rate: int,
    connections: list[Connection],
    ask: Callable[[Connection, int], Awaitable[float]],
    *,
    seconds: float,
    took: list[float] | None = None,
) -> None:
    """So many a second, each at its time whether or not the one before was answered."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)

    async def one(number: int) -> None:
        connection = await free.get()
        seconds = await ask(connection, number)
        free.put_nowait(connection)
        if took is not None:
            took.append(seconds)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.create_task(one(number))


def push_to(connection: Connection, number: int) -> Awaitable[float]:
    """The seconds until a hook is answered."""
    return asked(connection, PUSHES[number % DEVICES], b"202")


def poll_to(connection: Connection, number: int) -> Awaitable[float]:
    """The seconds until a poll is answered."""
    return asked(connection, POLL, b"200")


async def asked(connection: Connection, request: bytes, status: bytes) -> float:
    """The seconds until a request is answered with that status."""
    reader, writer = connection
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    if head[9:12] != status:
        raise RuntimeError(f"answered {head[:40]!r}")
    return time.perf_counter() - began


def body(device: str) -> bytes:
    """What Harbor sends when that device gets a release."""
    return PAYLOAD.read_bytes().replace(b"sensor-esp32", device.encode()).strip()


def push(device: str) -> bytes:
    """The whole request."""
    content = body(device)
    head = (
        f"POST /hooks/registry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


PUSHES = [push(f"lamp-{number}") for number in range(DEVICES)]


def median(seconds: list[float]) -> float:
    """In milliseconds."""
    return statistics.median(seconds) * 1000


def late(seconds: list[float]) -> float:
    """What one in a hundred takes, in milliseconds."""
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000
