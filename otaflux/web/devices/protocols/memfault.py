"""Memfault's latest release, as its SDK asks on ESP-IDF, Zephyr and nRF Connect.

Each poll names unit, kind of software and the version that runs. The answer's whole body is an
address, with a length by which the ESP port allocates, or it is 204 where there is nothing to do.
The software type is the device. Source: memfault-firmware-sdk, `memfault_http_utils.c`.
"""

from __future__ import annotations

from otaflux.errors import BadName
from otaflux.model.names import Device
from otaflux.web.answers import Answer, no_content, plain_text
from otaflux.web.devices.offer import Unit, offer
from otaflux.web.devices.parameters import parameters, version_said
from otaflux.web.devices.request import DeviceRequest

_NAMES = frozenset({"device_serial", "software_type", "current_version"})


async def latest(request: DeviceRequest) -> Answer:
    """The address of what the unit should run; 204 where it runs that, or there is nothing."""
    said = parameters(request.target.query, _NAMES)
    if not said.get("software_type"):
        raise BadName("Missing required query parameter: 'software_type'")
    device = Device.parse(said["software_type"])
    unit = Unit(
        request.unit_name(said.get("device_serial", "")),
        version_said(said.get("current_version", "")),
    )
    record = await request.record(device, unit.version)
    channel = request.parts.channels.default
    found = offer(record, channel, unit, request.parts.machine.now())
    request.hear(device, unit, found)
    if found is None or found.is_installed:
        return no_content()
    return plain_text(request.link(found.release.firmware))
