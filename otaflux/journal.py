"""Counts what happened: who asked for what, which hooks came, what runs did.

It listens to events, to records that change, and to devices' requests: to each that aiohttp
answers, and once a second to all others. On the event loop; quick, and it never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from otaflux.events import (
    BrokerConnected,
    BrokerFailed,
    BrokerSent,
    BrokerWaiting,
    Cause,
    Happening,
    HookAnswered,
    Published,
    Pulled,
    RequestSent,
    RunEnded,
    RunFailed,
)
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.metrics import Metrics
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.model.record import Record

Polled = Callable[[Collection[Device]], None]


class Journal:
    """Counts into `metrics`."""

    def __init__(self, metrics: Metrics, *, machine: Machine = REAL_MACHINE) -> None:
        self._metrics = metrics
        self._clock = machine.clock
        self._polled: Polled = lambda _: None
        self._told: set[Device] = set()
        self._rechecked = self._clock()
        metrics.recheck_age_seconds.set_function(lambda: self._clock() - self._rechecked)

    def hear(self, happening: Happening) -> None:  # noqa: C901 - one case for each metric
        """Count what happened; see `otaflux.events`."""
        match happening:
            case HookAnswered(source, outcome):
                self._metrics.hooks.labels(source, outcome).inc()
            case RequestSent():
                self._metrics.registry_requests.inc()
            case Pulled(outcome=outcome):
                self._metrics.pulls.labels(outcome.value).inc()
            case Published(seconds=seconds) if seconds is not None:
                self._metrics.hook_to_publish_seconds.observe(seconds)
            case RunFailed(reason=reason) if reason.cause not in {Cause.DISK, Cause.OTHERS}:
                self._metrics.registry_errors.inc()
            case RunEnded(priority=Priority.RECHECK):
                self._rechecked = self._clock()
            case BrokerConnected():
                self._metrics.broker_connected.set(1)
            case BrokerFailed(is_connected=False):
                self._metrics.broker_connected.set(0)
            case BrokerSent(kind):
                self._metrics.broker_messages.labels(kind).inc()
            case BrokerWaiting(kind, messages):
                self._metrics.broker_waiting.labels(kind).set(messages)
            case _:
                pass  # worth a line in the log, and no number

    def hear_record(self, device: Device, record: Record | None) -> None:
        """What a device is told changed, or it went; see `Catalog.listen`."""
        if record is not None and record.channels:
            self._told.add(device)
        else:
            self._told.discard(device)
        self._metrics.releases_current.set(len(self._told))

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
