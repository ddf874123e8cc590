"""One key waits once, runs once at a time, and runs again if it was touched meanwhile.

The key is a device, the reason is a `Touch`; what a run does with them is the caller's. All of it
lives on one event loop, so there are no locks: between two awaits nothing else moves.

Who runs is decided in one place, here. A touch of higher priority goes first; of two or more places
one is kept for hooks, and first polls of unknown devices have a quarter. A run that failed gives
its place back at once and its key waits, longer each time, as the other side asked for or as
`Backoff` says; a fresh hook does not wait. Re-checks, also those that failed and come again, begin
no more often than their rate. When the registry as a whole is away (`Unreachable`), one key at a
time goes through, and the first that comes back opens the way for all (`backoff.Outage`).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from otaflux.errors import OtaFluxError, Undecided, Unreachable
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.work.backoff import Backoff, Outage, Pace
from otaflux.work.places import Places
from otaflux.work.waiting import Waiting

_RANKS = 1 + len(Priority)  # lines: fresh hooks, then one for each priority
GAP = 0.25  # seconds between the beginnings of two runs of a key: a burst of hooks is one look
MAX_RETRY_AFTER = 60.0  # seconds; what a registry asks for is honoured up to here


@dataclass(frozen=True, slots=True)
class Done:
    """The device is as the source says."""


@dataclass(frozen=True, slots=True)
class Again:
    """Settled for now; worth another look after so many seconds, for that reason."""

    after: float
    touch: Touch


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was learnt, or not all; the touch goes back to its key.

    `within` is how many seconds it may wait there at most, where it was learnt that something else
    is due by then.
    """

    error: OtaFluxError
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Unasked:
    """There was nothing to ask the source, so this says nothing of it."""


Outcome = Done | Again | Failed | Unasked


