"""One key waits once, runs once at a time, and runs again if it was touched meanwhile.

The key is a device, the reason is a `Touch`; what a run does with them is the caller's. All of it
lives on one event loop, so there are no locks: between two awaits nothing else moves.

Who runs is decided in one place, here. A touch of higher priority goes first; of two or more places
one is kept for hooks, first polls of unknown devices have a quarter, and more is lent to them while
nobody else waits (`runs.Runs`). A run that failed gives its place back at once and its key waits,
longer each time, as the other side asked for or as `Backoff` says; a fresh hook does not wait.
Re-checks, also those that failed and come again, begin no more often than their rate, and so do
runs that only first polls asked for, after a burst. When the registry as a whole is away
(`Unreachable`), one key at a time goes through, and the first that comes back opens the way for all
(`backoff.Outage`).
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import assert_never

from otaflux.errors import OtaFluxError, Undecided, Unreachable
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.work.backoff import Backoff, Burst, Outage, Pace
from otaflux.work.lines import Entry, Lines
from otaflux.work.outcome import Again, Done, Failed, Outcome, Unasked
from otaflux.work.runs import Runs
from otaflux.work.waiting import Waiting

_RANKS = 1 + len(Priority)  # lines: fresh hooks, then one for each priority
_FIRST_POLLS = 1 + Priority.FIRST_POLL
GAP = 0.25  # seconds between the beginnings of two runs of a key: a burst of hooks is one look
MAX_RETRY_AFTER = 60.0  # seconds; what a registry asks for is honoured up to here


class WorkQueue:
    """Runs `work(touch)` for each key that was touched; see the module's docstring.

    `places` is the number of runs at once; no wait is longer than `longest_wait` seconds, two runs
    of a key begin at least `gap` seconds apart, and `rate` re-checks a second begin at most; runs
    that only first polls asked for begin as `first_polls` says.
    """

    def __init__(
        self,
        work: Callable[[Touch], Awaitable[Outcome]],
        *,
        places: int,
        longest_wait: float,
        rate: float = math.inf,
        gap: float = GAP,
        backoff: Backoff | None = None,
        first_polls: Burst | None = None,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._work = work
        self._runs = Runs(places)
        self._longest_wait = longest_wait
        self._gap = gap
        self._rechecks = Pace(rate)
        self._first_polls = first_polls or Burst()
        self._backoff = backoff or Backoff()
        self._clock = machine.clock
        self._chance = machine.chance
        self._order = itertools.count()
        self._lines = Lines(_RANKS)
        self._short: set[int] = set()  # lines in which somebody waits for nothing but a place
        self._began: dict[Device, float] = {}  # within the gap
        self._failures: Counter[Device] = Counter()
        self._outage = Outage()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait."""
        return len(self._lines)

    @property
    def running(self) -> int:
        """How many keys run."""
        return len(self._runs)

    @property
    def is_crowded(self) -> bool:
        """Whether keys wait for nothing but a place."""
        return bool(self._short)

    def step_aside(self, device: Device) -> None:
        """A run goes on and gives its place to others; whoever lets it do so bounds how many do."""
        self._runs.step_aside(device)
        self._changed.set()

    def step_back(self, device: Device) -> None:
        """A run counts again, though there may be too many then until some end."""
        self._runs.step_back(device)

    @property
    def unreachable(self) -> bool:
        """Whether the registry as a whole was away at the last try."""
        return bool(self._outage)

    def touch(self, touch: Touch) -> asyncio.Future[Outcome]:
        """Put a reason to its key; the future ends with the run that takes it.

        The future is shared by all who touch the key before that run: shield it. A fresh hook ends
        the key's wait; any other touch leaves it, so that a registry in trouble is not hammered.
        """
        now = self._clock()
        waiting = self._lines.get(touch.device)
        urgent = touch.priority is Priority.HOOK
        if waiting is None:
            waiting = self._put(touch, now, urgent=urgent)
        else:
            before = (waiting.rank, waiting.ready)
            waiting.add(touch)
            if urgent:
                waiting.urgent, waiting.ready = True, min(waiting.ready, now)
            if before != (waiting.rank, waiting.ready):
                self._lines.put(waiting, now)
        self._changed.set()
        return waiting.ended

    def hurry(self) -> None:
        """Whoever waits because its run failed waits no longer: what it failed at is another."""
        now = self._clock()
        for waiting in self._lines:
            if self._failures[waiting.touch.device] and waiting.ready > now:
                waiting.ready = now
                self._lines.put(waiting, now)
        self._changed.set()

    def give_up(self, device: Device) -> None:
        """Take out a key that only first polls put in, and its failures; its future is cancelled.

        A key that anything else touched stays, and so does one that runs.
        """
        waiting = self._lines.get(device)
        if waiting is not None and waiting.polls_only:
            self._lines.remove(device)
            self._failures.pop(device, None)
            waiting.ended.cancel()

    async def run(self) -> None:
        """Let keys run until cancelled; those under way are cancelled with it."""
        async with asyncio.TaskGroup() as runs:
            while True:
                self._changed.clear()
                # One time for both: who is not due now is due later than now.
                now = self._clock()
                for taken in self._due(now):
                    device = taken.touch.device
                    task = runs.create_task(self._run_one(taken), name=f"run {device}")
                    self._runs.begin(device, task)
                try:
                    async with asyncio.timeout(self._until_next(now)):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def _put(
        self, touch: Touch, ready: float, *, urgent: bool = False, outage: bool = False
    ) -> Waiting:
        ended = asyncio.get_running_loop().create_future()
        polls_only = touch.priority is Priority.FIRST_POLL
        waiting = Waiting(touch, next(self._order), ready, ended, urgent, outage, polls_only)
        self._lines.put(waiting, self._clock())
        return waiting

    def _due(self, now: float) -> list[Waiting]:
        """Take out of the lines who may run now, and give each its place."""
        for device in [d for d, began in self._began.items() if began + self._gap <= now]:
            del self._began[device]
        self._lines.bring_in(now)
        self._short.clear()
        taken = [waiting for rank in range(_RANKS) for waiting in self._take(rank, now)]
        if self._short - {_FIRST_POLLS}:
            self._call_back(now)
        else:
            taken += self._take(_FIRST_POLLS, now, lending=True)
        return taken

    def _take(self, rank: int, now: float, *, lending: bool = False) -> list[Waiting]:
        """The same of one line."""
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

    def _until_next(self, then: float) -> float | None:
        """Seconds until somebody may be due who was not `then`; None where a touch will tell."""
        times = [] if self._lines.next_time is None else [self._lines.next_time]
        if not self._lines.are_empty:  # they wait for the end of a run, or for one of these
            at_times = [*self._outage.times(), self._rechecks.ready, self._first_polls.ready]
            at_times += self._runs.callable_from() if self._short else []
            times += [at for at in at_times if at > then]
        return max(0.0, min(times) - self._clock()) if times else None

    async def _run_one(self, taken: Waiting) -> None:
        began = self._clock()
        device = taken.touch.device
        outcome: Outcome | None = None
        try:
            outcome = await self._work(taken.touch)
        except OtaFluxError as error:
            outcome = Failed(error)
        except Exception as error:  # noqa: BLE001 - a bug in one run must not end the others
            log.exception(Event.RUN_CRASHED, device=device.name)
            outcome = Failed(Undecided(f"a bug of OtaFlux: {type(error).__name__}"))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not self._runs.is_called_back(device) or task.uncancel():
                raise
        finally:
            self._runs.leave(device)
            self._outage.ends(device)
            self._changed.set()
        if outcome is None:
            self._put_back(taken)
            return
        self._settle(taken.touch, outcome, began)
        if not taken.ended.done():
            taken.ended.set_result(outcome)

    def _settle(self, touch: Touch, outcome: Outcome, began: float) -> None:
        """What a run's end means for its key and for the others."""
        match outcome:
            case Unasked():
                del self._failures[touch.device]
            case Done():
                del self._failures[touch.device]
                self._open()
            case Again(after, again, _):
                del self._failures[touch.device]
                self._open()
                if after < self._gap:  # it knows that what it waits for is that near
                    self._began[touch.device] = self._clock() + after - self._gap
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
        ready = self._clock() + wait
        later = self._lines.get(touch.device)
        if later is None:
            self._put(touch, ready, outage=outage)
            return
        later.put_before(touch)
        later.outage = outage
        if not later.urgent:
            later.ready = ready
        self._lines.put(later, self._clock())

    def _put_back(self, taken: Waiting) -> None:
        """A run was called back: its key waits as before, and whoever waits for it goes on."""
        later = self._lines.get(taken.touch.device)
        if later is None:
            taken.ready = self._clock()
            self._lines.put(taken, taken.ready)
            return
        later.put_before(taken.touch)
        later.pass_on(taken.ended)
        self._lines.put(later, self._clock())
