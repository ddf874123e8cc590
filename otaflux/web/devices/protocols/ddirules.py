"""What hawkBit's protocol offers to one unit: which release, which cancel, and in which words.

Pure. Source of the format: Eclipse hawkBit's Direct Device Integration API, and what its clients
make of it (swupdate's `server_hawkbit.c`, `rauc-hawkbit-updater`, Zephyr's `hawkbit.c`). An
*action* is the update of one unit to one release. Its number comes from the release's digest, so
that each replica says the same without a word between them.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import msgspec

from otaflux.errors import BadName
from otaflux.model.names import Channel, Device
from otaflux.model.record import Record, is_within
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.units.reoffer import is_due
from otaflux.units.seen import MAX_ACTION, SeenUnit, can_be_unit
from otaflux.web.devices.offer import NOBODY, Offer, Unit, lowers, offer

FIRST_SLEEP = 10  # seconds until a unit that was not known comes back for its deployment
WITHDRAWN_KNOWN = 7 * 24 * 3600.0  # seconds in which feedback for a withdrawn release is taken
RUMOURED = 24 * 3600.0  # seconds after its release in which an action is kept back by a rumour
_UNNAMED = frozenset({"default"})  # tenants of clients that have no other, whatever their case
_SAFE = "!$&'()*+,;=:@~"


class UnitPlan(msgspec.Struct, frozen=True):
    """What a unit is told at a poll: an action to end, or a release to install; maybe neither.

    `stands` is the release that is current for it, if there is one.
    """

    cancel: int = 0
    deploy: Release | None = None
    stands: Release | None = None


def action_of(release: Release) -> int:
    """The number of the update to a release: 31 bits of the tag's digest, never 0."""
    return int(release.manifest_digest.hex[:8], 16) & MAX_ACTION or 1


def read_action(text: str) -> int:
    """The number in an address; 0, which no action has, for what is none."""
    return (
        int(text) if text.isascii() and text.isdecimal() and len(text) <= len("2147483647") else 0
    )


def check_unit(unit: str) -> None:
    """Raise `BadName` for what cannot be a unit's name in an address, where a slash divides."""
    if "/" in unit or not can_be_unit(unit):
        raise BadName("A unit's name is 1 to 200 printable ASCII characters without '/'")


def device_named(tenant: str, unit: str, is_known: Callable[[Device], bool]) -> Device | None:
    """The device that an address names: the tenant, else what the unit's name begins with.

    Of those, the longest before a `-` (Zephyr's BOARD-HWID). None where there is none known.
    """
    if tenant.lower() not in _UNNAMED:
        device = _device(tenant)
        if device is not None and is_known(device):
            return device
    at = unit.rfind("-")
    while at > 0:
        device = _device(unit[:at])
        if device is not None and is_known(device):
            return device
        at = unit.rfind("-", 0, at)
    return None


def _device(text: str) -> Device | None:
    try:
        return Device.parse(text.replace("~", "/"))
    except BadName:
        return None


def release_of(record: Record | None, action: int, now: float) -> Release | None:
    """The release of an action: in the catalog, or withdrawn a few days ago; else None."""
    if record is None or not action:
        return None
    for release in record.served():
        if action_of(release) == action:
            return release
    for retired in record.retired:
        lately = not retired.withdrawn or is_within(WITHDRAWN_KNOWN, retired.at, now)
        if lately and action_of(retired.release) == action:
            return retired.release
    return None


def is_withdrawn(record: Record, action: int) -> bool:
    """Whether the release of an action was taken back, and is served to nobody any more.

    What has no signature any more that is trusted was taken back, too.
    """
    return any(
        (retired.withdrawn or record.is_lapsed(retired.release))
        and action_of(retired.release) == action
        for retired in record.retired
    ) and all(action_of(release) != action for release in record.served())


def is_given(record: Record, release: Release, seen: SeenUnit | None) -> bool:
    """Whether a unit that asks for a release gets it, though it is not told of it any more.

    Not where it was taken back, but to who began it before, nor where the unit runs more than that
    and nobody is told less. What is not signed any more nobody gets.
    """
    if record.is_lapsed(release):
        return False
    action = action_of(release)
    if seen is not None and seen.was_given(action):
        return True
    runs = Unit(version=seen.runs) if seen is not None else NOBODY
    return not is_withdrawn(record, action) and not lowers(record, release, runs)


