"""Time in the hands of a test."""

from __future__ import annotations


class Clock:
    """A monotonic clock that a test turns on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Now."""
        return self.now
