"""From a push into a real docker-registry to what devices are told: how long both halves take.

Two figures, in milliseconds, over a number of pushes each:

- `answered`: from a hook's last byte to its answer, with a 4 MiB firmware behind it (limit 20);
- `told`: from the sending of a hook to the first poll that hears the version, 1 MiB (limit 150).

The last is measured once more with a key and a bundle that was attached before the hook: a signed
release may be told 150 ms after an unsigned one. The registry's own notifications are off here, so
that the moment of the hook is known.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from fake_content import Layer
from real_registry import RealRegistry, docker_registry
from signed_content import BUNDLE, bundle, public

PUSHES = 20
SECRET = "bench"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server(NamedTuple):
    """Where a server listens, and its process."""

    url: str
    pid: int


@asynccontextmanager
async def otaflux(
    registry: str, folder: Path, more: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Server]:
    """A real server before that registry, with `more` settings."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "REGISTRY_URL": registry,
        "REPOSITORY_PREFIX": "bench",
        "DATA_DIR": str(folder / "data"),
        "LISTEN_ADDR": address,
        "METRICS_LISTEN_ADDR": "127.0.0.1:0",
        "WEBHOOK_SECRET": SECRET,
        **more,
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: ASYNC220 - the bench has nothing else to do
            (sys.executable, "-m", "otaflux", "serve"), env=environment, stdout=log, stderr=log
        )
    try:
        for _ in range(200):
            await asyncio.sleep(0.05)
            with socket.socket() as sock:
                host, port = address.split(":")
                if sock.connect_ex((host, int(port))) == 0:
                    break
        yield Server(f"http://{address}", server.pid)
    finally:
        server.terminate()
        server.wait(30)


async def hook(session: aiohttp.ClientSession, url: str, device: str, tag: str) -> float:
    """Send a hook; the milliseconds until its answer."""
    event = {
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "repository": f"bench/{device}",
            "tag": tag,
        },
    }
    began = time.perf_counter()
    async with session.post(
        f"{url}/hooks/registry",
        data=json.dumps({"events": [event]}),
        headers={
            "Authorization": f"Bearer {SECRET}",
            "Content-Type": "application/vnd.docker.distribution.events.v1+json",
        },
    ) as response:
        await response.read()
        if response.status != 202:
            raise SystemExit(f"the hook was answered {response.status}")
    return (time.perf_counter() - began) * 1000


async def told(session: aiohttp.ClientSession, url: str, device: str, version: str) -> None:
    """Poll until devices hear of a version."""
    while True:
        async with session.get(f"{url}/version?device={device}") as response:
            if (await response.text()).startswith(version + "\n"):
                return
        await asyncio.sleep(0.001)


async def push(registry: RealRegistry, device: str, tag: str, size: int, *, signed: bool) -> None:
    """Push firmware, and attach a bundle to it as cosign 3 does."""
    name = f"bench/{device}"
    digest = await registry.put(name, tag, layers=[os.urandom(size)])
    if signed:
        layer = Layer(bundle(digest.hex, "a"), media_type=BUNDLE)
        attached = await registry.put(
            name, None, layers=[layer], artifact_type=BUNDLE, subject=digest
        )
        await registry.put_index(name, f"sha256-{digest.hex}", [attached])


async def measure(
    size: int, device: str, *, signed: bool = False
) -> tuple[list[float], list[float]]:
    """Milliseconds to the answer, and to the first poll that hears of it, for each push."""
    answered: list[float] = []
    heard: list[float] = []
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        key = folder / "key.pem"
        key.write_text(public("a"))
        more = {"COSIGN_PUB_KEY_PATH": str(key)} if signed else {}
        async with (
            docker_registry(folder) as registry,
            otaflux(registry.url, folder, more) as (url, _),
            aiohttp.ClientSession() as session,
        ):
            for number in range(PUSHES + 2):
                version = f"1.0.{number}"
                await push(registry, device, version, size, signed=signed)
                began = time.perf_counter()
                took = await hook(session, url, device, version)
                await told(session, url, device, version)
                if number >= 2:  # the first ones warm up
                    answered.append(took)
                    heard.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.3)
    return answered, heard


def row(what: str, times: list[float], limit: float) -> str:
    """One line of the table."""
    middle, worst = statistics.median(times), max(times)
    verdict = "ok" if worst <= limit else "OVER"
    return (
        f"{what:<48} median {middle:7.1f} ms  worst {worst:7.1f} ms  limit {limit:5.0f}  {verdict}"
    )


async def main() -> None:
    """Print the table."""
    answered, heard = await measure(4 << 20, "four")
    print(row("hook answered, 4 MiB behind it", answered, 20))
    print(row("hook to told, 4 MiB", heard, 150))
    answered, heard = await measure(1 << 20, "one")
    print(row("hook to told, 1 MiB", heard, 150))
    _, later = await measure(1 << 20, "signed", signed=True)
    print(row("hook to told, 1 MiB, signed", later, statistics.median(heard) + 150))


if __name__ == "__main__":
    asyncio.run(main())