def plan(
    record: Record | None, seen: SeenUnit, channel: Channel, now: float, *, rumour: int = 0
) -> UnitPlan:
    """What a unit is told now. `now` is in seconds since the epoch.

    `rumour` is an action that the unit is said to have closed, by whom nobody can tell: it may be
    false, so it counts for a day after that release came to be told, and not to a unit amid it.
    """
    if record is None:
        return UnitPlan()
    if seen.is_amid and is_withdrawn(record, seen.action):
        release = release_of(record, seen.action, now)
        if not seen.goes_on:
            return UnitPlan(cancel=seen.action)
        if release is not None and is_given(record, release, seen):
            return UnitPlan(deploy=release)
    found = offer(record, channel, Unit(seen.unit, seen.runs), now)
    if found is None:
        return UnitPlan()
    wanted = _is_wanted(found, seen, now) and not (
        rumour == action_of(found.release)
        and not (seen.is_amid and seen.action == rumour)
        and _is_new(record, found.release, now)
    )
    return UnitPlan(0, found.release if wanted else None, found.release)


def _is_new(record: Record, release: Release, now: float) -> bool:
    """Whether a release came to be told less than a day ago."""
    return any(
        standing.release == release and is_within(RUMOURED, standing.since, now)
        for standing in record.channels.values()
    )


def _is_wanted(found: Offer, seen: SeenUnit, now: float) -> bool:
    """Whether a unit is to install what it is offered."""
    action = action_of(found.release)
    if seen.gave_feedback and seen.is_amid and seen.action == action:
        return True  # it looks for its action until it has closed it, whatever it runs by then
    if found.is_installed or (seen.closed == action and not _is_version(seen.runs)):
        return False
    return is_due(seen, action, now)


def _is_version(text: str) -> bool:
    try:
        Version.parse(text)
    except BadName:
        return False
    return True


def sleep(seconds: int) -> str:
    """Seconds as HH:MM:SS, in exactly eight characters."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def file_name(release: Release) -> str:
    """What the artifact is called: clients go by its extension, which goes by its bytes."""
    return release.device.name.rpartition("/")[2] + release.firmware.extension


def base(tenant: str, unit: str) -> str:
    """The path of a unit. Zephyr looks for `DEFAULT` in its links, whatever it asked for."""
    shown = "DEFAULT" if tenant.lower() in _UNNAMED else quote(tenant, safe=_SAFE)
    return f"/{shown}/controller/v1/{quote(unit, safe=_SAFE)}"


def polled(base: str, plan: UnitPlan, *, asks: bool, seconds: int) -> dict[str, object]:
    """The answer to a poll; `asks` is for attributes, `seconds` until the next."""
    links: dict[str, object] = {}
    if plan.cancel:
        links["cancelAction"] = {"href": f"{base}/cancelAction/{plan.cancel}"}
    if plan.deploy is not None:
        links["deploymentBase"] = {"href": f"{base}/deploymentBase/{action_of(plan.deploy)}"}
    if asks:
        links["configData"] = {"href": f"{base}/configData"}
    return {"config": {"polling": {"sleep": sleep(seconds)}}, "_links": links}


def artifact_path(base: str, release: Release) -> str:
    """Where the file of a release lies, below a unit's path."""
    return f"{base}/softwaremodules/{action_of(release)}/artifacts/{file_name(release)}"


def deployment(href: str, release: Release) -> dict[str, object]:
    """A deployment, whose file lies at `href`.

    One chunk with one artifact is all that Zephyr and RAUC's client take. Zephyr reads it
    into 1,100 bytes, so nothing is in it that no client needs.
    """
    sums, link = release.firmware.sums, {"href": href}
    md5, sha1 = sums.slow()
    artifact = {
        "filename": file_name(release),
        "hashes": {"sha1": sha1, "md5": md5, "sha256": sums.sha256},
        "size": sums.size,
        "_links": {"download": link, "download-http": link},
    }
    chunk = {
        "part": "bApp",
        "version": release.version.text,
        "name": release.device.name,
        "artifacts": [artifact],
    }
    return {
        "id": str(action_of(release)),
        "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]},
    }


def cancel(action: int) -> dict[str, object]:
    """The end of an action."""
    return {"id": str(action), "cancelAction": {"stopId": str(action)}}
