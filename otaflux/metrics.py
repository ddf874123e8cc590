"""Every metric that OtaFlux keeps, declared once.

The registry that they live in is handed in, so that two servers in one process, as in tests, count
apart. Names and labels are listed in docs/logs.md; label values come from small closed sets, never
from a request, or a stranger could make the memory grow.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)  # seconds; answers from memory
PATIENT = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # seconds; a pull lies in between


class Metrics:
    """The metrics of one server, registered with `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.cache_hits = Counter(
            "firmware_cache_hit",
            "Device requests answered from memory and disk.",
            registry=registry,
        )
        self.cache_misses = Counter(
            "firmware_cache_miss", "Device requests that a first look was for.", registry=registry
        )
        self.requests = Counter(
            "http_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "http_request_duration_seconds",
            "From a request's head to its answer's first byte.",
            ["route"],
            buckets=QUICK,
            registry=registry,
        )
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
            "otaflux_registry_requests", "Requests sent to the registry.", registry=registry
        )
        self.registry_errors = Counter(
            "otaflux_registry_errors",
            "Runs of a device that the registry left undecided.",
            registry=registry,
        )
        self.pulls = Counter(
            "otaflux_pulls", "Artifacts pulled, by what came of it.", ["outcome"], registry=registry
        )
        self.releases_current = Gauge(
            "otaflux_releases_current", "Devices that a release is told for.", registry=registry
        )
        self.recheck_age_seconds = Gauge(
            "otaflux_recheck_age_seconds",
            "Seconds since a re-check of any device last ended well, or since the start.",
            registry=registry,
        )
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
        self.broker_waiting = Gauge(
            "otaflux_broker_waiting",
            "Messages that wait to be sent to the MQTT broker.",
            ["kind"],
            registry=registry,
        )
