"""Which tags are gone: two looks, some time apart, have to agree on it.

Soft memory: after a restart the looks are made again. A source that is authoritative (the
embedded folder) needs one look only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from otaflux.model.names import Device, Tag

BETWEEN_LOOKS = 10.0  # seconds, at least: a registry that is being restored lists what it has yet


@dataclass(slots=True)
class _Missing:
    first: float
    last: float
    by_hook: bool


class Withdrawals:
    """The tags that were missing at a look, by device."""

    def __init__(
        self, *, is_authoritative: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._apart = 0.0 if is_authoritative else BETWEEN_LOOKS
        self._clock = clock
        self._missing: dict[Device, dict[Tag, _Missing]] = {}

    def is_missing(self, device: Device, tag: Tag, *, by_hook: bool) -> None:
        """A look found a whole listing without the tag, and a 404 for its manifest."""
        now = self._clock()
        missing = self._missing.setdefault(device, {}).setdefault(
            tag, _Missing(now, now, by_hook=by_hook)
        )
        missing.last = now
        missing.by_hook |= by_hook

    def is_there(self, device: Device, tag: Tag) -> None:
        """A look found the tag, in the listing or by its manifest: begin anew."""
        missing = self._missing.get(device, {})
        missing.pop(tag, None)
        if not missing:
            self._missing.pop(device, None)

    def gone(self, device: Device) -> frozenset[Tag]:
        """The tags that two looks, far enough apart, found missing."""
        return frozenset(
            tag
            for tag, missing in self._missing.get(device, {}).items()
            if missing.last - missing.first >= self._apart
        )

    def only(self, device: Device, served: Collection[Tag]) -> None:
        """No other tags are served any more, so nobody asks whether those are gone."""
        for tag in self._missing.get(device, {}).keys() - served:
            self.is_there(device, tag)

    def until_second_look(self, device: Device) -> float | None:
        """Seconds until the second look of a tag that a hook asked to look for."""
        waits = [
            missing.first + self._apart - missing.last
            for missing in self._missing.get(device, {}).values()
            if missing.by_hook and missing.last - missing.first < self._apart
        ]
        return max(0.0, *waits) if waits else None
