"""`DEVICE:TAG` and `DEVICE[:VERSION]`, as commands take them."""

from __future__ import annotations

import re

from otaflux.errors import BadName
from otaflux.model.names import MAX_TAG, Device, Tag
from otaflux.model.version import Version, meant

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")  # what the OCI grammar of tags has not


def device_and_tag(text: str, *, any_tag: bool, hint: str = "") -> tuple[Device, Tag]:
    """Read `DEVICE:TAG`; raises `BadName` for a tag that is no version, unless any tag will do.

    `hint` says what the command offers for such a tag, empty where nothing.
    """
    name, colon, written = text.rpartition(":")
    if not colon:
        raise BadName(f"expected DEVICE:TAG, such as lamp:1.0.0, not '{text}'")
    device, tag = Device.parse(name), tag_of(written)
    try:
        Version.parse(written)
    except BadName as error:
        if any_tag:
            return device, tag
        instead = meant(written)
        maybe = f"; meant {instead}?" if instead else ""
        offer = f"; {hint}" if hint else ""
        raise BadName(
            f"tag '{written}' is no version, so no device would be told it{maybe} ({error}{offer})"
        ) from None
    return device, tag


def tag_of(text: str) -> Tag:
    """Read a tag; raises `BadName`, which names it and says what a tag cannot have."""
    try:
        return Tag.parse(text)
    except BadName:
        raise BadName(f"'{text}' cannot be a tag: {_why_no_tag(text)}") from None


def _why_no_tag(text: str) -> str:
    if not text:
        return "it is empty"
    foreign = _FOREIGN.search(text)
    spelled = text.replace("+", "_")
    if foreign and foreign[0] == "+" and not _FOREIGN.search(spelled):
        return f"no '+' can be in one: write '{spelled}', which devices are told with '+'"
    if foreign:
        return f"it has {foreign[0]!r}, and a tag is letters, digits, '_', '.' and '-'"
    if len(text) > MAX_TAG:
        return f"it has {len(text)} characters, and a tag has at most {MAX_TAG}"
    return f"it begins with {text[0]!r}, and a tag with a letter, a digit or '_'"


def device_and_version(text: str) -> tuple[Device, Version | None]:
    """Read `DEVICE[:VERSION]`."""
    name, colon, written = text.partition(":")
    return Device.parse(name), Version.parse(written) if colon else None
