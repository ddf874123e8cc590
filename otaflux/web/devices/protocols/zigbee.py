"""The Zigbee index: one for all devices, for Zigbee2MQTT and for ZHA's `z2m` provider.

Sources: zigbee-herdsman's `ota.ts` and Zigbee2MQTT's `ota.zigbee_ota_override_index_location`,
an array whose entries need `url`, `imageType`, `manufacturerCode` and `fileVersion`; zigpy's schema
for `type: z2m`, which needs `fileSize` and `sha512` too. Numbers are those of the file's header;
size and sum are of the whole file.
"""

from __future__ import annotations

import asyncio

from otaflux.model.image import ZigbeeHeader
from otaflux.model.release import Release
from otaflux.web.answers import Answer, content_path, json_body
from otaflux.web.devices.request import DeviceRequest

AT_ONCE = 100  # entries that are made in one go, in a millisecond or two


async def index(request: DeviceRequest) -> Answer:
    """The current stable releases that are Zigbee files."""
    parts, origin = request.parts, request.origin()
    # Links go by these: where they begin, and by what they are signed, if by anything.
    key = origin, request.proof, parts.admission.counting()
    return request.judged(await parts.zigbee.kept(key, lambda: _index(request, origin)))


async def _index(request: DeviceRequest, origin: str) -> Answer:
    """All of it, though who asked may be gone by then; others get their turn meanwhile."""
    entries: list[dict[str, str | int]] = []
    for release, header, sha512 in await request.parts.zigbee.listed():
        url = origin + request.signed(content_path(release.firmware))
        entries.append({**entry_of(release, header), "sha512": sha512, "url": url})
        if len(entries) % AT_ONCE == 0:
            await asyncio.sleep(0)
    made: Answer = await request.parts.machine.in_thread(json_body, entries)
    return made


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
