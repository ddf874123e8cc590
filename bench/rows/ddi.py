"""Polls of hawkBit's protocol by 100,000 units, on one core: their rate, memory, and the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from parts.effort import Effort
from parts.programs import need, wrk
from parts.server import Server, otaflux
from parts.table import Row, above

CONNECTIONS = 64
UNITS = 100_000
SETTLED = 6.0  # seconds until what changed is on the disk

SCRIPT = """
local n = 0
request = function()
  n = (n + 1) % UNITS
  return string.format("GET /lamp/controller/v1/unit-%05d HTTP/1.1\\r\\nHost: ota\\r\\n"
    .. "Accept: application/json\\r\\nAuthorization: GatewayToken none\\r\\n\\r\\n", n)
end
"""


def rows(effort: Effort) -> Iterator[Row]:
    """Three figures."""
    need("wrk", "taskset")
    folder = effort.folder / "ddi"
    folder.mkdir()
    firmware, script = folder / "firmware.bin", folder / "polls.lua"
    firmware.write_bytes(os.urandom(1 << 20))
    script.write_text(SCRIPT.replace("UNITS", str(UNITS)))
    with otaflux(folder / "ours", firmware=firmware) as ours:

        def polls(seconds: float) -> float:
            url = ours.url("")
            return wrk(url, seconds=seconds, connections=CONNECTIONS, script=script)

        before = ours.memory
        rate = polls(effort.seconds)
        polls(1.5 * UNITS / rate)  # each unit once: they are known then
        time.sleep(SETTLED)
        each = (ours.memory - before) * (1 << 20) / UNITS
        written = bytes_written(ours)
        rates = [polls(effort.seconds) for _ in range(effort.rounds)]
        written = bytes_written(ours) - written
    what = f"hawkBit polls of {UNITS:,} known units"
    yield Row(what, "/s", rates, goal=above(5000))
    yield Row(f"{what}: memory of each", "bytes", [each])
    yield Row(f"{what}: written to the disk", "MiB", [written / (1 << 20)])


def bytes_written(ours: Server) -> int:
    """What the process has had written so far (proc(5), write_bytes)."""
    lines = Path(f"/proc/{ours.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
