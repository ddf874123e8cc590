"""The manifest that ESPHome's `update` platform polls (`source:` of `http_request`).

Source of the format: ESPHome's `http_request` update component, which reads the manifest of
esp-web-tools with an `ota` member. ESPHome compares the version as text, takes the build whose
`chipFamily` is its own, and follows `path`: absolute where it holds "http", else from the origin.
An answer other than 200 made ESPHome before 2025.11 leak memory at every poll, and a manifest
without a build for the board is an error, so there is always one where there is a release. A
repository is of one kind of board: an image that does not say its chip, and for which nobody named
one, is offered to each family whose images do not say it.
"""

from __future__ import annotations

from otaflux.model.release import Release
from otaflux.web.answers import Answer, content_path, json_body
from otaflux.web.devices.request import DeviceRequest

# What ESPHome calls itself where an image does not tell: `ESPHOME_VARIANT` of its components
# rp2040, libretiny and nrf52, now and before, and of esp8266, whose images may be compressed.
BESIDES = (
    "ESP8266",
    "RP2040",
    "RP2350",
    "BK7231N",
    "BK7231Q",
    "BK7231T",
    "BK7238",
    "BK7251",
    "BK7252",
    "LN882H",
    "RTL8710B",
    "RTL8710BN",
    "RTL8710BX",
    "RTL8720C",
    "RTL8720CF",
    "NRF52",
)
MAX_REPEATED = 100  # characters of a summary or page that every one of several builds has


async def manifest(request: DeviceRequest) -> Answer:
    """The manifest of what a device is told."""
    offer = await request.offered(request.ask())
    path = request.signed(content_path(offer.release.firmware))
    return request.judged(manifest_of(offer.release, request.public_url, path))


def manifest_of(release: Release, public_url: str | None, path: str = "") -> Answer:
    """The manifest of a release. Its link goes to the content, below `public_url` where set.

    `path` is the link's, where it is not the plain one.
    """
    chip = release.firmware.chip
    families = (chip.family,) if chip else BESIDES
    ota = {
        "path": (public_url or "").rstrip("/") + (path or content_path(release.firmware)),
        "md5": release.firmware.sums.md5,
    }
    # A board holds all of the manifest in memory at once: what each build repeats is short.
    most = MAX_REPEATED if len(families) > 1 else len(release.summary + release.page)
    if release.summary:
        ota["summary"] = release.summary[:most]
    if release.page and len(release.page) <= most:
        ota["release_url"] = release.page
    builds = [{"chipFamily": family, "ota": ota} for family in families]
    return json_body(
        {"name": release.device.name, "version": release.version.text, "builds": builds}
    )
