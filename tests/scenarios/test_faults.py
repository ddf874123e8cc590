"""No fault of a registry reaches a device that is known: each alone, and all mixed.

A real server in its own process asks a fake registry. While it is in trouble devices poll without a
pause: each answer is there, and is of one release that was pushed. `FAULTY_SECONDS` makes the run
with all of them longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_faults import (
    Body,
    Cut,
    Disconnect,
    Drip,
    Expired,
    Fault,
    Hang,
    Headers,
    IgnoreRange,
    Lying416,
    Page,
    Redirect,
    Short,
    Status,
    Throttled,
    TooMuch,
    WrongByte,
)
from fake_registry import FakeRegistry
from programs import Server, server

FAULTY_SECONDS = float(os.environ.get("FAULTY_SECONDS", "4"))
SIZE = 300_000  # bytes of a firmware: more than one chunk, so that a body can break in the middle
REPOSITORY = "acme/sensor"

Fails = list[tuple[str, Fault]]

EVERYWHERE: dict[str, Fault] = {
    "cut": Cut(at=20),
    "cut politely": Cut(at=20, politely=True),
    "short": Short(at=20),
    "hang": Hang(seconds=0.5),
    "hang in the body": Hang(seconds=0.5, after=20),
    "no answer": Disconnect(),
    "500": Status(500),
    "503 in OCI's form": Status(503, code="UNAVAILABLE"),
    "401": Status(401, code="UNAUTHORIZED"),
    "403": Status(403, code="DENIED"),
    "404 page": Status(404, body=b"<h1>Not Found</h1>"),
    "404 without a repository": Status(404, code="NAME_UNKNOWN"),
    "429": Throttled(1),
    "429 with a date": Throttled(1, as_date=True),
    "429 without a time": Throttled(None),
    "page": Page(),
    "redirect to itself": Redirect("/"),
    "redirect to nobody": Redirect("http://127.0.0.1:9/away"),
}
OF_KIND: dict[str, dict[str, Fault]] = {
    "tags": {
        "null": Body(b'{"name":"acme/sensor","tags":null}'),
        "empty": Body(b'{"name":"acme/sensor","tags":[]}'),
        "other kinds": Body(b'{"name":1,"tags":[null,7]}'),
        "deep": Body(b"[" * 100_000),
        "a link to itself": Headers({"Link": '<?n=1&last=x>; rel="next"'}),
    },
    "manifest": {
        "empty object": Body(b"{}"),
        "wrong byte": WrongByte(at=30),
        "a lying digest": Headers({"Docker-Content-Digest": "sha256:" + "0" * 64}),
        "404 for a manifest": Status(404, code="MANIFEST_UNKNOWN"),
    },
    "blob": {
        "cut late": Cut(at=SIZE - 5),
        "wrong byte": WrongByte(at=SIZE - 5),
        "too much": TooMuch(),
        "drip": Drip(size=50_000, pause=0.05),
        "expired": Expired(),
        "range ignored": IgnoreRange(),
        "416 that lies": Lying416(),
        "404 for a blob": Status(404, code="BLOB_UNKNOWN"),
    },
}


def firmware(version: str) -> bytes:
    """The bytes of a version, the same each time."""
    return random.Random(version).randbytes(SIZE)


def push(registry: FakeRegistry, version: str) -> None:
    """Push a version."""
    registry.content.put(REPOSITORY, version, layers=[firmware(version)])


class Polls:
    """A device that polls without a pause, and downloads what it is told now and then."""

    def __init__(self, running: Server) -> None:
        self._running = running
        self.number = 0
        self.told: list[str] = []

    def once(self) -> None:
        """One poll, and what it has to be."""
        answer = self._running.get("/version?device=sensor")
        assert answer.status == 200, (answer, self._running.log()[-5:])
        version, crc32, size = answer.body.decode().split("\n")
        content = firmware(version)
        assert (int(crc32), int(size)) == (zlib.crc32(content), len(content))
        if self.number % 20 == 0:
            given = self._running.get(f"/firmware?device=sensor&version={version}").body
            assert given == content
        if not self.told or self.told[-1] != version:
            self.told.append(version)
        self.number += 1

    async def until(self, stop: Callable[[], Any], within: float = 30) -> None:
        """Poll until something is so."""
        async with asyncio.timeout(within):
            while not stop():
                await asyncio.to_thread(self.once)
                await asyncio.sleep(0.01)

    async def for_a_while(self, seconds: float) -> None:
        """Poll so long."""
        end = asyncio.get_running_loop().time() + seconds
        await self.until(lambda: asyncio.get_running_loop().time() >= end, seconds + 30)


@asynccontextmanager
async def serving(folder: Path, registry: FakeRegistry) -> AsyncIterator[tuple[Server, Polls]]:
    """A server that told 1.0.0 already, and looks several times a second."""
    push(registry, "1.0.0")
    settings = {
        "REGISTRY_URL": registry.url,
        "REPOSITORY_PREFIX": "acme",
        "DEVICES": "sensor",
        "RECHECK_INTERVAL": "0.2",
        "REGISTRY_RATE": "100",
    }
    running = server(folder, **settings)
    held = await asyncio.to_thread(running.__enter__)
    try:
        await asyncio.to_thread(held.told, "sensor", "1.0.0")
        yield held, Polls(held)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def events(running: Server, name: str) -> list[dict[str, Any]]:
    """The log's lines of one event."""
    return [line for line in running.log() if line["event"] == name]


