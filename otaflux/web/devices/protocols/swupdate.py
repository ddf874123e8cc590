"""SWUpdate's general server: a redirect to the update, or 404.

The query is what the board's `identify` section says, of which `device`, `version` or `current`
(what it runs) and `unit` are read. There is no 503 here: SWUpdate keeps a `Retry-After` for ever as
its polling interval, so a device of which nothing is known yet is one without an update. 200 is an
error to it. Source: SWUpdate, `suricatta/server_general.c`.
"""

from __future__ import annotations

from http import HTTPStatus

from otaflux.errors import BadName, NotFound, Undecided
from otaflux.model.names import Device
from otaflux.web.answers import Answer, redirect
from otaflux.web.devices.ask import Ask
from otaflux.web.devices.offer import Unit
from otaflux.web.devices.parameters import parameters, version_said
from otaflux.web.devices.request import DeviceRequest

_NAMES = frozenset({"device", "version", "current", "unit", "channel"})


async def general(request: DeviceRequest) -> Answer:
    """302 to the bytes of what the unit should run; raises `NotFound` where it runs that."""
    said = parameters(request.target.query, _NAMES)
    if not said.get("device"):
        raise BadName("Missing required query parameter: 'device'")
    device, channel = Device.parse(said["device"]), request.parts.channels.read(said.get("channel"))
    runs = version_said(said.get("version") or said.get("current", ""))
    unit = Unit(request.unit_name(said.get("unit", "")), runs)
    try:
        found = await request.offered(Ask(device, channel, unit=unit))
    except Undecided as error:
        raise NotFound(f"No update for device '{device}' is known yet") from error
    if found.is_installed:
        raise NotFound(f"The unit runs what device '{device}' is told")
    return redirect(request.link(found.release.firmware), HTTPStatus.FOUND)
