"""What the end of a run means: when its key comes back, and who else waits no longer.

On one event loop.
"""

from __future__ import annotations

from collections import Counter
from typing import assert_never

from otaflux.errors import Undecided, Unreachable
from otaflux.machine import Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.work.backoff import Backoff, Outage
from otaflux.work.lines import Lines
from otaflux.work.outcome import Again, Done, Failed, Outcome, Unasked
from otaflux.work.turns import Turns
from otaflux.work.waiting import Waiting

MAX_RETRY_AFTER = 60.0  # seconds; what a registry asks for is honoured up to here


class Returns:
    """Puts keys back into `lines` whose run failed, or that are worth another look.

    A key whose run failed waits, longer each time, as the other side asked for or as `backoff`
    says, never longer than `longest_wait` seconds.
    """

    def __init__(
        self,
        lines: Lines,
        turns: Turns,
        outage: Outage,
        *,
        backoff: Backoff,
        longest_wait: float,
        machine: Machine,
    ) -> None:
        self._lines = lines
        self._turns = turns
        self._outage = outage
        self._backoff = backoff
        self._longest_wait = longest_wait
        self._clock = machine.clock
        self._chance = machine.chance
        self._failures: Counter[Device] = Counter()

    def settle(self, touch: Touch, outcome: Outcome, began: float) -> None:
        """Take in how a run of a key ended that began then."""
        match outcome:
            case Unasked():
                del self._failures[touch.device]
            case Done():
                del self._failures[touch.device]
                self._open()
            case Again(after, again, _):
                del self._failures[touch.device]
                self._open()
                # It knows that what it waits for is that near.
                self._turns.begins_after(touch.device, after, self._clock())
                self._return(again, min(after, self._longest_wait))
            # A registry may err for names that strangers make up, and answer for the fleet's.
            case Failed(Unreachable() as error) if (
                self._outage or touch.priority is not Priority.FIRST_POLL
            ):
                now = self._clock()
                if self._outage.failed(began, now):  # none is what began before it
                    again_in = self._wait(self._outage.failures, error.retry_after)
                    self._outage.next_try = now + again_in
                self._return(touch, max(0.0, self._outage.next_try - now), outage=True)
            case Failed(error, within):
                if not isinstance(error, Unreachable):
                    self._open()
                self._failures[touch.device] += 1
                asked = error.retry_after if isinstance(error, Undecided) else None
                # Who keeps its release has time: ten thousand keys a minute would be no rate.
                most = self._longest_wait if touch.priority >= Priority.START else None
                wait = self._wait(self._failures[touch.device], asked, most)
                self._return(touch, wait if within is None else min(wait, within))
            case _:
                assert_never(outcome)

    def put_back(self, taken: Waiting) -> None:
        """A run was called back: its key waits as before, and whoever waits for it goes on."""
        later = self._lines.get(taken.touch.device)
        if later is None:
            taken.ready = self._clock()
            self._lines.put(taken, taken.ready)
            return
        later.put_before(taken.touch)
        later.pass_on(taken.ended)
        self._lines.put(later, self._clock())

    def hurry(self) -> None:
        """Whoever waits because its run failed waits no longer."""
        now = self._clock()
        for waiting in self._lines:
            if self._failures[waiting.touch.device] and waiting.ready > now:
                waiting.ready = now
                self._lines.put(waiting, now)

    def forget(self, device: Device) -> None:
        """A key's failures count no more."""
        self._failures.pop(device, None)

    def _wait(self, failures: int, asked: float | None, most: float | None = None) -> float:
        """Seconds until the next try: the backoff's or what was asked for, within the bounds."""
        wait = self._backoff.after(failures, self._chance, most=most)
        return min(max(wait, min(asked or 0.0, MAX_RETRY_AFTER)), self._longest_wait)

    def _open(self) -> None:
        """The registry answers: who waited for that alone waits no longer."""
        if not self._outage:
            return
        self._outage.over()
        now = self._clock()
        for waiting in self._lines:
            if waiting.outage:
                waiting.outage = False
                waiting.ready = min(waiting.ready, now)
                self._lines.put(waiting, now)

    def _return(self, touch: Touch, wait: float, *, outage: bool = False) -> None:
        """A touch goes back to its key, before what came to it meanwhile."""
        now = self._clock()
        later = self._lines.get(touch.device)
        if later is None:
            self._lines.enqueue(touch, now + wait, now, outage=outage)
            return
        later.put_before(touch)
        later.outage = outage
        if not later.urgent:
            later.ready = now + wait
        self._lines.put(later, now)
