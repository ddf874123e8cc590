"""Arduino's `HTTPUpdate` on ESP8266 and ESP32, and Tasmota, which uses it.

Pure. The board says in headers what it runs, and takes 304 for "nothing newer"; it checks `x-MD5`.
Source of the headers: ESP8266httpUpdate and HTTPUpdate of the Arduino cores, and "Advanced updater"
in the ESP8266 core's documentation. Tasmota appends the image's name in brackets to its version.
"""

from __future__ import annotations

from dataclasses import dataclass

from multidict import MultiMapping

from otaflux.errors import BadName, NotFound
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.web.answers import Answer, not_modified, plain_text

_PREFIXES = ("x-ESP32-", "x-ESP8266-")


@dataclass(frozen=True, slots=True)
class Running:
    """What the board says of itself; empty where it does not. `mode` is what it wants."""

    mode: str = "sketch"
    version: str = ""
    sketch_md5: str = ""


def read(headers: MultiMapping[str]) -> Running | None:
    """What the headers say, or None for other clients."""
    for prefix in _PREFIXES:
        mode, version, md5 = (
            headers.get(prefix + name) for name in ("mode", "version", "sketch-md5")
        )
        if mode or version or md5 or prefix + "STA-MAC" in headers:
            return Running(
                (mode or "sketch").strip().lower(),
                (version or "").partition("(")[0].strip(),
                (md5 or "").strip().lower(),
            )
    return None


def answer(running: Running, release: Release, whole: Answer) -> Answer:
    """What the board gets instead of `whole`, or `whole` with the sum that it checks.

    Raises `NotFound` for a mode that there is no firmware for, such as a file system's image.
    """
    md5 = ("x-MD5", release.firmware.sums.md5)
    match running.mode:
        case "version":  # ESP8266's getAvailableVersion: it reads the header and hangs up
            version = release.version.text
            return plain_text(version).with_headers(("x-version", version), md5)
        case "sketch":
            current = _is(running.version, release.version) or (
                running.sketch_md5 == release.firmware.sums.md5
            )
            return not_modified(whole) if current else whole.with_headers(md5)
        case _:
            raise NotFound(f"No firmware for device '{release.device}' in that mode")


def _is(text: str, version: Version) -> bool:
    try:
        return Version.parse(text) == version
    except BadName:
        return False
