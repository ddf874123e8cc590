"""The shape of GitHub's latest release, for the many updaters that know how to ask GitHub.

The tag is as it was pushed; the first asset is called `firmware.bin`, the second by the device and
what the bytes are. A device of two parts is organisation and repository, one of one part is
`otaflux/D`. Source: esp_ghota, which reads `tag_name`, `assets[].name` and `assets[].url` and gets
that address with `Accept: application/octet-stream`; GitHub's REST API for the rest.
"""

from __future__ import annotations

import msgspec

from otaflux.model.names import Channel, Device
from otaflux.model.release import Release
from otaflux.web.answers import Answer, json_body
from otaflux.web.devices.request import DeviceRequest

ONE_PART = "otaflux/"  # stands in the place of an organisation
MAX_LINK = 127  # characters, where the names allow it: some clients copy a link into 128 bytes


async def latest(request: DeviceRequest) -> Answer:
    """The release that the device is told, with its bytes as assets."""
    ask = msgspec.structs.replace(request.ask(), device=_device(request))
    release = (await request.offered(ask)).release
    link, size = _link(request, release, ask.channel), release.firmware.sums.size
    names = ("firmware.bin", release.file_name)
    assets = [
        {"name": name, "url": link, "browser_download_url": link, "size": size} for name in names
    ]
    return request.judged(json_body({"tag_name": release.tag.text, "assets": assets}))


def _link(request: DeviceRequest, release: Release, channel: Channel) -> str:
    """The bytes' address, by their content; by their version where a signature made that long."""
    link = request.link(release.firmware)
    if len(link) <= MAX_LINK:
        return link
    path = request.signed(f"/sysupdate/{release.device}/{release.file_name_with_version}")
    if channel != request.parts.channels.default:
        path += f"{'&' if '?' in path else '?'}channel={channel}"
    return min(link, request.origin() + path, key=len)


def _device(request: DeviceRequest) -> Device:
    """Who is meant: the whole path where there is such a device, else what follows `otaflux/`."""
    named = request.named["device"]
    whole = Device.parse(named)
    if named.startswith(ONE_PART) and request.parts.catalog.get(whole) is None:
        return Device.parse(named.removeprefix(ONE_PART))
    return whole
