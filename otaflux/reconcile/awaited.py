"""What waits for its signature, by device, and since when. Soft memory on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Collection

from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag

What = Digest | Tag  # a manifest, or the tag of one that the registry withholds


class Awaited:
    """Of each device, what its last look found unsigned, and when that was found first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[Device, dict[What, float]] = {}

    def __contains__(self, device: object) -> bool:
        """Whether anything of the device waits."""
        return device in self._since

    def devices(self) -> frozenset[Device]:
        """All of which something waits."""
        return frozenset(self._since)

    def note(self, device: Device, missing: Collection[What], *, is_all: bool) -> tuple[float, ...]:
        """A look found that unsigned, and nothing else if that `is_all`.

        Returns how long each has been so, in seconds.
        """
        now, before = self._clock(), self._since.pop(device, {})
        found = {what: before.get(what, now) for what in missing}
        if not is_all:
            found = {**before, **found}
        if found:
            self._since[device] = found
        return tuple(now - since for since in self._since.get(device, {}).values())
