"""Polls that were answered, counted by kind, on their way to the observer some at a time.

A server of 100,000 devices may have answered ten thousand kinds in a second, and whoever counts
them takes some microseconds for each: others have their turn in between.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus

from otaflux.model.names import Device
from otaflux.web.observer import Observer, Polled, Said
from otaflux.web.port.cachedanswer import CachedAnswer

AT_ONCE = 100  # kinds, a millisecond or so
STEPS = 64  # at most, however many kinds there are: what is told too slowly would pile up


class PollCounts:
    """What is to be told: `answered` and `put_off` take each poll, as it came out."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._answers: list[CachedAnswer] = []
        self._refusals: list[CachedAnswer] = []
        self._said: dict[tuple[Device, bytes], int] = {}
        self._polls: list[tuple[CachedAnswer, int, int]] = []
        self._versions: list[tuple[tuple[Device, bytes], int]] = []
        self._at_once = AT_ONCE
        self.answered = self._answers.append
        self.put_off = self._refusals.append

    def said(self, device: Device, runs: bytes) -> None:
        """A unit said what it runs in a request that is remembered without it."""
        said = (device, runs)
        self._said[said] = self._said.get(said, 0) + 1

    def gather(self) -> None:
        """Have all that was noted until now told."""
        answered, refused = Counter(self._answers), Counter(self._refusals)
        self._answers.clear()
        self._refusals.clear()
        busy = HTTPStatus.SERVICE_UNAVAILABLE.value
        self._polls += [(known, count, known.status) for known, count in answered.items()]
        self._polls += [(known, count, busy) for known, count in refused.items()]
        self._versions += self._said.items()
        self._said = {}
        self._at_once = max(AT_ONCE, 1 + max(len(self._polls), len(self._versions)) // STEPS)

    def tell_some(self) -> bool:
        """Tell of a few kinds; whether there are more."""
        most = self._at_once
        polled: Counter[Polled] = Counter()
        said: Counter[Said] = Counter()
        for known, count, status in self._polls[-most:]:
            if known.device is None:
                continue
            polled[known.device, status] += count
            if known.says:
                said[known.device, known.says.decode("ascii")] += count
        for (device, runs), count in self._versions[-most:]:
            said[device, runs.decode("ascii")] += count
        del self._polls[-most:], self._versions[-most:]
        if polled:
            self._observer.quick(polled)
        if said:
            self._observer.said(said)
        return bool(self._polls or self._versions)
