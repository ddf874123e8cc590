"""A day of 100,000 devices that each poll once an hour, replayed as fast as one core answers.

Each device has a record of its own and each poll names its unit and what it runs. In turns with
nginx, which gets the same requests and answers each with one file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from parts.effort import Effort, Rounds
from parts.fleet import fleet
from parts.probing import probing
from parts.programs import Running, need, nginx, wrk
from parts.server import answered, otaflux
from parts.table import Row, below, compared

DEVICES = 100_000
HOURS = 24
TURNS = 6
CONNECTIONS = 64
SCRIPT = """
local n = 0
request = function()
  n = (n + 1) % DEVICES
  return string.format("GET /version?device=board-%d&current=1.0.0&unit=unit-%d HTTP/1.1\\r\\n"
    .. "Host: ota\\r\\n\\r\\n", n, n)
end
"""


def rows(effort: Effort) -> Iterator[Row]:
    """The rate, memory before and after, and how long a poll beside them waited."""
    need("nginx", "wrk", "taskset")
    devices = effort.few(DEVICES, 5_000)
    folder = effort.folder / "day"
    settings = fleet(folder, devices + 50)
    script = folder / "day.lua"
    script.write_text(SCRIPT.replace("DEVICES", str(devices)))
    root = folder / "root"
    root.mkdir()
    (root / "version").write_text("1.4.0\n3421780262\n1048576")
    with nginx(root, folder / "theirs") as theirs, otaflux(folder, settings) as ours:
        answered(ours.port, f"board-{devices - 1}")

        def run(server: Running, seconds: float) -> float:
            return wrk(server.url(""), seconds=seconds, connections=CONNECTIONS, script=script)

        rate = run(ours, 3)
        hour = devices / rate  # seconds
        run(ours, hour * 1.2)  # each once
        before, took, late, rounds = ours.memory, 0.0, [], Rounds(TURNS, extra=0)
        with probing(ours.port) as probe:
            for _ in rounds:
                probe.report()
                began = time.monotonic()
                mine = run(ours, HOURS / TURNS * hour)
                took += time.monotonic() - began
                late.append(probe.report())
                rounds.add(mine, run(theirs, effort.seconds))
        grown = ours.memory - before
    what = f"a day of {devices:,} devices, a poll an hour"
    yield compared(f"{what}: polls", "/s", rounds, "nginx")
    yield Row(f"{what}: replayed in", "min", [took / 60])
    yield Row(f"{what}: memory grown", "MiB", [grown])
    yield Row(f"{what}: failed", "", [sum(polls.failed for polls in late)], goal=below(0))
    yield Row(f"{what}: 99 of 100 others", "ms", [polls.p99 for polls in late], goal=below(20))
