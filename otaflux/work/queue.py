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
import heapq
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
        self._waiting: dict[Device, Waiting] = {}
        self._lines: tuple[list[tuple[int, Device]], ...] = tuple([] for _ in range(_RANKS))
        self._later: list[tuple[float, int, Device]] = []
        self._short: set[int] = set()  # lines in which somebody waits for nothing but a place
        self._began: dict[Device, float] = {}  # within the gap
        self._failures: Counter[Device] = Counter()
        self._outage = Outage()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many keys run."""
        return len(self._runs)

    @property
    def is_crowded(self) -> bool:
        """Whether keys wait whose time has come."""
        return any(self._lines)

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
        waiting = self._waiting.get(touch.device)
        urgent = touch.priority is Priority.HOOK
        if waiting is None:
            waiting = self._put(touch, now, urgent=urgent)
        else:
            before = (waiting.rank, waiting.ready)
            waiting.add(touch)
            if urgent:
                waiting.urgent, waiting.ready = True, min(waiting.ready, now)
            if before != (waiting.rank, waiting.ready):
                self._enqueue(waiting)
        self._changed.set()
        return waiting.ended

    def hurry(self) -> None:
        """Whoever waits because its run failed waits no longer: what it failed at is another."""
        now = self._clock()
        for device, waiting in self._waiting.items():
            if self._failures[device] and waiting.ready > now:
                waiting.ready = now
                self._enqueue(waiting)
        self._changed.set()

    def give_up(self, device: Device) -> None:
        """Take out a key that only first polls put in, and its failures; its future is cancelled.

        A key that anything else touched stays, and so does one that runs.
        """
        waiting = self._waiting.get(device)
        if waiting is not None and waiting.polls_only:
            del self._waiting[device]
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
        self._waiting[touch.device] = waiting
        self._enqueue(waiting)
        return waiting

    def _enqueue(self, waiting: Waiting) -> None:
        """Put a key where its time and rank say; where it stood before, it is stale."""
        if waiting.ready > self._clock():
            heapq.heappush(self._later, (waiting.ready, waiting.order, waiting.touch.device))
        else:
            line = self._lines[waiting.rank]
            heapq.heappush(line, (waiting.order, waiting.touch.device))

    def _due(self, now: float) -> list[Waiting]:
        """Take out of the lines who may run now, and give each its place."""
        self._bring_in(now)
        self._short.clear()
        taken = [waiting for rank in range(_RANKS) for waiting in self._take(rank, now)]
        if self._short - {_FIRST_POLLS}:
            self._call_back(now)
        else:
            taken += self._take(_FIRST_POLLS, now, lending=True)
        return taken

    def _take(self, rank: int, now: float, *, lending: bool = False) -> list[Waiting]:
        """The same of one line."""
        line = self._lines[rank]
        taken: list[Waiting] = []
        passed: list[tuple[int, Device]] = []
        while line:
            order, device = line[0]
            waiting = self._waiting.get(device)
            if (
                waiting is None
                or (waiting.order, waiting.rank) != (order, rank)
                or waiting.ready > now
            ):
                heapq.heappop(line)  # it stands elsewhere, or not at all
            elif device in self._runs:
                passed.append(heapq.heappop(line))
            elif device in self._began:
                heapq.heappop(line)
                waiting.ready = self._began[device] + self._gap
                self._enqueue(waiting)
            elif not self._may_begin(waiting, now):
                break
            elif self._runs.admits(waiting.priority, lending=lending):
                heapq.heappop(line)
                self._begin(waiting, now)
                taken.append(self._waiting.pop(device))
            else:
                self._short.add(rank)
                break
        for entry in passed:
            heapq.heappush(line, entry)
        return taken

    def _call_back(self, now: float) -> None:
        """Have places back that were lent to first polls, for those who wait for one."""
        for rank in self._short - {_FIRST_POLLS}:
            at_once = rank <= 1 + Priority.HOOK
            self._runs.call_back(len(self._lines[rank]), now, at_once=at_once)

    def _bring_in(self, now: float) -> None:
        """Put into the lines whose time has come; forget runs that began long enough ago."""
        for device in [d for d, began in self._began.items() if began + self._gap <= now]:
            del self._began[device]
        while self._later and self._later[0][0] <= now:
            _, order, device = heapq.heappop(self._later)
            waiting = self._waiting.get(device)
            if waiting is not None and waiting.order == order and waiting.ready <= now:
                self._enqueue(waiting)

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
        times = [self._later[0][0]] if self._later else []
        if any(self._lines):  # they wait for the end of a run, or for one of these
            times += [at for at in self._times() if at > then]
        return max(0.0, min(times) - self._clock()) if times else None

    def _times(self) -> list[float]:
        """When something changes for those who stand in a line, but for the end of a run."""
        times = [*self._outage.times(), self._rechecks.ready, self._first_polls.ready]
        return times + self._runs.callable_from() if self._short else times

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
            case Failed(Unreachable() as error) if not self._is_strangers(touch):
                self._went_away(began, error.retry_after)
                wait = max(0.0, self._outage.next_try - self._clock())
                self._return(touch, wait, outage=True)
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

    def _is_strangers(self, touch: Touch) -> bool:
        """Whether a failure counts for its key alone: nobody but polls ever asked for it.

        A registry may err for names that strangers make up, and answer for the fleet's.
        """
        return touch.priority is Priority.FIRST_POLL and not self._outage

    def _went_away(self, began: float, asked: float | None) -> None:
        """Count an outage's failed tries; runs that began before it say nothing new."""
        now = self._clock()
        if self._outage.failed(began, now):
            self._outage.next_try = now + self._wait(self._outage.failures, asked)

    def _open(self) -> None:
        """The registry answers: who waited for that alone waits no longer."""
        if not self._outage:
            return
        self._outage.over()
        now = self._clock()
        for waiting in self._waiting.values():
            if waiting.outage:
                waiting.outage = False
                waiting.ready = min(waiting.ready, now)
                self._enqueue(waiting)

    def _return(self, touch: Touch, wait: float, *, outage: bool = False) -> None:
        """A touch goes back to its key, before what came to it meanwhile."""
        ready = self._clock() + wait
        later = self._waiting.get(touch.device)
        if later is None:
            self._put(touch, ready, outage=outage)
            return
        later.put_before(touch)
        later.outage = outage
        if not later.urgent:
            later.ready = ready
        self._enqueue(later)

    def _put_back(self, taken: Waiting) -> None:
        """A run was called back: its key waits as before, and whoever waits for it goes on."""
        later = self._waiting.get(taken.touch.device)
        if later is None:
            taken.ready = self._clock()
            self._waiting[taken.touch.device] = taken
            self._enqueue(taken)
            return
        later.put_before(taken.touch)
        later.pass_on(taken.ended)
        self._enqueue(later)
