"""One table of what OtaFlux takes, each row beside its peer in the same run: `make bench`.

    python bench [WORD…]

takes all parts, or those that have one of the words in their names. `QUICK=1` is a short way: fewer
rounds, devices and connections, and some parts are left out. `BENCH_ROUNDS` and `BENCH_SECONDS` say
how many rounds of how many seconds. The table is Markdown, and lies in build/bench.md as well.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from parts.effort import Effort
from parts.programs import LOAD_CORE, MissingProgram
from parts.table import Row, Unmeasured, head, line
from rows import (
    broker,
    day,
    ddi,
    downloads,
    first_start,
    hooks,
    memory,
    operators,
    polls,
    pull,
    push_to_poll,
    recheck,
    replicas,
    small,
    start,
    waiting,
)

ROOT = Path(__file__).resolve().parent.parent
Part = Callable[[Effort], Iterator[Row]]
QUICKLY: dict[str, Part] = {
    "polls": polls.rows,
    "downloads": downloads.rows,
    "memory": memory.rows,
    "hooks": hooks.rows,
    "pull": pull.rows,
    "small": small.rows,
    "start": start.rows,
    "day": day.rows,
}
MORE: dict[str, Part] = {
    "push_to_poll": push_to_poll.rows,
    "waiting": waiting.rows,
    "ddi": ddi.rows,
    "operators": operators.rows,
    "recheck": recheck.rows,
    "first_start": first_start.rows,
    "broker": broker.rows,
    "replicas": replicas.rows,
}


def machine() -> str:
    """What it is, in general terms."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = found[1] if found else platform.machine()
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    load = f"load {os.getloadavg()[0]:.1f} when it began"
    return f"{datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores of {name}; {system}; {load}"


def measured(name: str, part: Part, effort: Effort) -> Iterator[Row | Unmeasured]:
    """The rows of a part; where it fails, a row that says so."""
    try:
        yield from part(effort)
    except MissingProgram as error:
        yield Unmeasured(name, str(error))
    except Exception as error:  # noqa: BLE001 - the other parts go on
        traceback.print_exc()
        yield Unmeasured(name, f"{type(error).__name__}: {error}"[:120])


def main(words: list[str]) -> int:
    """Print the table as it grows; 1 where something could not be measured."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    signal.signal(signal.SIGTERM, stop)
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    parts = QUICKLY if quick and not words else QUICKLY | MORE
    chosen = [name for name in parts if not words or any(word in name for word in words)]
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    began, failed, lines = time.monotonic(), False, [machine(), "", head()]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as name:
        Path(name).chmod(0o755)
        effort = Effort(
            rounds=int(os.environ.get("BENCH_ROUNDS", "3" if quick else "5")),
            seconds=float(os.environ.get("BENCH_SECONDS", "1" if quick else "2")),
            quick=quick,
            folder=Path(name),
        )
        for part in chosen:
            for row in measured(part, parts[part], effort):
                lines.append(line(row.cells()))
                failed = failed or isinstance(row, Unmeasured)
                print(lines[-1], flush=True)
    (build / "bench.md").write_text("\n".join(lines) + "\n")
    print(f"\n{(time.monotonic() - began) / 60:.0f} minutes; the table is in build/bench.md")
    return int(failed)


def stop(number: int, frame: FrameType | None) -> None:
    """Leave by way of every clean-up."""
    sys.exit(128 + number)


if __name__ == "__main__":
    if (os.cpu_count() or 1) < 2:
        sys.exit("It takes two cores: one for who serves and one for the load.")
    sys.exit(main(sys.argv[1:]))
