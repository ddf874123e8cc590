"""Very many who wait for the same are woken some at a time, so that others have their turn.

On the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waking(Generic[T]):
    """Calls `wake` with each who was added, in order, `at_once` in one step of the loop."""

    def __init__(self, wake: Callable[[T], object], *, at_once: int) -> None:
        self._wake = wake
        self._at_once = at_once
        self._woken: deque[T] = deque()

    def add(self, some: Iterable[T]) -> None:
        """Wake them too, from the next step on."""
        is_first = not self._woken
        self._woken.extend(some)
        if is_first and self._woken:
            asyncio.get_running_loop().call_soon(self._some)

    def _some(self) -> None:
        for _ in range(min(self._at_once, len(self._woken))):
            self._wake(self._woken.popleft())
        if self._woken:
            asyncio.get_running_loop().call_soon(self._some)
