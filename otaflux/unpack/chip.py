"""What an ESP image says of itself in its first bytes: chip family, version, project. Pure.

Unknown images are fine: they have no `Chip`, but for the family that whoever pushed them names. An
ESP8266 image begins with the same magic, and with its first segment where others name their chip:
where that goes to, and where it begins to run, is memory that only an ESP8266 has.

Trust: the text comes from whoever built the image, and reaches pages and logs; it is made printable
and is at most 32 characters. Sources of the format: ESP-IDF `esp_app_format.h`
(`esp_image_header_t`, `esp_chip_id_t`) and `esp_app_desc.h` (`esp_app_desc_t`); the names are those
that ESPHome and esp-web-tools compare with.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from otaflux.model.artifact import CHIP, Manifest
from otaflux.model.release import Chip
from otaflux.wording import plain

HEADER = 288  # bytes that are enough: image header, segment header, application description

ESP8266 = "ESP8266"

_MAGIC = 0xE9
_DESCRIPTION_MAGIC = 0xABCD5432
MAX_NAMED = 32  # characters of a family that an annotation names
TEXT = 32  # bytes of a version or a project's name, with the zero byte that ends it
_MAX_SEGMENTS = 16

_FAMILIES = {
    0x00: "ESP32",
    0x02: "ESP32-S2",
    0x05: "ESP32-C3",
    0x09: "ESP32-S3",
    0x0C: "ESP32-C2",
    0x0D: "ESP32-C6",
    0x10: "ESP32-H2",
    0x12: "ESP32-P4",
    0x14: "ESP32-C61",
    0x17: "ESP32-C5",
    0x19: "ESP32-H21",
    0x1C: "ESP32-H4",
}

# magic, segments, flash mode, flash size and frequency, entry, WP pin, pin drive, chip, oldest
# revision (three fields), reserved, whether a hash is appended
_IMAGE = struct.Struct("<BBBBIB3sHBHH4sB")
_DESCRIPTION = struct.Struct(f"<II8s{TEXT}s{TEXT}s")
_DESCRIPTION_AT = 0x20  # behind the image header and the first segment's
# magic, segments, flash mode, flash size and frequency, entry, the first segment's address and size
_ESP8266_IMAGE = struct.Struct("<BBBBIII")
_ESP8266_ADDRESSES = range(0x3FF0_0000, 0x4040_0000)  # its RAM and mapped flash
_ESP8266_CODE = range(0x4010_0000, 0x4040_0000)
_FLASH_MODES = 4


def chip_of(head: bytes) -> Chip | None:
    """The chip that an image is for, from its first `HEADER` bytes; None where it does not say."""
    family = _family(head)
    if family is None:
        return None
    if len(head) < _DESCRIPTION_AT + _DESCRIPTION.size:
        return Chip(family)
    magic, _, _, version, project = _DESCRIPTION.unpack_from(head, _DESCRIPTION_AT)
    if magic != _DESCRIPTION_MAGIC:
        return Chip(family)
    return Chip(family, _text(version), _text(project))


def _family(head: bytes) -> str | None:
    if len(head) < _DESCRIPTION_AT:
        return None
    magic, segments, *_, chip, _, _, _, reserved, has_hash = _IMAGE.unpack_from(head)
    if magic != _MAGIC or not 1 <= segments <= _MAX_SEGMENTS:
        return None
    _, _, mode, _, entry, address, size = _ESP8266_IMAGE.unpack_from(head)
    if address in _ESP8266_ADDRESSES:
        fits = mode < _FLASH_MODES and entry in _ESP8266_CODE and size > 0
        return ESP8266 if fits and address + size - 1 in _ESP8266_ADDRESSES else None
    return None if any(reserved) or has_hash > 1 else _FAMILIES.get(chip)


def named_chip(manifest: Manifest, *around: Mapping[str, str]) -> Chip | None:
    """The chip that whoever pushed it names, in capitals as ESPHome has them.

    The innermost annotation counts; `around` are those of an index, from the inside.
    """
    inside = (*(layer.annotations for layer in manifest.layers), manifest.annotations, *around)
    named = (each.get(CHIP, "").strip().upper() for each in inside)
    family = plain(next(filter(None, named), ""), MAX_NAMED)
    return Chip(family) if family else None


def _text(field: bytes) -> str:
    text = field.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return plain(text, len(field))


def changed_family(chip: Chip | None, before: Chip | None) -> tuple[str, ...]:
    """A warning where the image is for another chip family than the release before."""
    if chip is None or before is None or chip.family == before.family:
        return ()
    warning = (
        f"The image is for {chip.family}, the release before is for {before.family}: boards refuse"
        " an image for another chip after they downloaded it"
    )
    return (warning,)
