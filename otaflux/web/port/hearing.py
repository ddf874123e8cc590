"""Units that polls name whose answers come from the request cache: remembered a moment later.

No answer waits for it, and it takes a bounded part of the time: a million units that poll every
five minutes are 3,300 polls a second, and above 5,000 a second those of some units count only at a
later poll. Nothing is decoded where the answer is given. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from otaflux.model.names import Device

# Of a device, a unit, what it says it runs, and what it is told; empty words where nobody said.
HeardUnit = Callable[[Device, str, str, str], object]

EVERY = 0.05  # seconds
AT_ONCE = 256  # polls, in a millisecond or so
MOST_WAITING = 20_000  # polls


def nobody(device: Device, unit: str, runs: str, told: str) -> None:
    """Nobody listens."""


class Hearing:
    """Polls by units with names; `heard` is called for each, soon."""

    def __init__(self, heard: HeardUnit = nobody) -> None:
        self._heard = heard
        self._polls: list[tuple[Device, str, bytes, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None

    def note(self, device: Device, told: str, unit: bytes, runs: bytes) -> None:
        """A unit polled; what it says it runs is empty where it does not say."""
        if len(self._polls) < MOST_WAITING:
            self._polls.append((device, told, unit, runs))
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(EVERY, self._some)

    def close(self) -> None:
        """Tell what waits, for the server ends."""
        while self._polls:
            self._tell()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _some(self) -> None:
        self._timer = None
        self._tell()
        if self._polls:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._some)

    def _tell(self) -> None:
        polls, self._polls = self._polls[:AT_ONCE], self._polls[AT_ONCE:]
        for device, told, unit, runs in polls:
            self._heard(device, unit.decode("ascii"), runs.decode("ascii"), told)
