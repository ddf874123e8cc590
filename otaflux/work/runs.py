"""Who runs now, and whose place is only lent.

Places that nobody else wants are lent to first polls of unknown devices, beyond their quarter. A
lent place is called back where somebody else waits for one: for a hook at once, else once its run
had `LENT_FOR`, so that quick ones end in peace. Whoever is called back is cancelled and waits
again. All on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.work.places import LENT_FOR, Places


@dataclass(slots=True)
class _Run:
    """One run; `task` is None until it begins in the next step of the loop."""

    priority: Priority
    began: float
    task: asyncio.Task[None] | None = None
    called_back: bool = False
    is_aside: bool = False  # it goes on, and its place is another's


class Runs:
    """The devices that run, at most `total` at once."""

    def __init__(self, total: int) -> None:
        self._places = Places(total)
        self._runs: dict[Device, _Run] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, device: object) -> bool:
        """Whether the device runs."""
        return device in self._runs

    def admits(self, priority: Priority, *, lending: bool = False) -> bool:
        """Whether there is a place for one more, or one to lend."""
        busy = Counter(run.priority for run in self._runs.values() if not run.is_aside)
        return self._places.admit(priority, busy, lending=lending)

    def take(self, device: Device, priority: Priority, now: float) -> None:
        """A device has a place from now on."""
        self._runs[device] = _Run(priority, now)

    def begin(self, device: Device, task: asyncio.Task[None]) -> None:
        """What runs in its place, and can be called back."""
        self._runs[device].task = task

    def is_called_back(self, device: Device) -> bool:
        """Whether the place of a run was called back."""
        return self._runs[device].called_back

    def step_aside(self, device: Device) -> None:
        """A run goes on without a place, if it runs still."""
        if device in self._runs:
            self._runs[device].is_aside = True

    def step_back(self, device: Device) -> None:
        """It counts again, though there may be too many then."""
        if device in self._runs:
            self._runs[device].is_aside = False

    def leave(self, device: Device) -> None:
        """A run ended."""
        del self._runs[device]

    def call_back(self, wanted: int, now: float, *, at_once: bool) -> None:
        """Have so many lent places back, as far as there are; who began last gives first."""
        lent = self._lent()
        wanted -= sum(run.called_back for run in lent)
        for run in reversed(lent):
            if wanted > 0 and not run.called_back and (at_once or now - run.began >= LENT_FOR):
                run.called_back = run.task.cancel() if run.task is not None else False
                wanted -= run.called_back

    def callable_from(self) -> list[float]:
        """When each lent place that was not called back can be."""
        return [run.began + LENT_FOR for run in self._lent() if not run.called_back]

    def _lent(self) -> list[_Run]:
        """The runs beyond what first polls have for themselves, in the order they began."""
        runs = (run for run in self._runs.values() if not run.is_aside)
        polls = [run for run in runs if run.priority is Priority.FIRST_POLL]
        return polls[self._places.for_first_polls :]
