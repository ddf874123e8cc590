"""Zigbee OTA files and releases of them."""

from __future__ import annotations

import struct
from dataclasses import replace

from device_server import release

from otaflux.model.release import Release
from otaflux.unpack.images import image_of


def zigbee_file(version: int, *, hardware: tuple[int, int] | None = None) -> bytes:
    """A Zigbee OTA file (ZCL specification, "OTA File Format") with some bytes as its image."""
    control = 4 if hardware else 0
    optional = struct.pack("<HH", *hardware) if hardware else b""
    length, image = 56 + len(optional), struct.pack("<HI", 0, 250) + b"image" * 50
    head = struct.pack(
        "<IHHHHHIH32sI", 0x0BEEF11E, 0x0100, length, control, 0x1234, 0x0007, version, 2,
        b"Lamp OTA", length + len(image),
    )  # fmt: skip
    return head + optional + image


def zigbee(device: str, version: str, content: bytes) -> Release:
    """A release of such a file."""
    made = release(device, version, content)
    image = image_of(content, len(content))
    return replace(made, firmware=replace(made.firmware, image=image))
