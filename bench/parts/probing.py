"""A poller in a process of its own, and what it saw: how long polls take beside something else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from parts.programs import LOAD_CORE, python

SCRIPT = Path(__file__).with_name("prober.py")


@dataclass(frozen=True, slots=True)
class Polls:
    """Polls of a stretch: how many, how many failed, and milliseconds."""

    polls: int
    failed: int
    p99: float
    worst: float


class Probe:
    """A poller that goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def report(self) -> Polls:
        """The polls since the last report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Polls(**json.loads(self._process.stdout.readline()))


@contextmanager
def probing(port: int, *flags: str) -> Iterator[Probe]:
    """Poll `lamp` there a hundred times a second; `flags` are prober.py's."""
    command = ["taskset", "-c", LOAD_CORE, *python(str(SCRIPT), str(port), *flags)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        try:
            yield Probe(process)
        finally:
            process.kill()
