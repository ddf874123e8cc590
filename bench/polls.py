"""Polls against nginx's `try_files` on the same core: plain ones, and those that ask for more."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from parts.programs import Running, need, nginx, otaflux, wrk
from parts.table import Ratio, alternate

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
CONNECTIONS = 64
TARGET = "/version?device=lamp"
ETAG = '"00000000000000000000000000000000"'

CASES: tuple[tuple[str, str, tuple[str, ...], float], ...] = (
    ("plain polls, kept alive", TARGET, (), 1.2),
    ("plain polls, a new connection for each", TARGET, ("Connection: close",), 0.7),
    ("polls with a condition", TARGET, (f"If-None-Match: {ETAG}",), 0.35),
    ("polls for JSON", TARGET, ("Accept: application/json",), 0.35),
    ("polls of a channel", TARGET + "&channel=stable&x=1", ("Via: 1.1 proxy",), 0.35),
)


def main() -> None:
    """Print the table."""
    need("nginx", "wrk", "taskset")
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "root"
        root.mkdir()
        firmware = root / "firmware.bin"
        firmware.write_bytes(os.urandom(1 << 20))
        (root / "version").write_text("1.4.0\n3421780262\n1048576")
        with nginx(root, folder) as theirs, otaflux(firmware, folder / "ours") as ours:
            for what, target, headers, least in CASES:
                kept = tuple(header for header in headers if header.startswith("Connection"))
                print(compare(what, ours, theirs, target, headers, kept, least).line(), flush=True)


def compare(
    what: str,
    ours: Running,
    theirs: Running,
    target: str,
    headers: tuple[str, ...],
    kept: tuple[str, ...],
    least: float,
) -> Ratio:
    """Both in turns; nginx is asked for the plain file in each case."""

    def run(server: Running, target: str, headers: tuple[str, ...]) -> float:
        url = f"http://127.0.0.1:{server.port}{target}"
        return wrk(url, seconds=SECONDS, connections=CONNECTIONS, headers=headers)

    mine, its = alternate(
        RUNS, lambda: run(ours, target, headers), lambda: run(theirs, TARGET, kept)
    )
    return Ratio(what, mine, its, least)


if __name__ == "__main__":
    sys.exit(main())
