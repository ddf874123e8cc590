"""Whose turn it is: the keys that wait, and which of them may begin now.

A key of higher priority goes first; who may not begin for a rate or an outage waits for that, and
who lacks nothing but a place may have one back that was lent. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable

from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.work.backoff import Burst, Outage, Pace
from otaflux.work.lines import Entry, Lines
from otaflux.work.runs import Runs
from otaflux.work.waiting import Waiting

RANKS = 1 + len(Priority)  # lines: fresh hooks, then one for each priority
AT_ONCE = 3  # runs of a key that may begin within its gap where they ask for that, and then no more
_FIRST_POLLS = 1 + Priority.FIRST_POLL


class Turns:
    """Takes keys out of `lines` and gives each its place among `runs`.

    Two runs of a key begin at least `gap` seconds apart, or sooner where the first asks for that,
    which it gets so that there is one a `gap` in the long run; re-checks keep to their rate and
    runs that only first polls asked for to theirs; in an `outage` one key at a time goes through.
    """

    def __init__(
        self,
        lines: Lines,
        runs: Runs,
        outage: Outage,
        *,
        gap: float,
        rechecks: Pace,
        first_polls: Burst,
        clock: Callable[[], float],
    ) -> None:
        self._lines = lines
        self._runs = runs
        self._outage = outage
        self._gap = gap
        self._rechecks = rechecks
        self._first_polls = first_polls
        self._clock = clock
        self._short: set[int] = set()  # lines in which somebody waits for nothing but a place
        self._began: dict[Device, float] = {}  # within the gap
        self._spent: dict[Device, Burst] = {}  # by runs that began lately

    @property
    def is_crowded(self) -> bool:
        """Whether keys wait for nothing but a place."""
        return bool(self._short)

    def due(self, now: float) -> list[Waiting]:
        """Take out of the lines who may run now, and give each its place."""
        for device in [d for d, began in self._began.items() if began + self._gap <= now]:
            del self._began[device]
        for device in [d for d, spent in self._spent.items() if spent.is_saved_up(now)]:
            del self._spent[device]
        self._lines.bring_in(now)
        self._short.clear()
        taken = [waiting for rank in range(RANKS) for waiting in self._take(rank, now)]
        if self._short - {_FIRST_POLLS}:
            self._call_back(now)
        else:
            taken += self._take(_FIRST_POLLS, now, lending=True)
        return taken

    def begins_after(self, device: Device, wait: float, now: float) -> None:
        """A key that ran may begin so many seconds from now, though that is within the gap.

        Under a storm of hooks each run asks for that, so it is not always given.
        """
        if wait < self._gap:
            spent = self._spent.get(device)
            begins = now + wait if spent is None else max(now + wait, spent.ready)
            self._began[device] = begins - self._gap

    def until_next(self, then: float) -> float | None:
        """Seconds until somebody may be due who was not `then`; None where a touch will tell."""
        times = [] if self._lines.next_time is None else [self._lines.next_time]
        if not self._lines.are_empty:  # they wait for the end of a run, or for one of these
            at_times = [*self._outage.times(), self._rechecks.ready, self._first_polls.ready]
            at_times += self._runs.callable_from() if self._short else []
            times += [at for at in at_times if at > then]
        return max(0.0, min(times) - self._clock()) if times else None

    def _take(self, rank: int, now: float, *, lending: bool = False) -> list[Waiting]:
        """Those of one line who may run now."""
        taken: list[Waiting] = []
        passed: list[Entry] = []
        while (waiting := self._lines.first(rank, now)) is not None:
            device = waiting.touch.device
            if device in self._runs:
                passed.append(self._lines.step_out(rank))
            elif device in self._began:
                self._lines.step_out(rank)
                waiting.ready = self._began[device] + self._gap
                self._lines.put(waiting, now)
            elif not self._may_begin(waiting, now):
                break
            elif self._runs.admits(waiting.priority, lending=lending):
                self._lines.step_out(rank)
                self._begin(waiting, now)
                taken.append(self._lines.remove(device))
            else:
                self._short.add(rank)
                break
        self._lines.rejoin(rank, passed)
        return taken

    def _call_back(self, now: float) -> None:
        """Have places back that were lent to first polls, for those who wait for one."""
        for rank in self._short - {_FIRST_POLLS}:
            at_once = rank <= 1 + Priority.HOOK
            self._runs.call_back(self._lines.length(rank), now, at_once=at_once)

    def _begin(self, waiting: Waiting, now: float) -> None:
        """Note that a key has its place from now on."""
        device, priority = waiting.touch.device, waiting.priority
        self._runs.take(device, priority, now)
        self._began[device] = now
        self._spent.setdefault(device, Burst(AT_ONCE, 1 / self._gap)).take(now)
        self._outage.begins(device, now)
        if priority is Priority.RECHECK:
            self._rechecks.take(now)
        elif priority is Priority.FIRST_POLL:
            self._first_polls.take(now)

    def _may_begin(self, waiting: Waiting, now: float) -> bool:
        """Whether this key may begin but for a place: in an outage one at a time, a hook's at once.

        Re-checks and first polls keep to their rates.
        """
        if not self._outage.may_try(now, urgent=waiting.urgent):
            return False
        if self._outage and waiting.priority is Priority.FIRST_POLL:
            return False  # what a stranger asks for is no sign that it answers
        if waiting.priority is Priority.RECHECK:
            return now >= self._rechecks.ready
        return waiting.priority is not Priority.FIRST_POLL or now >= self._first_polls.ready
