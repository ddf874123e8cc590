"""Counters of plain numbers: for what happens at each request, and for what each device has.

They become Prometheus' text in pieces, between which polls get their turn. Label values are ours
or parsed names, and hold nothing that would have to be escaped. On one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

PIECE = 1000  # lines that are rendered in one go


class DeviceCounter:
    """A counter with a device's name as its label, and maybe one label more."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self.name = name
        self.labels = labels
        self._head = f"# HELP {name}_total {documentation}\n# TYPE {name}_total counter\n"
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, device: str, count: int = 1, label: str = "") -> None:
        """Count."""
        counts = self._counts.get(device)
        if counts is None:
            counts = self._counts[device] = {}
        counts[label] = counts.get(label, 0) + count

    def drop(self, device: str) -> None:
        """Forget a device."""
        self._counts.pop(device, None)

    def render(self) -> Iterator[str]:
        """The text, in pieces; what changes in between may be in it or not."""
        yield self._head
        before = f'{self.name}_total{{{self.labels[0]}="'
        between = f'",{self.labels[1]}="' if len(self.labels) > 1 else ""
        devices = list(self._counts)
        for start in range(0, len(devices), PIECE):
            yield "".join(
                [
                    f'{before}{device}{between}{label}"}} {count}\n'
                    for device in devices[start : start + PIECE]
                    for label, count in self._counts.get(device, {}).items()
                ]
            )


class DeviceGauge:
    """How many there are of something, by device and one label more, looked up at each scrape."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self.name = name
        self.labels = labels
        self._head = f"# HELP {name} {documentation}\n# TYPE {name} gauge\n"
        self._devices: Callable[[], Iterable[str]] = list
        self._of: Callable[[str], Mapping[str, int]] = lambda _: {}

    def look_up(
        self, devices: Callable[[], Iterable[str]], of: Callable[[str], Mapping[str, int]]
    ) -> None:
        """Have the names of `devices`, and the numbers `of` each by the other label, looked up."""
        self._devices, self._of = devices, of

    def render(self) -> Iterator[str]:
        """The text, in pieces."""
        yield self._head
        first, second = self.labels
        devices = iter(list(self._devices()))
        while some := list(islice(devices, PIECE)):
            yield "".join(
                f'{self.name}{{{first}="{device}",{second}="{label}"}} {count}\n'
                for device in some
                for label, count in self._of(device).items()
            )


class _Timed:
    """Requests of one kind: how many fell between which bounds, and the sum of their seconds."""

    __slots__ = ("counts", "seconds")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.seconds = 0.0


class RequestTimes:
    """`http_requests_total` and `http_requests_duration_seconds`, by method, path and status.

    `bounds` are those of the histogram's buckets, in seconds.
    """

    names = ("http_requests", "http_requests_duration_seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._timed: dict[tuple[str, str, int], _Timed] = {}

    def note(self, method: str, path: str, status: int, seconds: float, count: int = 1) -> None:
        """So many requests were answered, each within so many seconds."""
        key = (method, path, status)
        timed = self._timed.get(key)
        if timed is None:
            timed = self._timed[key] = _Timed(len(self._bounds) + 1)
        timed.counts[bisect_left(self._bounds, seconds)] += count
        timed.seconds += seconds * count

    def render(self) -> Iterator[str]:
        """The text, in pieces."""
        number, duration = self.names
        yield f"# HELP {number}_total Requests answered at LISTEN_ADDR.\n"
        yield f"# TYPE {number}_total counter\n"
        for key, timed in self._timed.items():
            yield f"{number}_total{{{_labels(key)}}} {sum(timed.counts)}\n"
        yield f"# HELP {duration} From a request's head to its answer; plain polls count as 0.\n"
        yield f"# TYPE {duration} histogram\n"
        for key, timed in self._timed.items():
            yield "".join(self._histogram(f"{duration}", _labels(key), timed))

    def _histogram(self, name: str, labels: str, timed: _Timed) -> Iterator[str]:
        under = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), timed.counts, strict=True):
            under += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {under}\n'
        yield f"{name}_count{{{labels}}} {under}\n"
        yield f"{name}_sum{{{labels}}} {timed.seconds}\n"


def _labels(key: tuple[str, str, int]) -> str:
    method, path, status = key
    return f'method="{method}",path="{path}",status="{status}"'
