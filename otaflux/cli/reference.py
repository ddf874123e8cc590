"""`DEVICE:TAG` and `DEVICE[:VERSION]`, as commands take them."""

from __future__ import annotations

from otaflux.errors import BadName
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version, meant


def device_and_tag(text: str, *, any_tag: bool) -> tuple[Device, Tag]:
    """Read `DEVICE:TAG`; raises `BadName` for a tag that is no version, unless any tag will do."""
    name, colon, written = text.rpartition(":")
    if not colon:
        raise BadName(f"expected DEVICE:TAG, such as lamp:1.0.0, not '{text}'")
    device, tag = Device.parse(name), Tag.parse(written)
    try:
        Version.parse(written)
    except BadName as error:
        if any_tag:
            return device, tag
        instead = meant(written)
        hint = f"; meant {instead}?" if instead else ""
        raise BadName(
            f"tag '{written}' is no version, so no device would be told it{hint}"
            f" ({error}; --any-tag pushes it all the same)"
        ) from None
    return device, tag


def device_and_version(text: str) -> tuple[Device, Version | None]:
    """Read `DEVICE[:VERSION]`."""
    name, colon, written = text.partition(":")
    return Device.parse(name), Version.parse(written) if colon else None
