"""The protocols that devices speak, one visible table: whoever stands first is asked first.

A new protocol is a file in this folder and its rows here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multidict import MultiMapping

from otaflux.errors import NotFound
from otaflux.units.seen import Protocol
from otaflux.web.devices.protocols import (
    arduino,
    arduino_json,
    ddi,
    esphome,
    github,
    memfault,
    people,
    plain,
    swupdate,
    sysupdate,
    zigbee,
)
from otaflux.web.devices.protocols.route import Route

ROUTES = (
    Route(people.ADDRESS, people.welcome),
    Route("/health", plain.health),
    Route("/version", plain.version),
    Route("/firmware", arduino.firmware, spoken=arduino.is_spoken, protocol=Protocol.ARDUINO),
    Route("/firmware", plain.firmware),
    Route(
        "/firmware/{device}/firmware.bin",
        arduino.firmware,
        spoken=arduino.is_spoken,
        protocol=Protocol.ARDUINO,
    ),
    Route("/firmware/{device}/firmware.bin", plain.firmware),
    Route("/firmware/sha256/{hex}", plain.content),
    Route("/esphome/{device}/manifest.json", esphome.manifest, protocol=Protocol.ESPHOME),
    Route("/api/v0/releases/latest/url", memfault.latest, protocol=Protocol.MEMFAULT),
    Route("/repos/{device}/releases/latest", github.latest, protocol=Protocol.GITHUB),
    Route("/swupdate", swupdate.general, protocol=Protocol.SWUPDATE),
    Route("/sysupdate/{device}/SHA256SUMS", sysupdate.sums, protocol=Protocol.SYSUPDATE),
    Route("/sysupdate/{device}/{name}", sysupdate.file),
    Route("/esp32fota/{device}.json", arduino_json.esp32fota, protocol=Protocol.ESP32FOTA),
    Route("/ota-pull/{device}.json", arduino_json.ota_pull, protocol=Protocol.OTA_PULL),
    Route("/zigbee/index.json", zigbee.index),
    Route("/{tenant}/controller/v1/{unit}", ddi.poll),
    Route("/{tenant}/controller/v1/{unit}/configData", ddi.attributes, methods=("PUT",)),
    Route("/{tenant}/controller/v1/{unit}/deploymentBase/{action}", ddi.deployment),
    Route(
        "/{tenant}/controller/v1/{unit}/deploymentBase/{action}/feedback",
        ddi.feedback,
        methods=("POST",),
    ),
    Route("/{tenant}/controller/v1/{unit}/softwaremodules/{action}/artifacts/{name}", ddi.artifact),
    Route("/{tenant}/controller/v1/{unit}/cancelAction/{action}", ddi.cancel),
    Route(
        "/{tenant}/controller/v1/{unit}/cancelAction/{action}/feedback",
        ddi.cancel_feedback,
        methods=("POST",),
    ),
    Route("/{tenant}/controller/v1/{rest}", ddi.elsewhere),
)


def find(
    path: str, headers: MultiMapping[str], routes: Iterable[Route] = ROUTES
) -> tuple[Route, Mapping[str, str]]:
    """Who answers at a path, and what the path names; raises `NotFound` where nothing is."""
    for route in routes:
        named = route.match(path)
        if named is not None and route.spoken(headers):
            return route, named
    raise NotFound("Nothing is at this address")
