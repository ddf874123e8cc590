"""Who waits how long: for a rate, after a failure, and all together while nobody answers.

Pure, but for what an outage remembers of itself. Times are seconds of one clock that never goes
back.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import msgspec

from otaflux.model.names import Device

MADE_UP = 0.25  # seconds: a loop that was busy once does not slow a round
FIRST_POLLS = 300  # runs that only first polls asked for, before they have their rate
FIRST_POLLS_RATE = 5.0  # a second: what a registry says of a whole address would meet hooks too
PROBE = 5.0  # seconds; a pull that streams for an hour must not keep all others from trying


class Backoff(msgspec.Struct, frozen=True):
    """How long a key waits after its nth failure in a row, in seconds; data, so tests pass fast."""

    first: float = 1.0
    factor: float = 2.0
    most: float = 60.0
    jitter: float = 0.25

    def after(self, failures: int, chance: random.Random, *, most: float | None = None) -> float:
        """The wait after `failures` (1 and up), spread by the jitter so that keys part."""
        wait = min(most or self.most, self.first * self.factor ** min(failures - 1, 32))
        return wait * chance.uniform(1 - self.jitter, 1 + self.jitter)


class Pace:
    """No more than `rate` a second; beginning late once, by up to `MADE_UP`, is made up for."""

    def __init__(self, rate: float) -> None:
        self._between = 1 / rate
        self.ready = -math.inf  # when the next may begin

    def take(self, now: float) -> None:
        """One begins now."""
        made_up = MADE_UP if self.ready > -math.inf else 0.0
        self.ready = max(self.ready, now - made_up) + self._between


class Burst:
    """`most` at once, and then no more than `rate` a second; who waits saves up for a burst."""

    def __init__(self, most: int = FIRST_POLLS, rate: float = FIRST_POLLS_RATE) -> None:
        self._between = 1 / rate
        self._saved = (most - 1) * self._between
        self._full = -math.inf  # when all that was taken is saved up again

    @property
    def ready(self) -> float:
        """When the next may begin."""
        return self._full - self._saved

    def is_saved_up(self, now: float) -> bool:
        """Whether there may be a whole burst now."""
        return self._full <= now

    def take(self, now: float) -> None:
        """One begins now."""
        self._full = max(self._full, now) + self._between


@dataclass(slots=True)
class Outage:
    """Whether the other side as a whole is away, and who may try meanwhile: one at a time.

    Who tries for longer than `PROBE` learnt nothing yet, and does not keep the next from trying.
    `failures` counts failed tries in a row; `next_try` is when all but urgent ones may try again.
    """

    failures: int = 0
    next_try: float = 0.0
    _since: float = 0.0
    _tries: dict[Device, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.failures > 0

    def may_try(self, now: float, *, urgent: bool) -> bool:
        """Whether one more key may go through; always, where there is no outage."""
        if not self.failures:
            return True
        return now >= (self._tried() if urgent else max(self._tried(), self.next_try))

    def begins(self, device: Device, now: float) -> None:
        """A key goes through."""
        if self.failures:
            self._tries[device] = now

    def ends(self, device: Device) -> None:
        """It came back, whatever it learnt."""
        self._tries.pop(device, None)

    def failed(self, began: float, now: float) -> bool:
        """A try that began then found nobody; whether that is news: none is what began before."""
        if not self.failures:
            self._since = now
        elif began < self._since:
            return False
        self.failures += 1
        return True

    def over(self) -> None:
        """Somebody answered."""
        self.failures = 0

    def times(self) -> tuple[float, ...]:
        """When somebody may try who may not now."""
        return (self._tried(), self.next_try) if self.failures else ()

    def _tried(self) -> float:
        """When the last who tries now has had his time."""
        return max(self._tries.values(), default=-math.inf) + PROBE
