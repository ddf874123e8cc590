"""The manifest that ESPHome's `update` platform polls (`source:` of `http_request`).

Source of the format: ESPHome's `http_request` update component, which reads the manifest of
esp-web-tools with an `ota` member. ESPHome compares the version as text, takes the build whose
`chipFamily` is its own, and follows `path`: absolute where it holds "http", else from the origin.
An answer other than 200 made ESPHome before 2025.11 leak memory at every poll, so there is always a
manifest where there is a release, without a build for an image that is no ESP's.
"""

from __future__ import annotations

from otaflux.model.release import Release
from otaflux.web.answers import Answer, content_path, json_body
from otaflux.web.devices.exchange import Exchange


async def manifest(exchange: Exchange) -> Answer:
    """The manifest of what a device is told."""
    offer = await exchange.offered(exchange.ask())
    return exchange.judged(manifest_of(offer.release, exchange.public_url))


def manifest_of(release: Release, public_url: str | None) -> Answer:
    """The manifest of a release. Its link goes to the content, below `public_url` where set."""
    ota = {
        "path": (public_url or "").rstrip("/") + content_path(release.firmware),
        "md5": release.firmware.sums.md5,
    }
    if release.summary:
        ota["summary"] = release.summary
    if release.page:
        ota["release_url"] = release.page
    chip = release.firmware.chip
    builds = [{"chipFamily": chip.family, "ota": ota}] if chip else []
    return json_body(
        {"name": release.device.name, "version": release.version.text, "builds": builds}
    )
