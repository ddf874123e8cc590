"""Figures beside the limits that they are held to."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How OtaFlux did against another program, and at least how it should."""

    what: str
    ours: float
    theirs: float
    least: float
    unit: str = "/s"

    @property
    def ratio(self) -> float:
        """Above 1 is better than the other."""
        return self.ours / self.theirs

    def line(self) -> str:
        """As a line of the table."""
        verdict = "good" if self.ratio >= self.least else "SHORT"
        return (
            f"{self.what:<46} {self.ours:>10,.0f} {self.theirs:>10,.0f}{self.unit}"
            f" {self.ratio:>6.2f}  at least {self.least:.2f}  {verdict}"
        )


@dataclass(frozen=True)
class Most:
    """A figure, and what it may be at most."""

    what: str
    found: float
    most: float
    unit: str

    def line(self) -> str:
        """As a line of the table."""
        verdict = "good" if self.found <= self.most else "OVER"
        return f"{self.what:<56} {self.found:>8.1f} {self.unit:<4} at most {self.most:g}  {verdict}"


def alternate(
    runs: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[float, float]:
    """Medians of runs that take turns, so that a noisy machine is noisy to both."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(
        pair[1] for pair in pairs
    )
