"""Counts what happened: who asked for what, which hooks came, what runs did.

It listens to events, to records that go, and to devices' requests: to each that aiohttp
answers, and once a second to all others. On the event loop; quick, and it never raises. Whatever
is only looked up when somebody asks (how long the queue is) is bound by `app`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from otaflux.events import (
    BrokerConnected,
    BrokerFailed,
    BrokerHeard,
    BrokerSent,
    BrokerWaiting,
    DeviceForgotten,
    Happening,
    HookAnswered,
    Moved,
    Published,
    Pulled,
    ReleaseRefused,
    RequestSent,
    RunEnded,
    RunFailed,
    TagUnclear,
    UnitLooping,
    Withdrawn,
)
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.metrics import NOBODY, Metrics
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import spelled
from otaflux.reason import Cause

METHODS = frozenset({"GET", "HEAD", "POST", "PUT"})
OTHER = "other"
MOST_VERSIONS = 20  # versions of a device that are counted each by itself
POLL = "/version"
# What of the events is counted under `otaflux_events_total`, each by its word in the log.
COUNTED: Mapping[type, str] = {
    Published: "release_published",
    Moved: "release_moved",
    Withdrawn: "release_withdrawn",
    ReleaseRefused: "release_refused",
    TagUnclear: "tag_unclear",
    RunEnded: "reconciled",
    RunFailed: "run_failed",
    DeviceForgotten: "device_forgotten",
    UnitLooping: "unit_looping",
}


class Meter:
    """Counts into `metrics`; it is an observer of requests, see `web/observer.py`."""

    def __init__(self, metrics: Metrics, *, machine: Machine = REAL_MACHINE) -> None:
        self.metrics = metrics
        self._clock = machine.clock
        self._find: Callable[[Device], Record | None] = lambda _: None
        self._rechecked = self._clock()
        metrics.recheck_age_seconds.set_function(lambda: self._clock() - self._rechecked)

    def know(self, find: Callable[[Device], Record | None]) -> None:
        """Count devices by their names that `find` has a record of; before, there are none."""
        self._find = find

    def hear(self, happening: Happening) -> None:  # noqa: C901, PLR0912 - one case for each
        """Count what happened; see `otaflux.events`."""
        metrics = self.metrics
        word = COUNTED.get(type(happening))
        if word is not None:
            metrics.events.labels(word).inc()
        match happening:
            case HookAnswered(source, outcome):
                metrics.hooks.labels(source, outcome).inc()
            case RequestSent(kind, outcome):
                metrics.registry_requests.labels(kind, outcome).inc()
            case Pulled(outcome=outcome, seconds=seconds):
                metrics.pulls.labels(outcome.value).inc()
                metrics.pull_seconds.observe(seconds)
            case Published(seconds=seconds) if seconds is not None:
                metrics.hook_to_publish_seconds.observe(seconds)
            case RunFailed(reason=reason) if reason.cause not in {Cause.DISK, Cause.OTHERS}:
                metrics.registry_errors.inc()
            case UnitLooping():
                metrics.units_looping.inc()
            case RunEnded(priority=Priority.RECHECK):
                self._rechecked = self._clock()
            case BrokerConnected():
                metrics.broker_connected.set(1)
            case BrokerFailed(is_connected=False):
                metrics.broker_connected.set(0)
            case BrokerHeard(kind, outcome):
                self.metrics.broker_heard.labels(kind, outcome).inc()
            case BrokerSent(kind):
                metrics.broker_messages.labels(kind).inc()
            case BrokerWaiting(kind, messages):
                metrics.broker_waiting.labels(kind).set(messages)
            case _:
                pass  # worth a line in the log, and no number besides

    def hear_record(self, device: Device, record: Record | None) -> None:
        """What a device is told changed, or it went; see `Catalog.listen`."""
        if record is None:
            for counter in self.metrics.by_device:
                counter.drop(device.name)

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; `path` is one of a few addresses, or `other`."""
        known = method if method in METHODS else OTHER
        self.metrics.requests.note(known, path, status, seconds)

    def lookup(self, device: Device, *, hit: bool) -> None:
        """A device was found at hand, or had to be looked for."""
        counter = self.metrics.cache_hits if hit else self.metrics.cache_misses
        counter.add(device.name if self._find(device) is not None else NOBODY)

    def poll(self, device: Device, runs: str) -> None:
        """A device that has a record was asked for by a unit that says it runs that, if anything.

        Versions that the record does not hold are counted together, for units may say anything.
        """
        record = self._find(device) if runs else None
        if record is not None:
            self._count_version(record, runs, 1)

    def quick(self, answered: Mapping[tuple[Device, int], int]) -> None:
        """So many `GET /version` were answered: device and status."""
        statuses: Counter[int] = Counter()
        for (device, status), count in answered.items():
            statuses[status] += count
            if self._find(device) is not None:
                self.metrics.cache_hits.add(device.name, count)
        for status, count in statuses.items():
            self.metrics.requests.note("GET", POLL, status, 0.0, count)

    def said(self, versions: Mapping[tuple[Device, str], int]) -> None:
        """In so many of them units said which version they run."""
        for (device, runs), count in versions.items():
            record = self._find(device)
            if record is not None:
                self._count_version(record, runs, count)

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """A download ended; many boards hang up on purpose, so that is no error."""
        self.metrics.downloads.labels("finished" if whole else "broken_off").inc()

    def by_version(self, device: Device, counts: Mapping[str, int]) -> dict[str, int]:
        """Numbers by versions that units say, with those that the record does not hold together."""
        found: Counter[str] = Counter()
        record = self._find(device)
        for runs, count in counts.items():
            found[_label(record, runs)] += count
        return found

    def _count_version(self, record: Record, runs: str, count: int) -> None:
        self.metrics.polls_by_version.add(record.device.name, count, _label(record, runs))


def _label(record: Record | None, runs: str) -> str:
    """What a version that a unit says is counted under: itself, or with others."""
    held = record.held()[:MOST_VERSIONS] if record is not None else ()
    known = [release.version.text for release in held]
    if runs in known:
        return runs
    text = spelled(runs)
    return text if text is not None and text in known else OTHER
