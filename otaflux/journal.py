"""Soft memory of what happened, for metrics: who asked for what, which hooks came, what runs did.

Called on the event loop for every request that aiohttp answers, and once a second for all others;
quick, and it never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from otaflux.metrics import Metrics
from otaflux.model.names import Device
from otaflux.reports import request_sent

Polled = Callable[[Collection[Device]], None]


class Journal:
    """Counts into `metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._polled: Polled = lambda _: None

    def hear_polls(self, polled: Polled) -> None:
        """Have `polled` called with devices that have a record and were asked for."""
        self._polled = polled

    def request(self, room: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; `room` is one of a few addresses, or `other`."""
        self._metrics.requests.labels(room, str(status)).inc()
        self._metrics.request_seconds.labels(room).observe(seconds)

    def poll(self, device: Device) -> None:
        """A device that has a record was asked for."""
        self._polled((device,))

    def lookup(self, *, hit: bool) -> None:
        """A device was found at hand, or had to be looked for."""
        (self._metrics.cache_hits if hit else self._metrics.cache_misses).inc()

    def quick(self, devices: Collection[Device], statuses: Mapping[int, int]) -> None:
        """So many `GET /version` were answered with each status, for those devices."""
        for status, count in statuses.items():
            self._metrics.requests.labels("/version", str(status)).inc(count)
            self._metrics.cache_hits.inc(count)
        self._polled(devices)

    def hook(self, source: str, outcome: str) -> None:
        """One hook was answered: `accepted`, `ignored` or `rejected`."""
        self._metrics.hooks.labels(source, outcome).inc()

    def registry_request(self, kind: str, outcome: str) -> None:
        """One request went to the registry."""
        self._metrics.registry_requests.inc()
        request_sent(kind)
