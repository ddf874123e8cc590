"""The JSON that two Arduino libraries poll: esp32FOTA and ESP32-OTA-Pull.

esp32FOTA compares versions by SemVer and names itself by `?id=`; ESP32-OTA-Pull compares them as
text, in which 1.10.0 is below 1.9.0, unless it is told to allow downgrades. Sources: esp32FOTA's
`execHTTPcheck`, ESP32-OTA-Pull's `CheckForOTAUpdate`.
"""

from __future__ import annotations

import msgspec

from otaflux.web.answers import Answer, json_body
from otaflux.web.devices.offer import Offer
from otaflux.web.devices.parameters import parameters
from otaflux.web.devices.request import DeviceRequest


async def esp32fota(request: DeviceRequest) -> Answer:
    """The manifest of esp32FOTA; its `type` is the device."""
    found = await _offered(request)
    release = found.release
    told = {
        "type": release.device.name,
        "version": release.version.text,
        "url": request.link(release.firmware),
    }
    return request.judged(json_body(told))


async def ota_pull(request: DeviceRequest) -> Answer:
    """The one configuration of ESP32-OTA-Pull, which fits each board, for it names none."""
    release = (await _offered(request)).release
    entry = {"Version": release.version.text, "URL": request.link(release.firmware)}
    return request.judged(json_body({"Configurations": [entry]}))


async def _offered(request: DeviceRequest) -> Offer:
    ask = request.ask()
    named = request.unit_name(parameters(request.target.query, {"id"}).get("id", ""))
    unit = msgspec.structs.replace(ask.unit, name=ask.unit.name or named)
    return await request.offered(msgspec.structs.replace(ask, unit=unit))
