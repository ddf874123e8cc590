"""Polls of hawkBit's protocol by 100,000 units, on one core: their rate, memory, and the disk."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from parts.programs import Running, need, otaflux, wrk

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
CONNECTIONS = 64
UNITS = 100_000
LEAST = 5000  # polls a second
SETTLED = 6.0  # seconds until what changed is on the disk

SCRIPT = """
local n = 0
request = function()
  n = (n + 1) % UNITS
  return string.format("GET /lamp/controller/v1/unit-%05d HTTP/1.1\\r\\nHost: ota\\r\\n"
    .. "Accept: application/json\\r\\nAuthorization: GatewayToken none\\r\\n\\r\\n", n)
end
"""


def main() -> None:
    """Print the figures."""
    need("wrk", "taskset")
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        firmware, script = folder / "firmware.bin", folder / "polls.lua"
        firmware.write_bytes(os.urandom(1 << 20))
        script.write_text(SCRIPT.replace("UNITS", str(UNITS)))
        with otaflux(firmware, folder / "ours") as ours:
            before = ours.rss
            rate = polls(ours, script, SECONDS)
            polls(ours, script, 1.5 * UNITS / rate)  # each unit once: they are known then
            time.sleep(SETTLED)
            each = (ours.rss - before) / UNITS
            print(f"{'memory for each unit, all in all':<46} {each:>10,.0f} bytes", flush=True)
            written = bytes_written(ours)
            rate = statistics.median(polls(ours, script, SECONDS) for _ in range(RUNS))
            verdict = "good" if rate >= LEAST else "SHORT"
            print(f"{'polls of known units':<46} {rate:>10,.0f}/s at least {LEAST}  {verdict}")
            written = bytes_written(ours) - written
            print(f"{'bytes written to the disk meanwhile':<46} {written:>10,.0f}")


def polls(ours: Running, script: Path, seconds: float) -> float:
    """Polls a second."""
    url = f"http://127.0.0.1:{ours.port}"
    return wrk(url, seconds=seconds, connections=CONNECTIONS, script=script)


def bytes_written(ours: Running) -> int:
    """What the process has had written so far (proc(5), write_bytes)."""
    lines = Path(f"/proc/{ours.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


if __name__ == "__main__":
    sys.exit(main())
