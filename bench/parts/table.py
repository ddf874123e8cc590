"""Rows of the one table: what was measured, the peer beside it, and the goal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parts.effort import Rounds

HEAD = ("what", "OtaFlux", "peer", "ratio", "goal", "reached", "others")
WIDTHS = (58, 24, 30, 22, 17, 7, 6)


@dataclass(frozen=True, slots=True)
class Goal:
    """`at least` or `at most` so much, of the ratio to the peer or of OtaFlux's own figure."""

    bound: Literal["at least", "at most"]
    number: float
    of: Literal["ratio", "figure"] = "ratio"

    def reached(self, found: float) -> bool:
        """Whether what was found is good enough."""
        return found >= self.number if self.bound == "at least" else found <= self.number


def least(number: float) -> Goal:
    """At least so many times the peer's rate."""
    return Goal("at least", number)


def most(number: float) -> Goal:
    """At most so many times what the peer took."""
    return Goal("at most", number)


def below(number: float) -> Goal:
    """A figure of at most so much, in the unit of its row."""
    return Goal("at most", number, "figure")


def above(number: float) -> Goal:
    """A figure of at least so much, in the unit of its row."""
    return Goal("at least", number, "figure")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a figure a round, the peer's figures of the same rounds, and the goal.

    The ratio is OtaFlux over the peer, round by round, so that a machine which is busy in one round
    is so to both. `others` is the share of all cores that other programs took meanwhile.
    """

    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    peer: str = ""
    goal: Goal | None = None
    others: float | None = None

    @property
    def ratios(self) -> list[float]:
        """One a round; none without a peer."""
        return [mine / its for mine, its in zip(self.ours, self.theirs, strict=False) if its]

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        found = self.ratios if self.goal.of == "ratio" else self.ours
        return self.goal.reached(statistics.median(found))

    def cells(self) -> tuple[str, ...]:
        """As the table has them."""
        ratios = self.ratios
        ours = spread(self.ours, self.unit, with_range=not ratios)
        peer = f"{self.peer} {spread(self.theirs, self.unit)}" if self.theirs else self.peer
        reached = {None: "", True: "yes", False: "**no**"}[self.is_reached]
        others = "" if self.others is None else f"{self.others:.0%}"
        ratio = spread(ratios, "x", with_range=True)
        return (self.what, ours, peer, ratio, self._goal(), reached, others)

    def _goal(self) -> str:
        if self.goal is None:
            return ""
        if self.goal.of == "ratio":
            return f"{self.goal.bound} {self.goal.number:.2f}x"
        return f"{self.goal.bound} {number(self.goal.number, exactly=True)}{_unit(self.unit)}"


def compared(what: str, unit: str, rounds: Rounds, peer: str, goal: Goal | None = None) -> Row:
    """A row of rounds in turns."""
    return Row(what, unit, rounds.ours, rounds.theirs, peer, goal, rounds.others)


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A line that says why there is no figure."""

    what: str
    why: str

    def cells(self) -> tuple[str, ...]:
        """As the table has them."""
        return (self.what, f"not measured: {self.why}", "", "", "", "", "")


def spread(figures: Sequence[float], unit: str = "", *, with_range: bool = False) -> str:
    """The median, and where there were several also the lowest and the highest."""
    if not figures:
        return ""
    middle = f"{number(statistics.median(figures))}{_unit(unit)}"
    if not with_range or len(figures) == 1:
        return middle
    return f"{middle} ({number(min(figures))} to {number(max(figures))})"


def number(figure: float, *, exactly: bool = False) -> str:
    """With as many digits as tell something."""
    if exactly or figure == int(figure):
        return f"{figure:,.12g}"
    digits = 0 if figure >= 100 else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f}"


def _unit(unit: str) -> str:
    return unit if unit in {"", "x"} or unit.startswith("/") else f" {unit}"


def line(cells: Sequence[str]) -> str:
    """A line of Markdown that reads as a table in a terminal too."""
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return f"| {' | '.join(padded)} |"


def head() -> str:
    """The first two lines."""
    return f"{line(HEAD)}\n|{'|'.join('-' * (width + 2) for width in WIDTHS)}|"
