"""Two servers, one registry, one broker: how long after a hook to one of them both are current.

A fake registry and a mosquitto with its own defaults; nothing is re-checked meanwhile. Figures, in
milliseconds: from the hook's answer to the first poll that hears of it at either, over a number of
pushes, and the time between the two (limit 300); from the start of a broker that was killed, and of
a replica that was, to the poll that hears of what was pushed meanwhile. The registry is asked for
tags twice a push, or hooks go round in circles.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from fake_registry import FakeRegistry
from mosquitto import Mosquitto, mosquitto
from programs import environment, free_port
from push_to_poll import SECRET, hook

PUSHES = 30
MOST_APART = 300.0  # milliseconds
PATIENCE = 60.0  # seconds


class Replica:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path, registry: str, broker: str) -> None:
        folder.mkdir()
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._settings = {
            "REGISTRY_URL": registry,
            "REPOSITORY_PREFIX": "bench",
            "DEVICES": "lamp",
            "DATA_DIR": str(folder / "data"),
            "LISTEN_ADDR": f"127.0.0.1:{self._port}",
            "RECHECK_INTERVAL": "3600",
            "WEBHOOK_SECRET": SECRET,
            "MQTT_URL": broker,
        }
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "otaflux", "serve"],
                env=environment(self._folder, self._settings),
                stdout=log,
                stderr=log,
            )

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        self._process.send_signal(number)
        self._process.wait()

    async def told(self, session: aiohttp.ClientSession, version: str) -> float:
        """When a poll first hears that version."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with session.get(f"{self.url}/version?device=lamp") as answer:
                        if (await answer.read()).startswith(version.encode() + b"\n"):
                            return time.perf_counter()
                except aiohttp.ClientError:
                    pass  # it starts
                await asyncio.sleep(0.001)


async def main() -> None:
    """Print the figures."""
    async with FakeRegistry() as registry, aiohttp.ClientSession() as session:
        registry.content.put("bench/lamp", "1.0.0", layers=[b"firmware"])
        with (
            tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name,
            mosquitto(Path(name)) as broker,
        ):
            pair = [Replica(Path(name) / each, registry.url, broker.url) for each in "ab"]
            try:
                await measure(registry, session, broker, pair)
            finally:
                for replica in pair:
                    replica.kill()


async def push(
    registry: FakeRegistry, session: aiohttp.ClientSession, replica: Replica, tag: str
) -> float:
    """Push a release and send its hook; when that was answered."""
    registry.content.put("bench/lamp", tag, layers=[b"firmware %s" % tag.encode()])
    await hook(session, replica.url, "lamp", tag)
    return time.perf_counter()


async def measure(
    registry: FakeRegistry,
    session: aiohttp.ClientSession,
    broker: Mosquitto,
    pair: Sequence[Replica],
) -> None:
    """All of it."""
    one, other = pair
    await asyncio.gather(*(replica.told(session, "1.0.0") for replica in pair))
    await asyncio.sleep(2)
    before = len(registry.seen("tags"))
    here, there, apart = [], [], []
    for number in range(1, PUSHES + 1):
        tag = f"1.{number}.0"
        since = await push(registry, session, one, tag)
        both = await asyncio.gather(*(replica.told(session, tag) for replica in pair))
        here.append((both[0] - since) * 1000)
        there.append((both[1] - since) * 1000)
        apart.append(abs(both[1] - both[0]) * 1000)
        await asyncio.sleep(0.3)
    asked = (len(registry.seen("tags")) - before) / PUSHES
    for what, took in (("who got the hook", here), ("the other", there), ("apart", apart)):
        print(f"{what:<18} median {statistics.median(took):6.1f} ms  worst {max(took):6.1f} ms")
    verdict = "good" if max(apart) <= MOST_APART else "OVER"
    print(f"apart, at most {MOST_APART:g} ms: {verdict}; looks at tags for each push: {asked:.2f}")

    broker.kill()
    await push(registry, session, one, "2.0.0")
    await one.told(session, "2.0.0")
    began = time.perf_counter()
    broker.start()
    took = await other.told(session, "2.0.0") - began
    print(f"broker killed, pushed, broker back: the other is current after {took * 1000:.0f} ms")

    other.kill()
    await push(registry, session, one, "3.0.0")
    await one.told(session, "3.0.0")
    began = time.perf_counter()
    other.start()
    took = await other.told(session, "3.0.0") - began
    print(f"replica killed, pushed, replica back: it is current after {took * 1000:.0f} ms")


if __name__ == "__main__":
    print(f"two replicas, {PUSHES} pushes:")
    asyncio.run(main())
