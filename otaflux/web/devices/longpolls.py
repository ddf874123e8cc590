"""Requests that wait until something else is told of a device; see also `port/parked.py`.

On the event loop. Each is a task with its frames, so they are bounded, and a change wakes them some
at a time, so that other polls do not wait meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.web.waking import Waking

MOST = 10_000  # that wait; who comes then is answered at once
AT_ONCE = 10  # that are woken in one go, in some three milliseconds


class LongPolls:
    """Hears of each record as it changes."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._waiting = 0
        self._ended = asyncio.Event()
        self._of: dict[Device, dict[asyncio.Future[None], None]] = {}
        self._waking: Waking[asyncio.Future[None]] = Waking(_end, at_once=AT_ONCE)

    def hear(self, device: Device, record: Record | None) -> None:
        """A record changed: whoever waits looks again."""
        self._waking.add(self._of.pop(device, ()))

    def close(self) -> None:
        """Let nobody wait any more, for the server ends."""
        self._ended.set()
        for device in list(self._of):
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
                    await self._change(device)
                    if self._ended.is_set() or await is_other():
                        return
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def _change(self, device: Device) -> None:
        """The next change of a device."""
        change = asyncio.get_running_loop().create_future()
        self._of.setdefault(device, {})[change] = None
        try:
            await change
        finally:
            others = self._of.get(device)
            if others is not None and others.pop(change, change) is None and not others:
                del self._of[device]


def _end(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)
