"""What operators reach, bound to what there is to see; no socket yet.

Decides nothing. All of it listens to the events of runs, to records and to requests, and nobody
knows of it. `Observation` is there before the parts that it observes, `OperatorSide` after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from otaflux.app.controller import Controller
from otaflux.app.edge import Edge, ignored
from otaflux.events import Events
from otaflux.journal import Journal
from otaflux.loglines import LogLines
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.meter import Meter
from otaflux.metrics import Metrics
from otaflux.model.names import Device
from otaflux.overheard import Overheard
from otaflux.takes import Takes
from otaflux.web.observer import Everybody
from otaflux.web.ops.attention import Attention, FaultKind
from otaflux.web.ops.exposition import Exposition
from otaflux.web.ops.live import Live
from otaflux.web.ops.operators import Operators
from otaflux.web.ops.sight import Roll, Sight

DISK_LOOK = 1.0  # seconds that a scrape waits for a disk to say how much is free


class Observation:
    """Who hears of events and of requests. `overheard` has the log's last warnings."""

    def __init__(self, overheard: Overheard, *, machine: Machine = REAL_MACHINE) -> None:
        self.overheard = overheard
        self.metrics = Metrics(CollectorRegistry(), process=True)
        self.meter = Meter(self.metrics, machine=machine)
        self.journal = Journal(machine=machine)
        self.events = Events(LogLines().hear, self.meter.hear, self.journal.hear)
        takes = Takes(self.events, machine=machine)
        self.observer = Everybody(self.meter, self.journal, takes)


class OperatorSide:
    """The parts behind `METRICS_LISTEN_ADDR`; `source` names the registry."""

    cache = None  # nothing is answered from memory before aiohttp

    def __init__(self, seen: Observation, controller: Controller, edge: Edge, source: str) -> None:
        self._seen = seen
        self._controller = controller
        self._edge = edge
        self._looking: asyncio.Future[int] | None = None
        catalog, journal = controller.catalog, seen.journal
        seen.meter.know(catalog.get)
        catalog.listen(seen.meter.hear_record, at_start=ignored)
        catalog.listen(journal.hear_record, at_start=journal.hear_start)
        self._sight = Sight(
            catalog=controller.catalog,
            roster=controller.roster,
            roll=Roll(controller.roster, seen.journal, controller.machine),
            journal=seen.journal,
            units=edge.parts.units,
            queue=controller.queue,
            attention=Attention(controller.catalog, seen.journal),
            overheard=seen.overheard,
            machine=controller.machine,
            source=source,
            prefix=controller.namespace.prefix,
            listed=lambda: controller.wake.has_listed,
            listing_failure=lambda: controller.wake.listing_failure,
            started=controller.machine.now(),
        )
        self._bind()
        exposition = Exposition(seen.metrics, refresh=self._look_at_disk)
        live = self.live = Live()
        journal.listen(live.changed, at_start=ignored)
        seen.metrics.watchers.set_function(lambda: len(live))
        self.operators = Operators(self._sight, exposition, live)
        self.answer = self.operators.answer

    def _bind(self) -> None:
        """Have metrics of what is only looked up say what there is."""
        metrics, sight = self._seen.metrics, self._sight
        queue, downloads = self._controller.queue, self._edge.downloads
        meter, units = self._seen.meter, self._edge.parts.units

        def running(name: str) -> Mapping[str, int]:
            device = Device(name)
            counts = units.running(device)
            return meter.by_version(device, counts) if counts else counts

        metrics.units.look_up(
            lambda: [each.name for each in self._controller.catalog.devices()] if units else [],
            running,
        )
        policy, catalog = self._controller.policy, self._controller.catalog
        for gauge, value in (
            (metrics.cache_entries, lambda: catalog.file_count),
            (metrics.firmware_bytes, lambda: catalog.file_bytes),
            (metrics.releases_current, lambda: catalog.told),
            (metrics.queue_length, lambda: len(queue)),
            (metrics.runs_under_way, lambda: queue.running),
            (metrics.registry_away, lambda: int(sight.registry_away)),
            (metrics.downloads_under_way, lambda: downloads.under_way),
            (metrics.downloads_waiting, lambda: downloads.waiting),
            (metrics.units_remembered, lambda: len(units)),
            (metrics.units_crowded_out, lambda: units.crowding.forgotten),
            (metrics.log_lines_lost, lambda: sight.overheard.lost),
            (metrics.devices, lambda: sight.roll.count),
            (metrics.devices_waiting, lambda: len(sight.roll.waiting)),
            (metrics.devices_failing, lambda: sight.attention.count(FaultKind.FAILING)),
            (metrics.devices_refused, lambda: sight.attention.count(FaultKind.REFUSED)),
            (
                metrics.recheck_round_seconds,
                lambda: max(policy.recheck_interval, sight.roll.count / policy.registry_rate),
            ),
        ):
            gauge.set_function(value)

    async def _look_at_disk(self) -> None:
        """How much room is left; a disk that hangs has the last number stand."""
        controller = self._controller
        if self._looking is None:
            self._looking = asyncio.ensure_future(
                controller.machine.in_thread(controller.store.free)
            )
        done, _ = await asyncio.wait({self._looking}, timeout=DISK_LOOK)
        if done:
            looked, self._looking = self._looking, None
            if looked.exception() is None:
                self._seen.metrics.disk_free_bytes.set(looked.result())
