"""What is asked about a device: a request's target and headers, parsed once into an `Ask`.

Pure, and hostile input is the normal case: every target has a defined meaning or raises `BadName`
or `NotFound`, whose texts are fit to be sent and never repeat the input. Which addresses there are
is `protocols/table.py`'s; all of them, and the request cache before them, read by this.

Targets are those of RFC 9112 section 3.2 (origin and absolute form), and empty parts of a path
count for nothing, as with nginx; queries are decoded as HTML forms are, so that `+` is a space;
units are named as Arduino's `HTTPUpdate` and RAUC name them.
"""

from __future__ import annotations

import re

import msgspec
from multidict import MultiMapping

from otaflux.errors import BadName
from otaflux.model.names import STABLE, Channel, Device
from otaflux.model.version import Version
from otaflux.units.seen import can_be_unit
from otaflux.web.devices.offer import NOBODY, Unit
from otaflux.web.devices.parameters import version_said
from otaflux.web.target import Target, decoded

_PARAMETERS = frozenset({"device", "channel", "version", "unit", "current", "wait"})
LONGEST = 60  # seconds that a poll may wait
_SECONDS = re.compile(r"[0-9]{1,2}")
_OF_UNITS = frozenset({"unit", "current"})
_UNIT_HEADERS = ("x-ESP32-STA-MAC", "x-ESP8266-STA-MAC", "RAUC-Serial")
# Of clients that put parameters behind an address that has some; none of the names may hold them.
_JOINT = re.compile(r"[?;&]")
_UNIT = re.compile(r"[!-~]{1,64}")
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)


class Channels(msgspec.Struct, frozen=True):
    """The channels that may be named: `others` besides the stable one.

    `default` is whose answer those get who name none.
    """

    others: frozenset[Channel] = frozenset()
    default: Channel = STABLE

    def read(self, text: str | None) -> Channel:
        """The channel that is named, or not; raises `BadName` naming those that there are."""
        if text is None:
            return self.default
        channel = Channel.parse(text)
        if channel != STABLE and channel not in self.others:
            there = ", ".join((STABLE, *sorted(self.others)))
            raise BadName(f"There is no such channel; there are: {there}")
        return channel


ONLY_STABLE = Channels()


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What is asked about a device, by whom, and in which form.

    `version` is the pin, or None. `unit` is the board that asks, as far as it names itself.
    `proxied` says that the request names a proxy, behind which many clients may share the
    connection. `wait` is how many seconds the answer may take until something else is told.
    """

    device: Device
    channel: Channel = STABLE
    version: Version | None = None
    unit: Unit = NOBODY
    json: bool = False
    proxied: bool = False
    wait: int = 0


def read(
    target: Target,
    headers: MultiMapping[str],
    *,
    device: str = "",
    channels: Channels = ONLY_STABLE,
) -> Ask:
    """Read what is asked about a device, which the path may name, as `device`, or the query.

    `channels` are those that it may name. Raises `BadName` for a device, channel,
    version, unit or wait that cannot be one.
    """
    asked = _query(target.query)
    if device and "device" in asked:
        raise BadName("The device is named twice, in the path and in the query")
    channel = channels.read(asked.get("channel"))
    version = Version.parse(asked["version"]) if "version" in asked else None
    unit = _unit(asked.get("unit", ""), headers)
    if "current" in asked:
        unit = Unit(unit.name, version_said(asked["current"]))
    json = _prefers_json(headers)
    return Ask(
        _device(device or asked.get("device", "")),
        channel,
        version,
        unit=unit,
        json=json,
        wait=_wait(asked.get("wait"), headers),
        proxied="Via" in headers or "Forwarded" in headers or "X-Forwarded-For" in headers,
    )


def wants_digest(headers: MultiMapping[str]) -> bool:
    """Whether `Repr-Digest` with SHA-256 is wanted (RFC 9530 section 4)."""
    wanted = headers.getall("Want-Repr-Digest", None)
    return wanted is not None and "sha-256" in _weighted(wanted, separator="=")


def _query(query: str) -> dict[str, str]:
    """The parameters that mean something here; others are left alone."""
    found: dict[str, str] = {}
    is_plain = "%" not in query and "+" not in query and query.isascii()
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not is_plain:
            name, value = decoded(name.replace("+", " ")), decoded(value.replace("+", " "))
        if name not in _PARAMETERS:
            continue
        if name in found:
            raise BadName(f"The query parameter '{name}' is given more than once")
        joint = _JOINT.search(value) if name not in _OF_UNITS else None
        if joint is not None:
            raise BadName(f"Further parameters begin with '&', not with '{joint[0]}'")
        found[name] = value
    return found


def _wait(text: str | None, headers: MultiMapping[str]) -> int:
    """How long a client waits for something else than what it names; 0 where it names nothing."""
    if text is None:
        return 0
    if not _SECONDS.fullmatch(text) or not 1 <= int(text) <= LONGEST:
        raise BadName(f"'wait' is 1 to {LONGEST} whole seconds")
    return int(text) if "If-None-Match" in headers else 0


def _device(text: str) -> Device:
    if not text:
        raise BadName("Missing required query parameter: 'device'")
    return Device.parse(text)


def _unit(named: str, headers: MultiMapping[str]) -> Unit:
    """One board. A header that cannot name one is passed over: no board sends it on purpose.

    What headers have comes from the hardware, such as a serial number with spaces.
    Raises `BadName` for a query's unit that cannot be one.
    """
    if named and not _UNIT.fullmatch(named):
        raise BadName("A unit's name is printable ASCII without spaces, 64 characters at most")
    if named:
        return Unit(named)
    for header in _UNIT_HEADERS:
        name = headers.get(header, "").strip()
        if name and can_be_unit(name):
            return Unit(name)
    return NOBODY


def _prefers_json(headers: MultiMapping[str]) -> bool:
    """Whether JSON is asked for by name, and text not rather (RFC 9110 section 12.5.1)."""
    lines = headers.getall("Accept", None)
    if lines is None or lines == ["*/*"]:
        return False
    accepted = _weighted(lines, separator=";")
    json = accepted.get("application/json", 0.0)
    return json > 0 and json >= accepted.get("text/plain", 0.0)


def _weighted(lines: list[str], *, separator: str) -> dict[str, float]:
    """The members of a list header with a weight above 0.

    `Accept: type;q=0.5` has the separator `;`; the dictionary `Want-Repr-Digest: sha-256=10` (RFC
    9530 section 4) has `=`, and its weights are 0 to 10. A weight that is none counts as 1.
    """
    members: dict[str, float] = {}
    for line in lines:
        for member in line.split(","):
            name, *parameters = (part.strip() for part in member.split(separator))
            weight = 1.0
            for parameter in parameters:
                quality = _QUALITY.fullmatch(parameter)
                if quality is not None:
                    weight = float(quality[1])
                elif separator == "=" and parameter == "0":
                    weight = 0.0
            if name and weight > 0:
                members[name.lower()] = weight
    return members
