"""What somebody says of units, and nobody can tell who it was: which action each closed well.

It is kept apart from what units said themselves, for it may be false, and forgotten at the end. On
one event loop.
"""

from __future__ import annotations

from otaflux.boundedmap import BoundedMap
from otaflux.model.names import Device

MOST = 10_000  # units of which something is said; what was said longest ago is forgotten first


class Rumours:
    """The last action that each unit is said to have closed, of `most` units."""

    def __init__(self, most: int = MOST) -> None:
        self._actions: BoundedMap[tuple[Device, str], int] = BoundedMap(most)

    def note(self, device: Device, unit: str, action: int) -> None:
        """A unit is said to have closed an action well."""
        self._actions.put((device, unit), action)

    def of(self, device: Device, unit: str) -> int:
        """The action that a unit is said to have closed; 0 for none."""
        return self._actions.get((device, unit)) or 0
