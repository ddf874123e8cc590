"""A start with 20,000 and 200,000 devices whose registry is away: when it listens, when it tells.

Each device has a record; fifty of them also have firmware of their own, which the others share. The
peer is `cat`, which only reads the same files.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from parts.effort import Effort
from parts.fleet import fleet
from parts.programs import SERVER_CORE, shell
from parts.server import Server, answered, otaflux
from parts.table import Row, below, compared

ASKED = 200  # devices, after which all count as told
READ = "find data/catalog -type f -exec cat {} + > /dev/null"


def rows(effort: Effort) -> Iterator[Row]:
    """Two fleets."""
    empty = [start(effort.folder / "none", {}, [])[0] for _ in range(2)]
    for count in (effort.few(20_000, 2_000), effort.few(200_000, 20_000)):
        folder = effort.folder / f"fleet-{count}"
        yield from started(effort, folder, fleet(folder, count), count, min(s.spent for s in empty))
        shutil.rmtree(folder)


def started(
    effort: Effort, folder: Path, settings: dict[str, str], count: int, nothing: float
) -> Iterator[Row]:
    """Starts over one fleet; `nothing` is what a start without devices takes of the processor."""
    chance = random.Random(1)
    asked = [f"board-{chance.randrange(count - 50)}" for _ in range(ASKED)]
    runs: list[tuple[Server, float, float]] = []

    def ours() -> float:
        runs.append(start(folder, settings, asked))
        return runs[-1][0].listened

    def theirs() -> float:
        began = time.monotonic()
        shell(READ, folder, cores=SERVER_CORE)
        return time.monotonic() - began

    rounds = Effort(3, 0, effort.quick, folder).in_turns(ours, theirs)
    each = [(server.spent - nothing) * 1e6 / count for server, _, _ in runs]
    what = f"start with {count:,} devices"
    yield compared(f"{what}: until it listens", "s", rounds, "`cat`")
    yield Row(f"{what}: a record, processor", "µs", each, goal=below(40))
    yield Row(f"{what}: until all are told", "s", [told for _, told, _ in runs])
    yield Row(f"{what}: memory", "MiB", [memory for _, _, memory in runs])


def start(folder: Path, settings: dict[str, str], asked: list[str]) -> tuple[Server, float, float]:
    """One start: the server, seconds until those devices are told, and MiB then."""
    began = time.monotonic()
    with otaflux(folder, settings) as server:
        for device in asked:
            answered(server.port, device)
        return server, time.monotonic() - began, server.memory
