"""The Zigbee index: one for all devices, for Zigbee2MQTT and for ZHA's `z2m` provider.

Sources: zigbee-herdsman's `ota.ts` and Zigbee2MQTT's `ota.zigbee_ota_override_index_location`,
an array whose entries need `url`, `imageType`, `manufacturerCode` and `fileVersion`; zigpy's schema
for `type: z2m`, which needs `fileSize` and `sha512` too. Numbers are those of the file's header;
size and sum are of the whole file.
"""

from __future__ import annotations

from otaflux.model.image import ZigbeeHeader
from otaflux.model.release import Release
from otaflux.web.answers import Answer, json_body
from otaflux.web.devices.request import DeviceRequest


async def index(request: DeviceRequest) -> Answer:
    """The current stable releases that are Zigbee files."""
    entries = [
        {**entry_of(release, header), "sha512": sha512, "url": request.link(release.firmware)}
        for release, header, sha512 in await request.parts.zigbee.listed()
    ]
    return request.judged(json_body(entries))


def entry_of(release: Release, header: ZigbeeHeader) -> dict[str, str | int]:
    """What the index says of one file, but for where it is."""
    entry: dict[str, str | int] = {
        "fileName": f"{release.device.name.rpartition('/')[2]}_{release.version}.ota",
        "fileVersion": header.file_version,
        "fileSize": release.firmware.sums.size,
        "imageType": header.image_type,
        "manufacturerCode": header.manufacturer,
        "otaHeaderString": header.text,
    }
    if header.lowest_hardware is not None and header.highest_hardware is not None:
        entry["hardwareVersionMin"] = header.lowest_hardware
        entry["hardwareVersionMax"] = header.highest_hardware
    return entry
