"""What came from the broker and waits for its turn: bounded in number, and let through at a rate.

Trust: whoever may publish at the broker can fill it. The same thing said again while it waits is
one; what is above the bound is passed over, and comes with the next re-check at the latest. On one
event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from otaflux.machine import Machine
from otaflux.work.backoff import Burst

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Inbox(Generic[K, V]):
    """Hands on what is put in, by `take(key, value)`, as `burst` allows; `most` may wait."""

    def __init__(
        self, take: Callable[[K, V], object], *, most: int, burst: Burst, machine: Machine
    ) -> None:
        self._take = take
        self._most = most
        self._burst = burst
        self._clock = machine.clock
        self._sleep = machine.sleep
        self._waiting: dict[K, V] = {}
        self._came = asyncio.Event()

    def put(self, key: K, value: V) -> bool:
        """Something was said of a key, in the place of what was; False where it is full."""
        if key not in self._waiting and len(self._waiting) >= self._most:
            return False
        self._waiting[key] = value
        self._came.set()
        return True

    def get(self, key: K) -> V | None:
        """What waits of a key; None where nothing does."""
        return self._waiting.get(key)

    async def run(self) -> None:
        """Hand on until cancelled."""
        while True:
            self._came.clear()
            while self._waiting:
                now = self._clock()
                if self._burst.ready > now:
                    await self._sleep(self._burst.ready - now)
                    continue
                self._burst.take(now)
                key = next(iter(self._waiting))
                self._take(key, self._waiting.pop(key))
            await self._came.wait()
