"""Polls of 100,000 boards that name themselves, against the same polls without a name."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from parts.programs import Running, need, otaflux, wrk
from parts.table import Ratio, alternate

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
CONNECTIONS = 64
LEAST = 0.9
UNITS = 100_000

# Both kinds make each request anew, so that wrk has as much to do for either.
SCRIPT = """
local n = 0
request = function()
  n = (n + 1) % UNITS
  return string.format("GET /version?device=lamp%s HTTP/1.1\\r\\nHost: ota\\r\\n%s\\r\\n",
                       TARGET, HEADER)
end
"""
NAME = 'string.format("24:0A:C4:%02X:%02X:%02X", n / 65536, n / 256 % 256, n % 256)'
CASES = (
    ("polls with &unit=", f'"&unit=" .. {NAME}', '""'),
    ("polls with &unit= and &current=", f'"&current=1.3.0&unit=" .. {NAME}', '""'),
    ("polls with x-ESP32-STA-MAC", '""', f'"x-ESP32-STA-MAC: " .. {NAME} .. "\\r\\n"'),
    ("polls with RAUC-Serial", '""', f'"RAUC-Serial: " .. {NAME} .. "\\r\\n"'),
)


def main() -> None:
    """Print the table."""
    need("wrk", "taskset")
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        firmware = folder / "firmware.bin"
        firmware.write_bytes(os.urandom(1 << 20))
        with otaflux(firmware, folder / "ours") as ours:
            for what, target, header in CASES:
                print(compare(what, ours, folder, target, header).line(), flush=True)


def compare(what: str, ours: Running, folder: Path, target: str, header: str) -> Ratio:
    """Both in turns, on one server."""
    named, plain = folder / "named.lua", folder / "plain.lua"
    for script, form in ((named, "%s"), (plain, "string.sub(%s, 1, 0)")):
        filled = SCRIPT.replace("UNITS", str(UNITS))
        filled = filled.replace("TARGET", form.replace("%s", target)).replace(
            "HEADER", form.replace("%s", header)
        )
        script.write_text(filled)

    def run(script: Path) -> float:
        url = f"http://127.0.0.1:{ours.port}"
        return wrk(url, seconds=SECONDS, connections=CONNECTIONS, script=script)

    return Ratio(what, *alternate(RUNS, lambda: run(named), lambda: run(plain)), LEAST)


if __name__ == "__main__":
    sys.exit(main())
