"""How often and how long is measured, and which rounds count on a machine that is busy."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

QUIET = 0.1  # of all cores; more than that makes a round one that does not count if others do
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds, seconds of each, and whether fewer devices and connections are enough."""

    rounds: int
    seconds: float
    quick: bool
    folder: Path

    def few(self, count: int, quick: int) -> int:
        """So many, or fewer where it should be quick."""
        return quick if self.quick else count

    def new_folder(self) -> Path:
        """A folder of its own, which others may read."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        return folder

    def in_turns(self, ours: Callable[[], float], theirs: Callable[[], float]) -> Rounds:
        """Figures of rounds that take turns, and take turns in who begins."""
        rounds = Rounds(self.rounds)
        for turn in rounds:
            if turn % 2:
                its = theirs()
                rounds.add(ours(), its)
            else:
                rounds.add(ours(), theirs())
        return rounds


class Rounds:
    """Pairs of figures, of the rounds in which other programs took least of the processor.

    To go through it makes rounds, each with one call of `add`, until `wanted` of them were quiet
    or `extra` more were made (as many again if nothing is said). Which ones count has nothing to
    do with what they found.
    """

    def __init__(self, wanted: int, *, extra: int | None = None) -> None:
        self._wanted = wanted
        self._most = wanted + (wanted if extra is None else extra)
        self._all: list[tuple[float, float, float]] = []

    def __iter__(self) -> Iterator[int]:
        """The numbers of the rounds, from 0."""
        while not self._is_enough():
            before, since = _spent_by_others(), time.monotonic()
            number = len(self._all)
            yield number
            others = (_spent_by_others() - before) / (time.monotonic() - since)
            ours, theirs, _ = self._all[number]
            self._all[number] = (ours, theirs, max(0.0, others) / (os.cpu_count() or 1))

    def add(self, ours: float, theirs: float) -> None:
        """The figures of this round."""
        self._all.append((ours, theirs, 0.0))

    def _is_enough(self) -> bool:
        quiet = sum(others <= QUIET for _, _, others in self._all)
        return quiet >= self._wanted or len(self._all) >= self._most

    def _chosen(self) -> list[tuple[float, float, float]]:
        return sorted(self._all, key=lambda found: found[2])[: self._wanted]

    @property
    def ours(self) -> list[float]:
        """OtaFlux's figures."""
        return [ours for ours, _, _ in self._chosen()]

    @property
    def theirs(self) -> list[float]:
        """The peer's, in the same order."""
        return [theirs for _, theirs, _ in self._chosen()]

    @property
    def others(self) -> float:
        """The share of all cores that other programs took meanwhile, at most in these rounds."""
        return max(others for _, _, others in self._chosen())


def _spent_by_others() -> float:
    """Seconds of all cores that went to programs which this one did not start (proc(5))."""
    user, nice, system, *_, steal, _, _ = (
        int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    spent: dict[int, int] = {}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended
        parents[int(path.parent.name)] = int(fields[1])
        spent[int(path.parent.name)] = sum(int(text) for text in fields[11:15])
    return (user + nice + system + steal - _of_family(parents, spent)) / TICKS


def _of_family(parents: dict[int, int], spent: dict[int, int]) -> int:
    """What this process and all below it spent, those that ended included."""
    total, left = 0, [os.getpid()]
    while left:
        one = left.pop()
        total += spent.get(one, 0)
        left += [child for child, parent in parents.items() if parent == one]
    return total
