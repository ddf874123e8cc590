"""What it costs to be watched: operators' pages with 20,000 devices, and counting beside polls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parts.programs import Running, free_port, launched, need, wrk
from parts.table import Most, Ratio, alternate

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
DEVICES = 20_000
LOOKS = 20  # at each address
HERE = Path(__file__).parent
# What is looked at, the most that it may take, and the most that a poll may wait for it (ms).
ADDRESSES = (
    ("/metrics", 100.0, 20.0),
    ("/", 200.0, 20.0),
    ("/?show=wrong&page={}", 200.0, 20.0),
    ("/?q={}", 200.0, 20.0),
    ("/device/lamp-00005", 100.0, 20.0),
    ("/status", 100.0, 20.0),
    ("/status?limit=1000", 300.0, 20.0),
)


@contextmanager
def server(folder: Path, how: str, operators: int) -> Iterator[Running]:
    """Both ports over the fleet."""
    port, script = free_port(), HERE / "parts" / "watched_port.py"
    command = [sys.executable, str(script), str(port), str(operators), str(DEVICES), str(folder)]
    with launched([*command, how], port) as found:
        yield found


def main() -> None:
    """Print the table."""
    need("wrk", "taskset")
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        operators = free_port()
        with (
            server(Path(name) / "a", "watched", operators) as watched,
            server(Path(name) / "b", "unwatched", free_port()) as plain,
        ):
            looks(watched.port, operators)
            for what, target, headers in (
                ("polls, counted, against not counted", "/version?device=lamp", ()),
                ("the same by aiohttp, for JSON", "/version?device=lamp&x=1", JSON),
            ):
                ours, theirs = alternate(
                    RUNS,
                    lambda target=target, headers=headers: polls(watched, target, headers),
                    lambda target=target, headers=headers: polls(plain, target, headers),
                )
                print(Ratio(what, ours, theirs, 0.95).line(), flush=True)


JSON = ("Accept: application/json", "Via: 1.1 proxy")


def polls(server: Running, target: str, headers: tuple[str, ...]) -> float:
    """Polls a second."""
    url = f"http://127.0.0.1:{server.port}{target}"
    return wrk(url, seconds=SECONDS, connections=64, headers=headers)


def looks(port: int, operators: int) -> None:
    """What a look takes, and the longest that a poll waited meanwhile."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "parts" / "prober.py"), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as prober:
        for address, most, wait in (("(nobody looks)", 0.0, 20.0), *ADDRESSES):
            report(prober)
            took = sorted(look(operators, address, number) for number in range(LOOKS))
            seen = report(prober)
            if most:
                print(
                    Most(f"{address}, half of {LOOKS} looks", took[LOOKS // 2], most, "ms").line()
                )
            print(Most("  polls meanwhile, 99 of 100", seen["p99"], wait, "ms").line())
            print(Most("  the longest of them", seen["worst"], wait, "ms").line(), flush=True)
        prober.terminate()


def look(port: int, address: str, number: int) -> float:
    """One look, in milliseconds; each at another page, so that none is kept from before."""
    began = time.perf_counter()
    if address.startswith("/"):
        url = f"http://127.0.0.1:{port}{address.format(number + 1)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            answer.read()
    took = (time.perf_counter() - began) * 1000
    time.sleep(0.1)
    return took


def report(prober: subprocess.Popen[str]) -> dict[str, float]:
    """What the prober saw since it was asked last."""
    assert prober.stdin is not None
    assert prober.stdout is not None
    prober.stdin.write("\n")
    prober.stdin.flush()
    return dict(json.loads(prober.stdout.readline()))


if __name__ == "__main__":
    main()
