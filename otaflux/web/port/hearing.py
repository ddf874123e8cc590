"""Units that polls name whose answers come from the request cache: remembered a moment later.

No answer waits for it, and it takes a bounded part of the time: a million units that poll every
five minutes are 3,300 polls a second, and above 5,000 a second those of some units count only at a
later poll. Nothing is decoded where the answer is given. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
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
        self._running: Counter[tuple[Device, bytes, int]] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def note(
        self, device: Device, told: str, status: int, unit: bytes, runs: bytes, says: bytes = b""
    ) -> None:
        """A unit polled, or one without a name that says what it runs.

        `says` is what it says to run where that was not cut out, and so is counted elsewhere.
        """
        if runs:
            self._running[device, runs, status] += 1
        if unit and len(self._polls) < MOST_WAITING:
            self._polls.append((device, told, unit, runs or says))
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(EVERY, self._some)

    def running(self) -> Counter[tuple[Device, str, int]]:
        """How often each version was said to run since the last time, by device and status."""
        running, self._running = self._running, Counter()
        return Counter(
            {(of, runs.decode("ascii"), status): n for (of, runs, status), n in running.items()}
        )

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
