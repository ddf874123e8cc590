"""From hook to published, against the pipe that does it by hand, in one run: 192 MiB in tar.zst.

The peer is `curl | tee >(sha256sum) | zstd -d | tar -xO` of the same blob from the same
docker-registry, with a sync. Polls go on meanwhile and the slowest is shown; memory is the server's
highest over what it took when idle.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp
from push_to_poll import docker_registry, hook, otaflux, told
from unpacking import write_firmware

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
HERE = Path(__file__).parent
PIPE = (
    "set -o pipefail; curl -sL {url} | tee >(sha256sum > sum) | zstd -dc | tar -xO > by-hand"
    " && sync by-hand && rm by-hand"
)


def resident(pid: int, field: str) -> float:
    """MiB that the process has (`VmRSS`), or had at most (`VmHWM`)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def idle_memory(pid: int) -> float:
    """MiB that the process has now; its highest begins anew from here."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return resident(pid, "VmRSS")


async def slowest_poll(session: aiohttp.ClientSession, url: str, stop: asyncio.Event) -> float:
    """Milliseconds of the slowest poll until told to stop."""
    slowest = 0.0
    while not stop.is_set():
        began = time.perf_counter()
        async with session.get(f"{url}/version?device=big") as response:
            await response.read()
        slowest = max(slowest, (time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.01)
    return slowest


async def one_pull(session: aiohttp.ClientSession, url: str, version: str) -> tuple[float, float]:
    """Seconds from hook to told, and milliseconds of the slowest poll meanwhile."""
    stop = asyncio.Event()
    polls = asyncio.create_task(slowest_poll(session, url, stop))
    began = time.perf_counter()
    _ = await hook(session, url, "big", version)
    await told(session, url, "big", version)
    took = time.perf_counter() - began
    stop.set()
    return took, await polls


async def by_hand(url: str, folder: Path) -> float:
    """Seconds that the pipe takes."""
    began = time.perf_counter()
    shell = await asyncio.create_subprocess_exec("bash", "-c", PIPE.format(url=url), cwd=folder)
    if await shell.wait():
        raise SystemExit("the pipe failed")
    return time.perf_counter() - began


async def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-", dir=HERE) as name:
        folder = Path(name)
        write_firmware(folder / "firmware.bin")
        ours: list[float] = []
        theirs: list[float] = []
        slowest = grown = 0.0
        async with (
            docker_registry(folder) as registry,
            aiohttp.ClientSession() as session,
            otaflux(registry.url, folder) as (url, pid),
        ):
            for number in range(RUNS + 1):
                blob = pack(folder, number)
                digest = await registry.put("bench/big", f"1.0.{number}", layers=[blob])
                manifest = registry.pushed("bench/big", digest).decode()
                layer = manifest.split('"layers"')[1].split('"digest": "')[1].split('"')[0]
                idle = idle_memory(pid)
                took, poll = await one_pull(session, url, f"1.0.{number}")
                peer = await by_hand(f"{registry.url}/v2/bench/big/blobs/{layer}", folder)
                if number:  # the first one warms up
                    ours.append(took)
                    theirs.append(peer)
                    slowest = max(slowest, poll)
                    grown = max(grown, resident(pid, "VmHWM") - idle)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    mine, others = statistics.median(ours), statistics.median(theirs)
    print(f"hook to published {mine:.2f} s, by hand {others:.2f} s")
    print(f"that is {ratio:.2f} times as long, at most 1.5, then 1.25")
    print(f"slowest poll meanwhile {slowest:.0f} ms, at most 100")
    print(f"memory over idle {grown:.0f} MiB, at most 48")


def pack(folder: Path, number: int) -> bytes:
    """The firmware in tar.zst, another one each time."""
    with (folder / "firmware.bin").open("r+b") as file:
        file.write(number.to_bytes(8, "big"))
    subprocess.run("tar -c firmware.bin | zstd -q > fw.tar.zst", shell=True, cwd=folder, check=True)
    return (folder / "fw.tar.zst").read_bytes()


if __name__ == "__main__":
    asyncio.run(main())
