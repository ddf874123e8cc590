"""systemd-sysupdate: a list of sums, and the files that it names.

`Path=http://ota.example/sysupdate/D` and `MatchPattern=D_@v.EXT` in a transfer's `[Source]`. The
list has a line for what the device is told and for each release below it that is kept: the version
is in the file's name, `LAST-PART_VERSION.EXT`, with the extension by what the bytes are. Source:
systemd's `sysupdate-resource.c`, which wants 64 digits, a blank, `*` or a blank, and the name.
"""

from __future__ import annotations

from otaflux.errors import NotFound
from otaflux.model.names import Channel
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.web.answers import Answer, plain_text
from otaflux.web.devices.ask import Ask
from otaflux.web.devices.delivery import FirmwareAnswer
from otaflux.web.devices.offer import Offer, offer
from otaflux.web.devices.request import DeviceRequest


async def sums(request: DeviceRequest) -> Answer:
    """SHA256SUMS: the files there are, the current one first."""
    ask = request.ask()
    await request.offered(ask)  # raises where there is nothing
    files = _files(await request.record(ask.device), ask, request.parts.machine.now())
    lines = (f"{each.firmware.sums.sha256} *{name}\n" for name, each in files.items())
    return request.judged(plain_text("".join(lines)))


async def file(request: DeviceRequest) -> FirmwareAnswer:
    """One of the files, whole or in ranges."""
    ask = request.ask()
    files = _files(await request.record(ask.device), ask, request.parts.machine.now())
    release = files.get(request.named["name"])
    if release is None:
        raise NotFound(f"Device '{ask.device}' has no such file; SHA256SUMS lists those it has")
    return FirmwareAnswer.of(Offer(release))


def _files(record: Record, ask: Ask, now: float) -> dict[str, Release]:
    """The files of a device by their names: never one above what the channel is told."""
    found = offer(record, ask.channel, ask.unit, now)
    if found is None:
        return {}
    current = found.release
    below = (each for each in record.served() if _is_older(each, current, ask.channel))
    files = {current.file_name_with_version: current}
    for release in sorted(below, key=lambda each: each.order, reverse=True):
        files.setdefault(release.file_name_with_version, release)
    return files


def _is_older(release: Release, current: Release, channel: Channel) -> bool:
    return release.order < current.order and channel.takes(release.version)
