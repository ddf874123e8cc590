"""One key waits once, runs once at a time, and runs again if it was touched meanwhile.

The key is a device, the reason is a `Touch`; what a run does with them is the caller's. All of it
lives on one event loop, so there are no locks: between two awaits nothing else moves.

Who runs is decided in one place (`turns.Turns`). A touch of higher priority goes first; of two or
more places one is kept for hooks, first polls of unknown devices have a quarter, and more is lent
to them while nobody else waits (`runs.Runs`). A run that failed gives its place back at once and
its key waits, longer each time (`returns.Returns`); a fresh hook does not wait. Re-checks, also
those that failed and come again, begin no more often than their rate, and so do runs that only
first polls asked for, after a burst. When the registry as a whole is away (`Unreachable`), one key
at a time goes through, and the first that comes back opens the way for all (`backoff.Outage`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from otaflux.errors import OtaFluxError, Undecided
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.work.backoff import Backoff, Burst, Outage, Pace
from otaflux.work.lines import Lines
from otaflux.work.outcome import Failed, Outcome
from otaflux.work.returns import Returns
from otaflux.work.runs import Runs
from otaflux.work.turns import RANKS, Turns
from otaflux.work.waiting import Waiting

GAP = 0.25  # seconds between the beginnings of two runs of a key: a burst of hooks is one look


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
        self._clock = machine.clock
        self._runs = Runs(places)
        self._lines = Lines(RANKS)
        self._outage = Outage()
        self._turns = Turns(
            self._lines,
            self._runs,
            self._outage,
            gap=gap,
            rechecks=Pace(rate),
            first_polls=first_polls or Burst(),
            clock=machine.clock,
        )
        self._returns = Returns(
            self._lines,
            self._turns,
            self._outage,
            backoff=backoff or Backoff(),
            longest_wait=longest_wait,
            machine=machine,
        )
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait."""
        return len(self._lines)

    @property
    def running(self) -> int:
        """How many keys run."""
        return len(self._runs)

    def is_busy(self, device: Device) -> bool:
        """Whether a key runs or waits."""
        return device in self._runs or self._lines.get(device) is not None

    @property
    def is_crowded(self) -> bool:
        """Whether keys wait for nothing but a place."""
        return self._turns.is_crowded

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
            waiting = self._lines.enqueue(touch, now, now, urgent=urgent)
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
        self._returns.hurry()
        self._changed.set()

    def give_up(self, device: Device) -> None:
        """Take out a key that only first polls put in, and its failures; its future is cancelled.

        A key that anything else touched stays, and so does one that runs.
        """
        waiting = self._lines.get(device)
        if waiting is not None and waiting.polls_only:
            self._lines.remove(device)
            self._returns.forget(device)
            waiting.ended.cancel()

    async def run(self) -> None:
        """Let keys run until cancelled; those under way are cancelled with it."""
        async with asyncio.TaskGroup() as runs:
            while True:
                self._changed.clear()
                # One time for both: who is not due now is due later than now.
                now = self._clock()
                for taken in self._turns.due(now):
                    task = runs.create_task(self._run_one(taken), name=f"run {taken.touch.device}")
                    self._runs.begin(taken.touch.device, task)
                try:
                    async with asyncio.timeout(self._turns.until_next(now)):
                        await self._changed.wait()
                except TimeoutError:
                    continue

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
            self._returns.put_back(taken)
            return
        self._returns.settle(taken.touch, outcome, began)
        if not taken.ended.done():
            taken.ended.set_result(outcome)
