"""Which tags are gone: two looks, some time apart, have to agree on it.

What a source lacks for a while is no proof: a registry that is being restored, and a proxy cache
whose upstream is away, list whole what is not all there. So the looks are `withdraw_after` apart,
with every look in between finding the same, or `BETWEEN_LOOKS` where a hook said that something was
deleted there. Of a source that says itself that it only caches another, nothing goes without that
word. A source that is authoritative (the embedded folder) needs one look only.

Soft memory: after a restart the looks are made again. A look that learnt nothing is none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from otaflux.model.names import Device, Tag

BETWEEN_LOOKS = 10.0  # seconds, at least: a registry that is being restored lists what it has yet


@dataclass(slots=True)
class _Missing:
    first: float
    last: float
    by_word: bool = False  # a hook said that something was deleted
    cached: bool = False  # what is missing from a cache may be there all the same


class Withdrawals:
    """The tags that were missing at a look, by device.

    `withdraw_after` is in seconds; below `BETWEEN_LOOKS` it counts as that.
    """

    def __init__(
        self,
        *,
        is_authoritative: bool,
        withdraw_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_authoritative = is_authoritative
        self._withdraw_after = max(withdraw_after, BETWEEN_LOOKS)
        self._clock = clock
        self._missing: dict[Device, dict[Tag, _Missing]] = {}

    def is_missing(
        self, device: Device, tag: Tag, *, by_word: bool, is_cache: bool = False
    ) -> None:
        """A look found a whole listing without the tag, and a 404 for its manifest.

        `by_word` says that a hook behind the look told of a deletion in that repository, `is_cache`
        that the source only caches what another has.
        """
        now = self._clock()
        missing = self._missing.setdefault(device, {}).setdefault(tag, _Missing(now, now))
        missing.last = now
        missing.by_word |= by_word
        missing.cached |= is_cache

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
            if missing.last >= missing.first + self._apart(missing)
        )

    def only(self, device: Device, served: Collection[Tag]) -> None:
        """No other tags are served any more, so nobody asks whether those are gone."""
        for tag in self._missing.get(device, {}).keys() - served:
            self.is_there(device, tag)

    def until_second_look(self, device: Device) -> float | None:
        """Seconds until the second look of a tag that a hook's word may end by then.

        The others wait for re-checks: a look of their own would be soon enough for none of them.
        """
        # Compared as `gone` does it, to the last digit: a look made then is one that settles it.
        waits = [
            missing.first + self._apart(missing) - missing.last
            for missing in self._missing.get(device, {}).values()
            if missing.by_word and missing.last < missing.first + self._apart(missing)
        ]
        return max(waits, default=None)

    def _apart(self, missing: _Missing) -> float:
        """Seconds that the first and the last look have to be apart."""
        if self._is_authoritative:
            return 0.0
        if missing.by_word:
            return BETWEEN_LOOKS
        return math.inf if missing.cached else self._withdraw_after
