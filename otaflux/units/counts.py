"""How many units of which device run which version, by the numbers that words have in the table.

On one thread at a time. What a change costs does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_NOTHING: Mapping[int, int] = {}


class VersionCounts:
    """The counts; device and version 0 are nobody's and nothing, and not counted."""

    def __init__(self) -> None:
        self._counts: dict[int, dict[int, int]] = {}

    def of(self, device: int) -> Mapping[int, int]:
        """How many units of a device run which version."""
        return self._counts.get(device, _NOTHING)

    def all(self) -> Iterator[tuple[int, int, int]]:
        """Each device, version, and how many of its units run it."""
        for device, versions in self._counts.items():
            for version, count in versions.items():
                yield device, version, count

    def add(self, device: int, version: int) -> None:
        """One more unit runs that."""
        if device and version:
            versions = self._counts.setdefault(device, {})
            versions[version] = versions.get(version, 0) + 1

    def take(self, device: int, version: int) -> None:
        """One unit less runs that."""
        if device and version:
            versions = self._counts[device]
            versions[version] -= 1
            if not versions[version]:
                del versions[version]
            if not versions:
                del self._counts[device]
