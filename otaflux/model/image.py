"""What a firmware is by its bytes, and what it says of itself. Read by `unpack/images.py`.

Nothing is decided by it but what a file is called, and what people are warned of: the bytes are
whatever was pushed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ImageKind(StrEnum):
    """What a firmware's bytes are; `PLAIN` is everything that is not known here."""

    PLAIN = "plain"
    ESP = "esp"  # an application image of Espressif's
    MCUBOOT = "mcuboot"
    SWU = "swu"  # SWUpdate's archive, a cpio
    SQUASHFS = "squashfs"  # with nothing behind it
    RAUC = "rauc"  # a squashfs with a signature behind it
    ZIGBEE = "zigbee"  # an OTA upgrade file of the Zigbee Cluster Library

    @property
    def extension(self) -> str:
        """How a file of that kind is called where clients go by that: `.swu`, `.raucb`, `.bin`."""
        return _EXTENSIONS.get(self, ".bin")


_EXTENSIONS = {ImageKind.SWU: ".swu", ImageKind.RAUC: ".raucb"}


@dataclass(frozen=True, slots=True)
class ZigbeeHeader:
    """The header of a Zigbee OTA file, numbers as they stand there.

    `text` is the header string without what fills it up, printable and at most 32 characters.
    `lowest_hardware` and `highest_hardware` are None where the file names no range.
    """

    manufacturer: int
    image_type: int
    file_version: int
    text: str = ""
    lowest_hardware: int | None = None
    highest_hardware: int | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """What a firmware is, and the version that it says it is.

    `version` is printable, and empty where the image says none or it cannot be read. Of a Zigbee
    file it is the file version, as `0x` and eight hexadecimal digits.
    """

    kind: ImageKind = ImageKind.PLAIN
    version: str = ""
    zigbee: ZigbeeHeader | None = None


PLAIN = Image()
