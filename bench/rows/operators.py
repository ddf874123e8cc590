"""What it costs to be looked at: operators' pages with 20,000 devices, and polls beside them."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

from parts.effort import Effort
from parts.fleet import fleet
from parts.probing import probing
from parts.server import answered, otaflux
from parts.table import Row, below

DEVICES = 20_000
LOOKS = 20  # at each address
# What is looked at, and the most that half of the looks may take (ms).
ADDRESSES = (
    ("/metrics", 100.0),
    ("/", 200.0),
    ("/?show=wrong&page={}", 200.0),
    ("/?q={}", 200.0),
    ("/device/board-5", 100.0),
    ("/status", 100.0),
    ("/status?limit=1000", 300.0),
)


def rows(effort: Effort) -> Iterator[Row]:
    """A row an address, and what polls felt of all of them."""
    folder = effort.folder / "operators"
    settings = fleet(folder, DEVICES)
    worst = []
    with otaflux(folder, settings) as server, probing(server.port) as probe:
        answered(server.port, f"board-{DEVICES - 100}")
        time.sleep(2)
        probe.report()
        for address, most in ADDRESSES:
            took = [look(server.operators, address, number) for number in range(LOOKS)]
            worst.append(probe.report())
            what = f"{DEVICES:,} devices: a look at {address.format('N')}"
            yield Row(what, "ms", took, goal=below(most))
    what = "polls beside these looks"
    yield Row(f"{what}: 99 of 100", "ms", [max(seen.p99 for seen in worst)], goal=below(20))
    yield Row(f"{what}: the slowest", "ms", [max(seen.worst for seen in worst)])


def look(port: int, address: str, number: int) -> float:
    """One look, in milliseconds; each at another page, so that none is kept from before."""
    began = time.perf_counter()
    url = f"http://127.0.0.1:{port}{address.format(number + 1)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        answer.read()
    took = (time.perf_counter() - began) * 1000
    time.sleep(0.1)
    return took
