"""What operators are shown, gathered: the parts that know it, and who hears of changes.

On one event loop; nothing here waits but for a thread that sorts names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from otaflux.journal import Journal
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.overheard import Overheard
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.web.ops.attention import Attention
from otaflux.work.queue import WorkQueue

NAMES_HOLD = 2.0  # seconds that a sorted list of all devices is good for


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """See the module's docstring.

    `source` names the registry, `listed` says whether its listing was asked for once, `started` is
    when the server began (s since the epoch), and `overheard` has the log's last warnings.
    """

    catalog: Catalog
    roster: Roster
    journal: Journal
    queue: WorkQueue
    attention: Attention
    overheard: Overheard
    machine: Machine
    source: str
    prefix: str
    listed: Callable[[], bool]
    started: float

    def waiting(self) -> frozenset[Device]:
        """The devices that wait for their first look."""
        return self.roster.devices() - self.journal.tried


class Roll:
    """The names of all devices, sorted; made again at most every two seconds."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._clock = sight.machine.clock
        self._names: list[str] = []
        self._made_at = -NAMES_HOLD

    async def names(self) -> list[str]:
        """The list as it was a moment ago; not to be changed."""
        if self._clock() - self._made_at >= NAMES_HOLD:
            self._made_at = self._clock()
            there = self._sight.roster.devices()
            self._names = await self._sight.machine.in_thread(_sorted, there)
        return self._names


def _sorted(devices: frozenset[Device]) -> list[str]:
    return sorted(device.name for device in devices)
