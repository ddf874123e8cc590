"""What happened in one seeded run: the last hundred things, for whoever reads a failure.

Noting costs little, for nearly every run holds: what is noted is put into words only when it is
printed, so it must not change after it was noted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MOST = 100


class Chronicle:
    """The last `MOST` things that happened, each with its virtual second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._happened: deque[tuple[float, str, tuple[object, ...]]] = deque(maxlen=MOST)

    def note(self, what: str, *about: object) -> None:
        """Something happened; `about` takes the places of `{}` in `what`."""
        self._happened.append((self._clock(), what, about))

    def __str__(self) -> str:
        return "\n".join(f"{at:12.3f} {what.format(*about)}" for at, what, about in self._happened)