class WorkQueue:
    """Runs `work(touch)` for each key that was touched; see the module's docstring.

    `places` is the number of runs at once; no wait is longer than `longest_wait` seconds, two runs
    of a key begin at least `gap` seconds apart, and `rate` re-checks a second begin at most.
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
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._work = work
        self._places = Places(places)
        self._longest_wait = longest_wait
        self._gap = gap
        self._rechecks = Pace(rate)
        self._backoff = backoff or Backoff()
        self._clock = machine.clock
        self._chance = machine.chance
        self._order = itertools.count()
        self._waiting: dict[Device, Waiting] = {}
        self._lines: tuple[list[tuple[int, Device]], ...] = tuple([] for _ in range(_RANKS))
        self._later: list[tuple[float, int, Device]] = []
        self._running: dict[Device, Priority] = {}
        self._aside: set[Device] = set()  # of those that run, who gave their place to others
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
        return len(self._running)

    @property
    def is_crowded(self) -> bool:
        """Whether keys wait whose time has come."""
        return any(self._lines)

    def step_aside(self, device: Device) -> None:
        """A run goes on and gives its place to others; whoever lets it do so bounds how many do."""
        if device in self._running:
            self._aside.add(device)
            self._changed.set()

    def step_back(self, device: Device) -> None:
        """A run counts again, though there may be too many then until some end."""
        self._aside.discard(device)

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
            waiting.touch += touch
            waiting.polls_only &= touch.priority is Priority.FIRST_POLL
            if urgent:
                waiting.urgent, waiting.ready = True, min(waiting.ready, now)
            if before != (waiting.rank, waiting.ready):
                self._enqueue(waiting)
        self._changed.set()
        return waiting.ended

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
                    runs.create_task(self._run_one(taken), name=f"run {taken.touch.device}")
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
        taken: list[Waiting] = []
        for rank, line in enumerate(self._lines):
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
                elif device in self._running:
                    passed.append(heapq.heappop(line))
                elif device in self._began:
                    heapq.heappop(line)
                    waiting.ready = self._began[device] + self._gap
                    self._enqueue(waiting)
                elif self._admits(waiting, now):
                    heapq.heappop(line)
                    self._begin(waiting.touch, now)
                    taken.append(self._waiting.pop(device))
                else:
                    break
            for entry in passed:
                heapq.heappush(line, entry)
        return taken

    def _bring_in(self, now: float) -> None:
        """Put into the lines whose time has come; forget runs that began long enough ago."""
        for device in [d for d, began in self._began.items() if began + self._gap <= now]:
            del self._began[device]
        while self._later and self._later[0][0] <= now:
            _, order, device = heapq.heappop(self._later)
            waiting = self._waiting.get(device)
            if waiting is not None and waiting.order == order and waiting.ready <= now:
                self._enqueue(waiting)

    def _begin(self, touch: Touch, now: float) -> None:
        """Note that a key has its place from now on."""
        self._running[touch.device] = touch.priority
        self._began[touch.device] = now
        self._outage.begins(touch.device, now)
        if touch.priority is Priority.RECHECK:
            self._rechecks.take(now)

    def _admits(self, waiting: Waiting, now: float) -> bool:
        """Whether this key may have a place: during an outage one at a time, a hook's at once."""
        if not self._outage.may_try(now, urgent=waiting.urgent):
            return False
        priority = waiting.touch.priority
        if priority is Priority.RECHECK and now < self._rechecks.ready:
            return False
        busy = Counter(p for device, p in self._running.items() if device not in self._aside)
        return self._places.admit(priority, busy)

    def _until_next(self, then: float) -> float | None:
        """Seconds until somebody may be due who was not `then`; None where a touch will tell."""
        times = [self._later[0][0]] if self._later else []
        if any(self._lines):  # they wait for the end of a run, or for one of these
            times += [at for at in (*self._outage.times(), self._rechecks.ready) if at > then]
        return max(0.0, min(times) - self._clock()) if times else None

    async def _run_one(self, taken: Waiting) -> None:
        began = self._clock()
        outcome: Outcome
        try:
            outcome = await self._work(taken.touch)
        except OtaFluxError as error:
            outcome = Failed(error)
        except Exception as error:  # noqa: BLE001 - a bug in one run must not end the others
            log.exception(Event.RUN_CRASHED, device=taken.touch.device.name)
            outcome = Failed(Undecided(f"a bug of OtaFlux: {type(error).__name__}"))
        finally:
            del self._running[taken.touch.device]
            self._aside.discard(taken.touch.device)
            self._outage.ends(taken.touch.device)
            self._changed.set()
        self._settle(taken.touch, outcome, began)
        if not taken.ended.done():
            taken.ended.set_result(outcome)

    def _settle(self, touch: Touch, outcome: Outcome, began: float) -> None:
        """What a run's end means for its key and for the others."""
        match outcome:
            case Unasked():
                del self._failures[touch.device]
            case Done():
                self._came_back(touch.device)
            case Again(after, again):
                self._came_back(touch.device)
                if after < self._gap:  # it knows that what it waits for is that near
                    self._began[touch.device] = self._clock() + after - self._gap
                self._return(again, min(after, self._longest_wait))
            case Failed(Unreachable() as error):
                self._went_away(began, error.retry_after)
                wait = max(0.0, self._outage.next_try - self._clock())
                self._return(touch, wait, outage=True)
            case Failed(error, within):
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

    def _went_away(self, began: float, asked: float | None) -> None:
        """Count an outage's failed tries; runs that began before it say nothing new."""
        now = self._clock()
        if self._outage.failed(began, now):
            self._outage.next_try = now + self._wait(self._outage.failures, asked)

    def _came_back(self, device: Device) -> None:
        del self._failures[device]
        self._open()

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
        later.touch = touch + later.touch
        later.polls_only &= touch.priority is Priority.FIRST_POLL
        later.outage = outage
        if not later.urgent:
            later.ready = ready
        self._enqueue(later)
