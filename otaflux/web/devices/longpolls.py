"""Requests that wait until something else is told of a device; see also `port/parked.py`.

On the event loop. Each is a task with its frames, so they are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from otaflux.model.names import Device
from otaflux.model.record import Record

MOST = 2000  # that wait; who comes then is answered at once


class LongPolls:
    """Hears of each record as it changes."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._waiting = 0
        self._ended = asyncio.Event()
        self._next: dict[Device, asyncio.Future[None]] = {}

    def hear(self, device: Device, record: Record | None) -> None:
        """A record changed: whoever waits looks again."""
        change = self._next.pop(device, None)
        if change is not None and not change.done():
            change.set_result(None)

    def close(self) -> None:
        """Let nobody wait any more, for the server ends."""
        self._ended.set()
        for device in list(self._next):
            self.hear(device, None)

    async def until(
        self, device: Device, seconds: float, is_other: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return once `is_other` after a change of the device, or so many seconds are over."""
        if self._waiting >= self._most or self._ended.is_set():
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while True:
                    change = self._next.get(device)
                    if change is None:
                        change = self._next[device] = asyncio.get_running_loop().create_future()
                    await asyncio.shield(change)
                    if self._ended.is_set() or await is_other():
                        return
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
