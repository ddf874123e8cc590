"""The first bytes of firmware as build tools make it, for tests of what is read from them.

Each after its own specification, and none by the program's readers.
"""

from __future__ import annotations


def mcuboot(version: str = "1.4.0", *, build: int = 0, code: bytes = b"code") -> bytes:
    """An image as `imgtool sign --header-size 0x200` makes it, without its trailer."""
    major, minor, revision = (int(part) for part in version.split("."))
    fields = (
        (0x96F3B83D).to_bytes(4, "little"),
        bytes(4),  # where it is loaded to
        (0x200).to_bytes(2, "little"),
        bytes(2),  # no protected TLVs
        len(code).to_bytes(4, "little"),
        bytes(4),  # no flags
        bytes([major, minor]),
        revision.to_bytes(2, "little"),
        build.to_bytes(4, "little"),
        bytes(4),
    )
    return b"".join(fields).ljust(0x200, b"\0") + code


def zigbee(
    file_version: int,
    *,
    manufacturer: int = 0x1234,
    image_type: int = 0x0001,
    text: str = "lamp",
    hardware: tuple[int, int] | None = None,
    for_device: bool = False,
    security: bool = False,
    code: bytes = b"code",
) -> bytes:
    """An OTA upgrade file with one image element."""
    control = security | for_device << 1 | (hardware is not None) << 2
    behind = b"\2" * security + b"\xaa" * 8 * for_device
    for number in hardware or ():
        behind += number.to_bytes(2, "little")
    length = 56 + len(behind)
    element = bytes(2) + len(code).to_bytes(4, "little") + code
    return (
        b"\x1e\xf1\xee\x0b"
        + (0x0100).to_bytes(2, "little")
        + length.to_bytes(2, "little")
        + control.to_bytes(2, "little")
        + manufacturer.to_bytes(2, "little")
        + image_type.to_bytes(2, "little")
        + file_version.to_bytes(4, "little")
        + (2).to_bytes(2, "little")  # Zigbee PRO
        + text.encode().ljust(32, b"\0")
        + (length + len(element)).to_bytes(4, "little")
        + behind
        + element
    )


def swu(
    description: str | bytes, *, name: str = "sw-description", magic: bytes = b"070702"
) -> bytes:
    """A cpio archive whose first file is the description, and whose second is firmware."""
    content = description.encode() if isinstance(description, str) else description
    return b"".join(_entry(*each, magic) for each in ((name, content), ("rootfs", b"bytes")))


def _entry(name: str, content: bytes, magic: bytes) -> bytes:
    numbers = (1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, sum(content))
    head = magic + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
    return b"".join(each + b"\0" * (-len(each) % 4) for each in (head, content))
