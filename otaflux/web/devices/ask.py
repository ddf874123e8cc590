"""What a device asks for: one request target and its headers, parsed once into an `Ask`.

Pure, and hostile input is the normal case: every target has a defined meaning or raises one of
`BadName`, `NotFound` and `WrongMethod`, whose texts are fit to be sent and never repeat the input.
Both ways to an answer use `parse`: the handlers, and the shortcut before them, which may only take
an `Ask` that is `plain`.

Targets are those of RFC 9112 section 3.2 (origin and absolute form); queries are decoded as HTML
forms are, so that `+` is a space; units are named as Arduino's `HTTPUpdate` and RAUC name them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_to_bytes

from multidict import MultiMapping

from otaflux.errors import BadName, NotFound, WrongMethod
from otaflux.model.artifact import Digest
from otaflux.model.names import STABLE, Device, parse_channel
from otaflux.model.version import Version

FIRMWARE_FILE = "firmware.bin"  # the one file name that path addresses have
MANIFEST_FILE = "manifest.json"

_PARAMETERS = frozenset({"device", "channel", "version", "unit"})
_UNIT_HEADERS = ("x-ESP32-STA-MAC", "x-ESP8266-STA-MAC", "RAUC-Serial")
_PROXY_HEADERS = ("Via", "Forwarded", "X-Forwarded-For")
# Headers that a plain answer does not depend on are all others: Range and dates among them, for
# /version ignores ranges and has no date of its own (RFC 9110 sections 13.1.3 and 13.1.4).
_SPECIAL_HEADERS = ("If-None-Match", "If-Match", "Want-Repr-Digest", *_PROXY_HEADERS)
_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_UNIT = re.compile(r"[!-~]{1,64}")
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)


class Address(Enum):
    """The addresses, by the name that metrics and docs give them."""

    HEALTH = "/health"
    VERSION = "/version"
    FIRMWARE = "/firmware"
    CONTENT = "/firmware/sha256/HEX"
    ESPHOME = "/esphome/D/manifest.json"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked, by whom, and in which form.

    `device` is set for all but health and content, `digest` for content alone. `version` is the
    pin, or None. `unit` names one board, or is empty. `proxied` says that the request names a
    proxy, behind which many clients may share the connection. `plain` says that the answer depends
    on nothing but the device: the text of its stable version.
    """

    address: Address
    head: bool = False
    device: Device | None = None
    channel: str = STABLE
    version: Version | None = None
    digest: Digest | None = None
    unit: str = ""
    json: bool = False
    wants_digest: bool = False
    proxied: bool = False
    plain: bool = False


def parse(
    method: str,
    target: str,
    headers: MultiMapping[str],
    *,
    channels: frozenset[str] = frozenset(),
) -> Ask:
    """Read a request; `target` is as it came, `channels` are those served besides the stable one.

    Raises `NotFound` for an address that is none, `WrongMethod` for one that takes GET and HEAD
    only, `BadName` for a device, channel, version or unit that cannot be one.
    """
    path, _, query = _origin_form(target).partition("?")
    room, name = _room(_decoded(path))
    if method not in {"GET", "HEAD"}:
        raise WrongMethod("GET", "HEAD")
    head = method == "HEAD"
    wants_digest = "sha-256" in _weighted(headers.getall("Want-Repr-Digest", []), separator="=")
    if room is Address.HEALTH:
        return Ask(room, head)
    if room is Address.CONTENT:
        return Ask(
            room,
            head,
            digest=Digest("sha256", name),
            unit=_unit({}, headers),
            wants_digest=wants_digest,
        )
    asked = _query(query)
    if name and "device" in asked:
        raise BadName("The device is named twice, in the path and in the query")
    device = _device(name or asked.get("device", ""))
    channel = _channel(asked.get("channel", STABLE), channels)
    version = Version.parse(asked["version"]) if "version" in asked else None
    unit = _unit(asked, headers)
    json = room is Address.VERSION and _prefers_json(headers)
    special = any(header in headers for header in _SPECIAL_HEADERS)
    return Ask(
        room,
        head,
        device,
        channel,
        version,
        unit=unit,
        json=json,
        wants_digest=wants_digest,
        proxied=any(header in headers for header in _PROXY_HEADERS),
        plain=room is Address.VERSION
        and not (head or json or special or unit or version)
        and channel == STABLE,
    )


def _origin_form(target: str) -> str:
    """The path and query; servers accept the absolute form too (RFC 9112 section 3.2.2)."""
    if target.startswith("/"):
        return target
    authority = _AUTHORITY.match(target)
    if authority is None:
        raise NotFound("Nothing is at this address")
    rest = target[authority.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _decoded(text: str) -> str:
    """Percent-decoded; bytes that are no UTF-8 become U+FFFD, which no name allows."""
    if "%" in text or not text.isascii():
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")
    return text


def _room(path: str) -> tuple[Address, str]:
    """The address, and the device or digest that the path itself names, or nothing."""
    match path:
        case "/version":
            return Address.VERSION, ""
        case "/firmware":
            return Address.FIRMWARE, ""
        case "/health":
            return Address.HEALTH, ""
        case _:
            pass
    if path.startswith("/firmware/"):
        name, _, file = path.removeprefix("/firmware/").rpartition("/")
        if name and file == FIRMWARE_FILE:
            return Address.FIRMWARE, name
        if name == "sha256" and re.fullmatch(r"[0-9a-f]{64}", file):
            return Address.CONTENT, file
    elif path.startswith("/esphome/"):
        name, _, file = path.removeprefix("/esphome/").rpartition("/")
        if name and file == MANIFEST_FILE:
            return Address.ESPHOME, name
    raise NotFound("Nothing is at this address")


def _query(query: str) -> dict[str, str]:
    """The parameters that mean something here; others are left alone."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = (_decoded(part.replace("+", " ")) for part in pair.partition("="))
        if name not in _PARAMETERS:
            continue
        if name in found:
            raise BadName(f"The query parameter '{name}' is given more than once")
        found[name] = value
    return found


def _device(text: str) -> Device:
    if not text:
        raise BadName("Missing required query parameter: 'device'")
    return Device.parse(text)


def _channel(text: str, channels: frozenset[str]) -> str:
    channel = parse_channel(text)
    if channel != STABLE and channel not in channels:
        there = ", ".join((STABLE, *sorted(channels)))
        raise BadName(f"There is no such channel; there are: {there}")
    return channel


def _unit(asked: dict[str, str], headers: MultiMapping[str]) -> str:
    """One board's name. A header that cannot be one is passed over: no board sends it on purpose.

    Raises `BadName` for a query's unit that cannot be one.
    """
    unit = asked.get("unit", "")
    if unit:
        if not _UNIT.fullmatch(unit):
            raise BadName("A unit's name is printable ASCII without spaces, 64 characters at most")
        return unit
    for header in _UNIT_HEADERS:
        unit = headers.get(header, "").strip()
        if _UNIT.fullmatch(unit):
            return unit
    return ""


def _prefers_json(headers: MultiMapping[str]) -> bool:
    """Whether JSON is asked for by name, and text not rather (RFC 9110 section 12.5.1)."""
    accepted = _weighted(headers.getall("Accept", []), separator=";")
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
