"""A real server under attack: what it takes, and how it goes on serving its own.

The fake registry of the tests runs in this process, the server and who polls in two others. A phase
says how much memory and how many open files the server had at most, how quickly it answered polls
of a device that it knows, and how long a push took from its hook to the first poll that heard.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from fake_registry import FakeRegistry

from parts.programs import free_port

SECRET = "bench"
MOST_P99 = 20.0  # milliseconds
MOST_TOLD = 5.0  # seconds from a hook to the first poll
PATIENCE = 30.0  # seconds that a push is waited for
GIVEN_BACK = 24 << 20  # bytes that the allocator may keep


@dataclass(frozen=True)
class Phase:
    """What a stretch of time looked like from outside."""

    rss: int
    files: int
    polls: Mapping[str, float]
    told: tuple[float, ...]

    def line(self, name: str) -> str:
        """One line of the table."""
        told = f"{max(self.told):6.2f}" if self.told else "     -"
        return (
            f"    {name:<7} {self.rss / (1 << 20):7.0f} MiB {self.files:6d} files"
            f"   p99 {self.polls['p99']:7.1f} ms  worst {self.polls['worst']:7.1f} ms"
            f"  failed {self.polls['failed']:4.0f}   hook to told {told} s"
        )


@dataclass
class Attack:
    """Something that a stranger, a pusher or a neighbour does; `run` ends by itself."""

    name: str
    run: Callable[[Siege], Awaitable[None]]
    settings: Mapping[str, str] = field(default_factory=dict)
    registry: Mapping[str, Any] = field(default_factory=dict)
    files: int = 65_536  # the limit on the server's open files
    tls: bool = False
    json: bool = False  # polls ask for JSON, which is answered where no download has a place
    memory: int = 120 << 20  # bytes over idle that it may take meanwhile


class Siege:
    """One server, its registry, and who looks on."""

    def __init__(
        self, registry: FakeRegistry, port: int, pid: int, folder: Path, attack: Attack
    ) -> None:
        self.registry = registry
        self.port = port
        self.pid = pid
        self.folder = folder
        self.scheme = "https" if attack.tls else "http"
        self._headers = {"Accept": "application/json"} if attack.json else {}
        self.remarks: list[str] = []
        self._number = 0
        self._prober: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def watch(self, work: Awaitable[object]) -> Phase:
        """What it looks like until that work is done, and a push or two more."""
        await self._report()
        rss, files, told = 0, 0, list[float]()
        working = asyncio.ensure_future(work)
        pushing = asyncio.ensure_future(self._push_on(told, working))
        while not pushing.done():
            rss, files = max(rss, self.rss()), max(files, self.files())
            await asyncio.sleep(0.05)
        await working
        return Phase(rss, files, await self._report(), tuple(told))

    async def _push_on(self, told: list[float], working: asyncio.Future[object]) -> None:
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                told.append(await self._told(session))
                if working.done():
                    return
                await asyncio.sleep(1.0)

    async def _told(self, session: aiohttp.ClientSession) -> float:
        """Seconds from a hook to the first poll that hears of its push."""
        self._number += 1
        version = f"1.0.{self._number}"
        self.registry.content.put("bench/fleet", version, layers=[os.urandom(64 << 10)])
        began = time.perf_counter()
        sent = False
        while (took := time.perf_counter() - began) < PATIENCE:
            try:
                if not sent:
                    event = {"repository": "bench/fleet", "tag": version}
                    headers = {"Authorization": f"Bearer {SECRET}"}
                    async with session.post(
                        f"{self.url}/hooks/registry/generic", json=event, headers=headers
                    ) as answer:
                        sent = answer.status in {200, 202}
                async with session.get(
                    f"{self.url}/version?device=bench/fleet", headers=self._headers
                ) as answer:
                    if version in re.split(r'[\n"]', await answer.text()):
                        return took
            except (aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.02)
        return took

    def rss(self) -> int:
        """The memory that the server has now, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) << 10 if found else 0

    def files(self) -> int:
        """How many files the server has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def data(self) -> int:
        """The bytes of all firmware in DATA_DIR."""
        files = (self.folder / "data" / "firmware").rglob("*")
        total = 0
        for path in files:
            with suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
        return total

    def log(self) -> list[str]:
        """The lines that it logged."""
        return (self.folder / "log").read_text(errors="replace").splitlines()

    async def begin(self) -> None:
        """Begin to look on, once its own two devices are told what they have."""
        connector = aiohttp.TCPConnector(ssl=False)
        async with asyncio.timeout(60), aiohttp.ClientSession(connector=connector) as session:
            for device in ("lamp", "bench/fleet"):
                while not await self._is_told(session, device):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.2)
        script = Path(__file__).with_name("prober.py")
        more = ["tls"] if self.scheme == "https" else []
        more += ["json"] if self._headers else []
        self._prober = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            str(self.port),
            *more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    async def _is_told(self, session: aiohttp.ClientSession, device: str) -> bool:
        try:
            async with session.get(f"{self.url}/version?device={device}") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def end(self) -> None:
        """Look on no longer."""
        if self._prober is not None:
            self._prober.kill()
            await self._prober.wait()

    async def _report(self) -> dict[str, float]:
        prober = self._prober
        assert prober is not None
        assert prober.stdin is not None
        assert prober.stdout is not None
        prober.stdin.write(b"\n")
        found: dict[str, float] = json.loads(await prober.stdout.readline())
        return found


@asynccontextmanager
async def besieged(attack: Attack, folder: Path) -> AsyncIterator[Siege]:
    """A server for one attack, with two devices of its own."""
    port = free_port()
    async with FakeRegistry(**attack.registry) as registry:
        for device in ("lamp", "fleet"):
            registry.content.put(f"bench/{device}", "1.0.0", layers=[os.urandom(1 << 20)])
        environment = {
            "PATH": os.environ["PATH"],
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "/",
            "DEVICES": "bench/fleet lamp",
            "DATA_DIR": str(folder / "data"),
            "LISTEN_ADDR": f"127.0.0.1:{port}",
            "METRICS_LISTEN_ADDR": "127.0.0.1:0",
            "WEBHOOK_SECRET": SECRET,
            "SHUTDOWN_TIMEOUT": "1",
            **attack.settings,
        }
        registry.content.put("lamp", "1.0.0", layers=[os.urandom(1 << 20)])
        if attack.tls:
            environment |= _certificate(folder)
        with (folder / "log").open("wb") as log:
            limited = f'ulimit -n {attack.files}; exec "$0" -m otaflux serve'
            server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
                ("sh", "-c", limited, sys.executable), env=environment, stdout=log, stderr=log
            )
        siege = Siege(registry, port, server.pid, folder, attack)
        try:
            await siege.begin()
            yield siege
        finally:
            await siege.end()
            server.terminate()
            server.wait(30)


def _certificate(folder: Path) -> dict[str, str]:
    """A certificate of its own, by openssl, for a server with TLS."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return {"TLS_CERT_PATH": str(certificate), "TLS_KEY_PATH": str(key)}


def verdict(attack: Attack, before: Phase, during: Phase, after: Phase) -> list[str]:
    """What was not as it should be."""
    wrong = []
    is_busy = before.polls["p99"] > MOST_P99
    if is_busy:
        wrong.append("the machine is busy with something else: polls tell nothing")
    for name, phase in (("during", during), ("after", after)):
        if phase.polls["p99"] > MOST_P99 and not is_busy:
            wrong.append(f"polls {name}: p99 above {MOST_P99:.0f} ms")
        if phase.polls["failed"]:
            wrong.append(f"polls {name}: {phase.polls['failed']:.0f} failed")
        if phase.told and max(phase.told) > MOST_TOLD:
            wrong.append(f"hooks {name}: above {MOST_TOLD:.0f} s")
    if during.rss - before.rss > attack.memory:
        wrong.append(f"memory: more than {attack.memory >> 20} MiB over idle")
    if after.rss - before.rss > GIVEN_BACK:
        wrong.append("memory: not given back")
    if after.files - before.files > 16:
        wrong.append("files: not given back")
    return wrong
