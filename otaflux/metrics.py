"""Every metric that OtaFlux keeps, declared once, and how they become Prometheus' text.

The registry that they live in is handed in, so that two servers in one process, as in tests, count
apart. Names and labels are listed in docs/metrics.md. Label values come from small closed sets,
never from a request, or a stranger could make the memory grow; those that name a device come from
the catalog. What there may be one of for each of twenty thousand devices, or what each request
counts, is plain numbers (`counters.py`): a library's object for each would take a second.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from otaflux.counters import DeviceCounter, DeviceGauge, RequestTimes

QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)  # seconds; answers from memory
PATIENT = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # seconds; a pull lies in between
NOBODY = ""  # the label of what is of no device that has a record


class Metrics:
    """The metrics of one server, registered with `registry` but for those of each device."""

    def __init__(self, registry: CollectorRegistry, *, process: bool = False) -> None:
        # A time beside each counter, which nobody asks for and all would store.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        if process:
            ProcessCollector(registry=registry)
        self.cache_hits = DeviceCounter(
            "firmware_cache_hit", "Device requests answered from memory and disk.", "device_id"
        )
        self.cache_misses = DeviceCounter(
            "firmware_cache_miss", "Device requests that a first look was for.", "device_id"
        )
        self.polls_by_version = DeviceCounter(
            "otaflux_polls_by_version",
            "Requests of units that say which version they run.",
            "device_id",
            "version",
        )
        self.by_device = (self.cache_hits, self.cache_misses, self.polls_by_version)
        self.units = DeviceGauge(
            "otaflux_units",
            "Units that said which version they run, by that version.",
            "device_id",
            "version",
        )
        self.cache_entries = Gauge(
            "firmware_cache_entries", "Firmware files that are held.", registry=registry
        )
        self.requests = RequestTimes(QUICK)
        self._declare_intake(registry)
        self._declare_devices(registry)
        self._declare_broker(registry)
        self._declare_clients(registry)
        self._declare_machine(registry)

    def _declare_intake(self, registry: CollectorRegistry) -> None:
        """What comes from registries, and what is done about it."""
        self.hooks = Counter(
            "otaflux_hooks", "Webhooks received.", ["source", "outcome"], registry=registry
        )
        self.hook_to_publish_seconds = Histogram(
            "otaflux_hook_to_publish_seconds",
            "From a hook's arrival to the publish that it caused.",
            buckets=PATIENT,
            registry=registry,
        )
        self.registry_requests = Counter(
            "otaflux_registry_requests",
            "Requests sent to the registry.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.registry_errors = Counter(
            "otaflux_registry_errors",
            "Runs of a device that the registry left undecided.",
            registry=registry,
        )
        self.registry_away = Gauge(
            "otaflux_registry_away", "1 while the registry does not answer.", registry=registry
        )
        self.pulls = Counter(
            "otaflux_pulls", "Artifacts pulled, by what came of it.", ["outcome"], registry=registry
        )
        self.pull_seconds = Histogram(
            "otaflux_pull_seconds", "What a pull took.", buckets=PATIENT, registry=registry
        )
        self.events = Counter(
            "otaflux_events", "What happened to devices.", ["event"], registry=registry
        )
        self.queue_length = Gauge(
            "otaflux_queue_length", "Devices that wait for a look, due or not.", registry=registry
        )
        self.runs_under_way = Gauge(
            "otaflux_runs_under_way", "Devices that are looked at just now.", registry=registry
        )

    def _declare_devices(self, registry: CollectorRegistry) -> None:
        """What is kept up to date."""
        self.devices = Gauge(
            "otaflux_devices", "Devices that are kept up to date.", registry=registry
        )
        self.devices_waiting = Gauge(
            "otaflux_devices_waiting", "Those that wait for their first look.", registry=registry
        )
        self.devices_failing = Gauge(
            "otaflux_devices_failing",
            "Those whose last look learnt nothing, or not all.",
            registry=registry,
        )
        self.devices_refused = Gauge(
            "otaflux_devices_refused",
            "Those with a release above the current one that cannot be served.",
            registry=registry,
        )
        self.releases_current = Gauge(
            "otaflux_releases_current", "Devices that a release is told for.", registry=registry
        )
        self.recheck_age_seconds = Gauge(
            "otaflux_recheck_age_seconds",
            "Seconds since a re-check of any device last ended well, or since the start.",
            registry=registry,
        )
        self.recheck_round_seconds = Gauge(
            "otaflux_recheck_round_seconds",
            "Seconds in which each device is checked again once.",
            registry=registry,
        )

    def _declare_broker(self, registry: CollectorRegistry) -> None:
        """What goes through the MQTT broker."""
        self.broker_connected = Gauge(
            "otaflux_broker_connected",
            "1 while there is a connection to the MQTT broker, else 0.",
            registry=registry,
        )
        self.broker_messages = Counter(
            "otaflux_broker_messages",
            "Messages that the MQTT broker took.",
            ["kind"],
            registry=registry,
        )
        self.broker_heard = Counter(
            "otaflux_broker_heard",
            "Messages of other replicas that came through the MQTT broker.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.broker_waiting = Gauge(
            "otaflux_broker_waiting",
            "Messages that wait to be sent to the MQTT broker.",
            ["kind"],
            registry=registry,
        )

    def _declare_clients(self, registry: CollectorRegistry) -> None:
        """Who downloads, watches and names itself."""
        self.downloads = Counter(
            "otaflux_downloads", "Downloads that ended.", ["outcome"], registry=registry
        )
        self.downloads_under_way = Gauge(
            "otaflux_downloads_under_way", "Downloads being sent.", registry=registry
        )
        self.downloads_waiting = Gauge(
            "otaflux_downloads_waiting", "Downloads that wait for a place.", registry=registry
        )
        self.watchers = Gauge(
            "otaflux_watchers", "Pages of operators that are kept live.", registry=registry
        )
        self.units_looping = Counter(
            "otaflux_units_looping",
            "Times that a unit took one release a third time, or more, within a day.",
            registry=registry,
        )
        self.units_remembered = Gauge(
            "otaflux_units_remembered",
            "Units that are remembered, of all devices.",
            registry=registry,
        )
        self.units_crowded_out = Gauge(
            "otaflux_units_crowded_out",
            "Units forgotten since the start for want of room, though heard of within a day.",
            registry=registry,
        )

    def _declare_machine(self, registry: CollectorRegistry) -> None:
        """What the machine holds, and has room for."""
        self.log_lines_lost = Gauge(
            "otaflux_log_lines_lost",
            "Lines of the log that could not be written since the start.",
            registry=registry,
        )
        self.firmware_bytes = Gauge(
            "otaflux_firmware_bytes", "Size of the firmware files held.", registry=registry
        )
        self.disk_free_bytes = Gauge(
            "otaflux_disk_free_bytes", "Room left where DATA_DIR lies.", registry=registry
        )

    @property
    def names(self) -> frozenset[str]:
        """The names of all metrics, without what Prometheus puts behind them."""
        families = {family.name for family in self.registry.collect()}
        others = (self.units, *self.by_device)
        return frozenset({*families, *self.requests.names, *(each.name for each in others)})

    def render(self) -> Iterator[bytes]:
        """All of it as Prometheus' text, in pieces that take a few milliseconds each."""
        yield generate_latest(self.registry)
        for family in (self.requests, self.units, *self.by_device):
            for piece in family.render():
                yield piece.encode()