@pytest.mark.parametrize("kind", OF_KIND)
async def test_each_fault_alone(tmp_path: Path, kind: str) -> None:
    """Polls never fail for it, nothing is withdrawn for it; then what the registry holds is told.

    One server takes them all, one after another, as it would over the years.
    """
    faults = EVERYWHERE | OF_KIND[kind]
    async with FakeRegistry() as registry, serving(tmp_path, registry) as (running, polls):
        for number, (name, fault) in enumerate(faults.items(), start=1):
            version = f"1.{number}.0"
            met: list[str] = []

            def counted(seen: Any, met: list[str] = met) -> bool:
                met.append(seen.path)
                return True

            registry.fail(kind, fault, times=None, when=counted)
            push(registry, version)
            await polls.until(lambda met=met: met)
            await polls.for_a_while(0.1)
            assert set(polls.told) <= {"1.0.0", *(f"1.{n}.0" for n in range(1, number + 1))}, name
            registry.heal()
            await polls.until(lambda version=version: polls.told[-1] == version)
        rising = ["1.0.0", *(f"1.{n}.0" for n in range(1, len(faults) + 1))]
        assert polls.told == [version for version in rising if version in polls.told]
        assert not events(running, "release_withdrawn")


@pytest.mark.parametrize("kind", OF_KIND)
async def test_polls_do_not_wait_for_a_registry_that_hangs(tmp_path: Path, kind: str) -> None:
    """Many polls are answered while one request to the registry waits for an answer."""
    async with FakeRegistry() as registry, serving(tmp_path, registry) as (_, polls):
        met: list[str] = []
        hang = Hang(seconds=120)
        registry.fail(kind, hang, times=None, when=lambda seen: met.append(seen.path) or True)
        push(registry, "1.1.0")
        await polls.until(lambda: met)
        before = polls.number
        await polls.until(lambda: polls.number >= before + 50)
        assert polls.told == ["1.0.0"]


@pytest.mark.timeout(120 + FAULTY_SECONDS)
async def test_all_mixed(tmp_path: Path) -> None:
    """Whatever is mixed, with pushes between: devices hear of rising versions, and of the last."""
    chance = random.Random(11)
    every: Fails = [
        (kind, fault) for kind, own in OF_KIND.items() for fault in (EVERYWHERE | own).values()
    ]
    async with FakeRegistry() as registry, serving(tmp_path, registry) as (running, polls):
        loop = asyncio.get_running_loop()
        end, number = loop.time() + FAULTY_SECONDS, 0
        while loop.time() < end:
            registry.heal()
            for kind, fault in chance.sample(every, 5):
                registry.fail(kind, fault, times=None, when=lambda _: chance.random() < 0.3)
            if chance.random() < 0.5:
                number += 1
                push(registry, f"1.{number}.0")
            await polls.for_a_while(chance.uniform(0.1, 0.5))
        registry.heal()
        await polls.until(lambda: polls.told[-1] == f"1.{number}.0")
        assert polls.told == sorted(polls.told, key=lambda v: int(v.split(".")[1]))
        assert not events(running, "release_withdrawn")
        files = list((running.folder / "data" / "firmware" / "sha256").iterdir())
        assert not [path for path in files if path.name.startswith(".new-")]


async def test_a_stop_amid_a_pull_is_quick_and_quiet(tmp_path: Path) -> None:
    """SIGTERM while a blob comes slowly: exit 0, only lines of the log, no file left over."""
    async with FakeRegistry() as registry, serving(tmp_path, registry) as (running, polls):
        registry.fail("blob", Drip(size=1000, pause=1.0), times=None)
        push(registry, "1.1.0")
        temporaries = partial((tmp_path / "data").rglob, ".new-*")
        await polls.until(lambda: list(temporaries()))
        assert await asyncio.to_thread(running.stop) == 0
        assert not list(temporaries())
        assert running.log()[-1]["event"] == "server_stopped"  # each line is JSON
        assert {line["level"] for line in running.log()} == {"info"}
