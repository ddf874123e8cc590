"""The header of a Zigbee OTA upgrade file. Pure.

Source of the format: Zigbee Cluster Library, chapter 11 ("OTA Upgrade"), 11.4.2 "OTA header
format"; all little-endian. Some makers put a wrapper of their own around the file, so its magic is
looked for in the first bytes, as Zigbee2MQTT does; the other fields have to fit then, for firmware
that serves such files holds the magic too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from otaflux.model.image import ZigbeeHeader
from otaflux.model.version import Version
from otaflux.wording import plain

_MAGIC = b"\x1e\xf1\xee\x0b"
_HEADER_VERSION = 0x0100
_TEXT = 32
# magic, header version, header length, field control, manufacturer, image type, file version, stack
# version, header string, size of the whole image
_HEADER = struct.Struct(f"<4sHHHHHIH{_TEXT}sI")
_HARDWARE = struct.Struct("<HH")
_SECURITY_BYTES, _DEVICE_BYTES = 1, 8
_HAS_SECURITY, _HAS_DEVICE, _HAS_HARDWARE = 1, 2, 4
_LONGEST = _HEADER.size + _SECURITY_BYTES + _DEVICE_BYTES + _HARDWARE.size
MAX_BEFORE = 4096  # bytes of a wrapper
MOST_PLACES = 16  # that hold the magic


def header_of(head: bytes, size: int) -> ZigbeeHeader | None:
    """The header of a file that begins with `head` and has `size` bytes; None where it has none."""
    for start in _places(head):
        found = _read(head, start, size)
        if found is not None:
            return found
    return None


def _places(head: bytes) -> Iterator[int]:
    start = -1
    for _ in range(MOST_PLACES):
        start = head.find(_MAGIC, start + 1, MAX_BEFORE + len(_MAGIC))
        if start < 0:
            return
        yield start


def _read(head: bytes, start: int, size: int) -> ZigbeeHeader | None:
    if len(head) < start + _HEADER.size:
        return None
    (_, header_version, length, control, manufacturer, image_type, file_version, _, text, whole) = (
        _HEADER.unpack_from(head, start)
    )
    if header_version != _HEADER_VERSION or not _HEADER.size <= length <= _LONGEST:
        return None
    if not length <= whole <= size - start:
        return None
    lowest = highest = None
    if control & _HAS_HARDWARE:
        at = start + _HEADER.size
        at += _SECURITY_BYTES if control & _HAS_SECURITY else 0
        at += _DEVICE_BYTES if control & _HAS_DEVICE else 0
        if at + _HARDWARE.size > min(start + length, len(head)):
            return None
        lowest, highest = _HARDWARE.unpack_from(head, at)
    return ZigbeeHeader(manufacturer, image_type, file_version, _printable(text), lowest, highest)


def _printable(field: bytes) -> str:
    return plain(field.split(b"\0", 1)[0].decode("utf-8", "replace").strip(), _TEXT)


def says(file_version: int, version: Version) -> bool:
    """Whether a file version can be read as that version, in any of the ways that makers use.

    The number itself decides nothing but which of two is higher. Read here are: one byte or one
    half-word a part from either end, the Cluster Library's own (release and build of the
    application, a digit each half-byte, then the stack's), and decimal digits.
    """
    major, minor, patch = version.key[:3]
    return (major, minor, patch) in _readings(file_version)


def _readings(number: int) -> set[tuple[int, ...]]:
    one, two, three, four = number.to_bytes(4, "big")
    readings: set[tuple[int, ...]] = {
        (one, two, three),
        (two, three, four),
        (one, two, three << 8 | four),
        (one << 8 | two, three, four),
        (one >> 4, one & 0xF, two),
        (one >> 4, one & 0xF, (two >> 4) * 10 + (two & 0xF)),
        (three >> 4, three & 0xF, four),
        (0, 0, number),
        (number, 0, 0),
    }
    for step in (10, 100, 1000):
        readings.add((number // step**2, number // step % step, number % step))
    return readings
