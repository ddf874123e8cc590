"""The header of an MCUboot image. Pure.

Source of the format: MCUboot's `boot/bootutil/include/bootutil/image.h` (`struct image_header`,
`struct image_version`), all little-endian, and docs/design.md there. `imgtool sign --version` sets
the version; Zephyr's build sets 0.0.0+0 where nobody chose one, so that one says nothing.
"""

from __future__ import annotations

import struct

# magic, load address, header size, protected TLVs' size, image size, flags, version: major, minor,
# revision, build number; and padding
_HEADER = struct.Struct("<IIHHIIBBHI4x")
_MAGIC = 0x96F3B83D
_NOBODY_CHOSE = (0, 0, 0)


def version_of(head: bytes) -> str | None:
    """The version that an image says, as `1.4.0` or `1.4.0+7`; None for what is no such image.

    Empty where the image says none.
    """
    if len(head) < _HEADER.size:
        return None
    magic, _, header_size, _, image_size, _, major, minor, revision, build = _HEADER.unpack_from(
        head
    )
    if magic != _MAGIC or header_size < _HEADER.size or not image_size:
        return None
    if (major, minor, revision) == _NOBODY_CHOSE:
        return ""
    return f"{major}.{minor}.{revision}" + (f"+{build}" if build else "")
