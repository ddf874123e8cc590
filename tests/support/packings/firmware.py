"""The firmware that is packed: neither all noise nor all alike, and an ESP image by its header."""

from __future__ import annotations

import random
import struct

FAMILY, VERSION, PROJECT = "ESP32-S3", "1.4.0", "sensor"


def esp_image(
    chip_id: int = 9, version: str = VERSION, project: str = PROJECT, *, described: bool = True
) -> bytes:
    """The first bytes of an ESP image: header, first segment's header, application description."""
    header = struct.pack(
        "<BBBBIB3sHBHH4sB", 0xE9, 5, 2, 0x3F, 0x4037_0000, 0xEE, b"", chip_id, 0, 0, 99, b"", 1
    )
    segment = struct.pack("<II", 0x3C00_0020, 0x1000)
    texts = (version, project, "12:00:00", "Nov 24 2026", "v5.5")
    description = struct.pack(
        "<II8s32s32s16s16s32s32s80s",
        0xABCD5432,
        0,
        b"",
        *(text.encode() for text in texts),
        b"",
        b"",
    )
    return header + segment + (description if described else bytes(len(description)))


def _body(size: int) -> bytes:
    chance = random.Random(20261124)
    words = [chance.randbytes(chance.randint(4, 40)) for _ in range(500)]
    body = bytearray()
    while len(body) < size:
        body += b"".join(chance.choices(words, k=200)) + chance.randbytes(1500)
    return bytes(body[:size])


FIRMWARE = esp_image() + _body(700_001)
OTHER = _body(5000)  # a file that is not the firmware
