"""What operators are shown, gathered: the parts that know it, and who hears of changes.

On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from otaflux.errors import Undecided, Unreachable
from otaflux.journal import Journal
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.overheard import Overheard
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.units.units import Units
from otaflux.web.ops.attention import Attention, Fault, FaultKind
from otaflux.work.queue import WorkQueue

MOST_VERSIONS = 20  # versions that units of one device say they run
NAMES_HOLD = 2.0  # seconds that a sorted list of all devices is good for


class Roll:
    """The names of all devices, and of those that wait; made again at most each two seconds.

    By name and not by device, for names are hashed once: with twenty thousand devices that is a few
    milliseconds instead of thirty.
    """

    def __init__(self, roster: Roster, journal: Journal, machine: Machine) -> None:
        self._roster = roster
        self._journal = journal
        self._clock = machine.clock
        self._in_thread = machine.in_thread
        self._there: set[str] = set()
        self._sorted: list[str] | None = []
        self._made_at = -NAMES_HOLD

    @property
    def count(self) -> int:
        """How many devices there are."""
        self._look()
        return len(self._there)

    @property
    def waiting(self) -> set[str]:
        """Those that wait for their first look."""
        self._look()
        return self._there - self._journal.tried

    async def names(self) -> list[str]:
        """All of them, in their order; not to be changed."""
        self._look()
        names = self._sorted
        if names is None:
            made: list[str] = await self._in_thread(sorted, self._there)
            names = self._sorted = made
        await asyncio.sleep(0)  # what was looked up took its time
        return names

    def _look(self) -> None:
        if self._clock() - self._made_at < NAMES_HOLD:
            return
        self._made_at = self._clock()
        there = self._roster.names()
        if there != self._there:
            self._there, self._sorted = there, None


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """See the module's docstring.

    `source` names the registry, `listed` says whether its listing was asked for once,
    `listing_failure` why it was not answered the last time, `started` is when the server began
    (s since the epoch), and `overheard` has the log's last warnings. `roll` has all devices'
    names.
    """

    catalog: Catalog
    roster: Roster
    roll: Roll
    journal: Journal
    units: Units
    queue: WorkQueue
    attention: Attention
    overheard: Overheard
    machine: Machine
    source: str
    prefix: str
    listed: Callable[[], bool]
    listing_failure: Callable[[], Undecided | None]
    started: float

    @property
    def registry_away(self) -> bool:
        """Whether the registry as a whole does not answer, as far as anybody asked it lately.

        While no device is known its listing is all that is asked for.
        """
        if self.queue.unreachable:
            return True
        return not self.roll.count and isinstance(self.listing_failure(), Unreachable)

    def units_running(self, device: Device) -> dict[str, int]:
        """How many units of a device say that they run which version, the most common first."""
        counts = sorted(self.units.running(device).items(), key=lambda item: -item[1])
        most = dict(counts[:MOST_VERSIONS])
        others = sum(count for _, count in counts[MOST_VERSIONS:])
        return most | {"other": others} if others else most

    def nobody(self) -> Fault | None:
        """That no device is known at all, once the registry was asked; None where one is."""
        if self.roll.count or not self.listed():
            return None
        failure = self.listing_failure()
        if failure is not None:
            reason = f"{self.source} does not say which devices there are: {failure}"
            return Fault(FaultKind.NOBODY, reason, failure.hint or "`otaflux check` tries it")
        where = f"{self.source}, below {self.prefix}/" if self.prefix else self.source
        return Fault(
            FaultKind.NOBODY,
            f"neither DEVICES nor the catalog names a device, no hook did, and nothing is listed at"
            f" {where}",
            "Push a release, such as `otaflux push DEVICE:1.0.0 FILE`; if there are some, is"
            " REPOSITORY_PREFIX right? `otaflux check` tries it",
        )
