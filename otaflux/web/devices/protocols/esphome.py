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

from urllib.parse import quote

from otaflux.errors import NothingHigher
from otaflux.model.notes import page_of
from otaflux.model.release import Release
from otaflux.web.answers import Answer, content_path, json_body
from otaflux.web.devices.offer import NOBODY, offer
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
    """The manifest of what a device is told; of what the board runs, where all else is lower."""
    ask = request.ask()
    try:
        found = await request.offered(ask)
    except NothingHigher:
        parts = request.parts
        record, now = parts.catalog.get(ask.device), parts.machine.now()
        lower = offer(record, ask.channel, NOBODY, now, pin=ask.version)
        if lower is None:
            raise
        return request.judged(staying(lower.release, ask.unit.version, request.public_url))
    path = request.signed(content_path(found.release.firmware))
    release = await request.summed(found.release)
    return request.judged(manifest_of(release, request.public_url, path))


def staying(lower: Release, runs: str, public_url: str | None) -> Answer:
    """The manifest by which a board keeps what it runs, for nobody is told less.

    It has no link to what is `lower`, so that a board which is made to install all the same gets
    nothing: its link names the version that it runs.
    """
    device = quote(lower.device.name, safe="")
    path = f"/firmware?device={device}&version={quote(runs, safe='')}"
    ota = {"path": (public_url or "").rstrip("/") + path, "md5": "0" * 32}
    return _manifest(lower, runs, ota)


def manifest_of(release: Release, public_url: str | None, path: str = "") -> Answer:
    """The manifest of a release. Its link goes to the content, below `public_url` where set.

    `path` is the link's, where it is not the plain one.
    """
    ota = {
        "path": (public_url or "").rstrip("/") + (path or content_path(release.firmware)),
        "md5": release.firmware.sums.slow()[0],
    }
    # A board holds all of the manifest in memory at once: what each build repeats is short.
    most = MAX_REPEATED if len(_families(release)) > 1 else len(release.summary + release.page)
    if release.summary:
        ota["summary"] = release.summary[:most]
    page = page_of(release.page)
    if page and len(page) <= most:
        ota["release_url"] = page
    return _manifest(release, release.version.text, ota)


def _manifest(release: Release, version: str, ota: dict[str, str]) -> Answer:
    builds = [{"chipFamily": family, "ota": ota} for family in _families(release)]
    return json_body({"name": release.device.name, "version": version, "builds": builds})


def _families(release: Release) -> tuple[str, ...]:
    chip = release.firmware.chip
    return (chip.family,) if chip else BESIDES
