"""From a hook to published for 192 MiB, against fetching, unpacking and syncing by hand.

Both fetch the same blob of the same docker-registry, and all of them have two cores together. Then
three such pulls at once: polls meanwhile, and memory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from parts.blobs import GZIP, IMAGE, PLAIN, TAR_ZST, Packed, Packing, push, push_image
from parts.by_hand import ByHand
from parts.distribution import distribution
from parts.effort import Effort, Rounds
from parts.probing import Polls, Probe, probing
from parts.programs import BOTH_CORES, certificate, need, nginx, trusting
from parts.server import Server, answered, otaflux
from parts.table import Goal, Row, below, compared, most
from parts.telling import told_after_hook

SIZE = 192  # MiB
AT_ONCE = ("one", "two", "three")
DEVICES = ("lamp", "big", *AT_ONCE)
KINDS = (
    ("plain", PLAIN, False, most(1.0)),
    ("in tar.zst", TAR_ZST, False, most(1.2)),
    ("in gzip", GZIP, False, most(0.6)),
    ("in a gzip image", IMAGE, False, most(0.6)),
    ("plain over TLS", PLAIN, True, most(1.2)),
)


def rows(effort: Effort) -> Iterator[Row]:
    """The rows."""
    need("docker-registry", "nginx", "zstd", "bash", "taskset", "openssl")
    size = effort.few(SIZE, 48)
    grown: list[float] = []
    for what, packing, tls, goal in KINDS:
        name = f"hook to published, {size} MiB {what}"
        row, memory = asyncio.run(one_kind(effort, name, packing, size, goal, tls=tls))
        grown += memory
        yield row
    yield Row(f"{size} MiB: memory meanwhile, over idle", "MiB", [max(grown)], goal=below(48))
    yield from asyncio.run(three(effort, size))


@dataclass
class Pulling:
    """A server before a registry, and whoever does it by hand."""

    folder: Path
    server: Server
    session: aiohttp.ClientSession
    hand: ByHand
    packing: Packing
    packed: Packed
    number: int = 0
    grown: list[float] = field(default_factory=list)

    async def push(self, device: str) -> tuple[str, str]:
        """Push the next release; its version, and its blob's digest."""
        self.number += 1
        version = f"1.0.{self.number}"
        path = await asyncio.to_thread(self.packed.next, self.number)
        url, how = self.hand.registry, push_image if self.packing.is_image else push
        return version, await how(self.session, url, f"bench/{device}", version, path)

    async def one(self) -> tuple[float, float]:
        """Seconds from a hook to told, and seconds by hand, who begins in turns."""
        version, digest = await self.push("big")
        os.sync()
        by_hand = 0.0
        if self.number % 2:
            by_hand = self.hand.fetch("bench/big", digest, self.packing.unpack)
        before = self.server.memory
        self.server.forget_peak()
        took = await told_after_hook(self.session, self.server.url(""), "big", version)
        self.grown.append(self.server.peak - before)
        if not by_hand:
            by_hand = self.hand.fetch("bench/big", digest, self.packing.unpack)
        return took, by_hand

    async def at_once(self, probe: Probe, *, by_hand: bool) -> Polls:
        """Polls while three are pulled at once, by the server or by hand."""
        pushed = {device: await self.push(device) for device in AT_ONCE}
        os.sync()
        probe.report()
        async with asyncio.TaskGroup() as three:
            for device, (version, digest) in pushed.items():
                if by_hand:
                    folder = self.folder / device
                    folder.mkdir(exist_ok=True)
                    fetch = ByHand(self.hand.registry, folder).fetch
                    work = asyncio.to_thread(fetch, f"bench/{device}", digest, self.packing.unpack)
                    three.create_task(work)
                else:
                    url = self.server.url("")
                    three.create_task(told_after_hook(self.session, url, device, version))
        return probe.report()


@asynccontextmanager
async def pulling(
    effort: Effort, packing: Packing, size: int, *, tls: bool = False
) -> AsyncIterator[Pulling]:
    """Server, registry and peer on two cores, this process on the one of the load."""
    folder = effort.new_folder()
    first = folder / "first.bin"
    await asyncio.to_thread(first.write_bytes, b"firmware")
    pair = certificate(folder) if tls else None
    settings = {"REPOSITORY_PREFIX": "bench", "DEVICES": " ".join(DEVICES)}
    if pair is not None:
        settings["REGISTRY_CA_CERT_PATH"] = str(pair.path)
    connector = aiohttp.TCPConnector(ssl=trusting())
    packed = Packed(folder, packing, size << 20)
    with distribution(folder, pair) as url:
        async with aiohttp.ClientSession(connector=connector) as session:
            for device in DEVICES:
                await push(session, url, f"bench/{device}", "0.9.0", first)
            settings["REGISTRY_URL"] = url
            with otaflux(folder / "ours", settings, cores=BOTH_CORES) as server:
                for device in DEVICES:
                    answered(server.port, device)
                hand = ByHand(url, folder, pair and pair.path)
                yield Pulling(folder, server, session, hand, packing, packed)
    shutil.rmtree(folder)


async def one_kind(
    effort: Effort, what: str, packing: Packing, size: int, goal: Goal, *, tls: bool
) -> tuple[Row, list[float]]:
    """The row of a packing, after a pull that warms up, and by how many MiB the server grew."""
    async with pulling(effort, packing, size, tls=tls) as it:
        await it.one()
        rounds = Rounds(effort.rounds)
        for _ in rounds:
            rounds.add(*await it.one())
        return compared(what, "s", rounds, f"{it.hand.name}{packing.tools}", goal), it.grown


async def three(effort: Effort, size: int) -> list[Row]:
    """Polls beside three pulls, of OtaFlux's server and of nginx while others pull by hand."""
    ours, theirs, rounds = [], [], Rounds(3, extra=2)
    async with pulling(effort, TAR_ZST, size) as it:
        root = it.folder / "root"
        root.mkdir()
        (root / "version").write_text("1.4.0\n3421780262\n1048576")
        with (
            nginx(root, it.folder / "theirs", cores=BOTH_CORES) as peer,
            probing(it.server.port) as mine,
            probing(peer.port) as its,
        ):
            await it.at_once(mine, by_hand=False)
            before = it.server.memory
            it.server.forget_peak()
            for _ in rounds:
                ours.append(await it.at_once(mine, by_hand=False))
                theirs.append(await it.at_once(its, by_hand=True))
                rounds.add(ours[-1].p99, theirs[-1].p99)
            grown = it.server.peak - before
    what, peer = f"three pulls of {size} MiB at once", "nginx, by hand"
    worst = [[seen.worst for seen in side] for side in (ours, theirs)]
    return [
        compared(f"{what}: 99 of 100 polls", "ms", rounds, peer, below(20)),
        Row(f"{what}: the slowest poll", "ms", *worst, peer, below(100)),
        Row(f"{what}: memory over idle", "MiB", [grown], goal=below(48)),
    ]
