"""Arduino's `HTTPUpdate` on ESP8266 and ESP32, and Tasmota, which uses it.

The board says in headers what it runs, and takes 304 for "nothing newer"; it checks `x-MD5`.
Source of the headers: ESP8266httpUpdate and HTTPUpdate of the Arduino cores, and "Advanced updater"
in the ESP8266 core's documentation. Tasmota appends the image's name in brackets to its version.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import msgspec
from multidict import MultiMapping

from otaflux.errors import NotFound, NothingHigher
from otaflux.web.answers import Answer, not_modified, plain_text
from otaflux.web.devices.delivery import FirmwareAnswer
from otaflux.web.devices.offer import Offer, Unit
from otaflux.web.devices.request import DeviceRequest

_MODES = {"sketch", "version"}
_HEADERS = tuple(
    tuple(prefix + name for name in ("mode", "version", "sketch-md5", "STA-MAC"))
    for prefix in ("x-ESP32-", "x-ESP8266-")
)


class Running(msgspec.Struct, frozen=True):
    """What the board says of itself; empty where it does not. `mode` is what it wants."""

    mode: str = "sketch"
    version: str = ""
    sketch_md5: str = ""


def is_spoken(headers: MultiMapping[str]) -> bool:
    """Whether the headers are those of such a board."""
    return read(headers) is not None


async def firmware(request: DeviceRequest) -> Answer | FirmwareAnswer:
    """The firmware with the sum that the board checks, or that it has it already."""
    running, ask = read(request.headers) or Running(), request.ask()
    version = running.version or ask.unit.version
    unit = Unit(ask.unit.name, version, running.sketch_md5)
    try:
        answered = await request.firmware(msgspec.structs.replace(ask, unit=unit))
    except NothingHigher:
        if running.mode in _MODES:
            return Answer(HTTPStatus.NOT_MODIFIED, ())
        raise
    summed = replace(answered.offer, release=await request.summed(answered.offer.release))
    whole = answer(running.mode, summed, answered.whole)
    return replace(answered, whole=whole)


def read(headers: MultiMapping[str]) -> Running | None:
    """What the headers say, or None for other clients."""
    for mode_header, version_header, md5_header, mac_header in _HEADERS:
        mode, version = headers.get(mode_header), headers.get(version_header)
        md5 = headers.get(md5_header)
        if mode or version or md5 or mac_header in headers:
            return Running(
                (mode or "sketch").strip().lower(),
                (version or "").partition("(")[0].strip(),
                (md5 or "").strip().lower(),
            )
    return None


def answer(mode: str, offer: Offer, whole: Answer) -> Answer:
    """What the board gets instead of `whole`, or `whole` with the sum that it checks.

    Raises `NotFound` for a mode that there is no firmware for, such as a file system's image.
    """
    release = offer.release
    md5 = ("x-MD5", release.firmware.sums.slow()[0])
    match mode:
        case "version":  # ESP8266's getAvailableVersion: it reads the header and hangs up
            version = release.version.text
            return plain_text(version).with_headers(("x-version", version), md5)
        case "sketch":
            return not_modified(whole) if offer.is_installed else whole.with_headers(md5)
        case _:
            raise NotFound(f"No firmware for device '{release.device}' in that mode")
