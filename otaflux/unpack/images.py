"""What a firmware is by its bytes, and whether its version is the tag's. Pure but for `read`.

One file a format: `chip.py` (ESP), `mcuboot.py`, `swu.py`, `rauc.py`, `zigbee.py`. Of most the
first `HEAD` bytes are enough; a bundle of RAUC has to be whole, for its signature is at the end.
Unknown images are fine, and text that cannot be read says nothing. Reads are bounded.
"""

from __future__ import annotations

from otaflux.errors import BadName
from otaflux.model.image import PLAIN, Image, ImageKind, ZigbeeHeader
from otaflux.model.version import Version, meant
from otaflux.unpack import mcuboot, rauc, squashfs, swu, zigbee
from otaflux.unpack.chip import TEXT, chip_of
from otaflux.unpack.squashfs import Read

HEAD = 64 << 10  # bytes that are enough for all but bundles


def image_of(head: bytes, size: int) -> Image:
    """What a file is that begins with `head` (its first `HEAD` bytes) and has `size` bytes.

    A bundle of RAUC is a squashfs by these: `image_in` tells them apart.
    """
    if squashfs.bytes_used(head) is not None:
        return Image(ImageKind.SQUASHFS)
    version = swu.version_of(head)
    if version is not None:
        return Image(ImageKind.SWU, version)
    version = mcuboot.version_of(head)
    if version is not None:
        return Image(ImageKind.MCUBOOT, version)
    chip = chip_of(head)
    if chip is not None:
        return Image(ImageKind.ESP, chip.version)
    header = zigbee.header_of(head, size)
    if header is not None:
        return Image(ImageKind.ZIGBEE, f"0x{header.file_version:08x}", header)
    return PLAIN


def image_in(read: Read, size: int) -> Image:
    """What a whole file of `size` bytes is; raises what `read` raises. Blocks."""
    head = read(HEAD, 0)
    image = image_of(head, size)
    used = squashfs.bytes_used(head)
    if used is None or not rauc.is_bundle(read, size, used):
        return image
    return Image(ImageKind.RAUC, rauc.version_of(read, size, used))


def disagreements(image: Image | None, version: Version) -> tuple[str, ...]:
    """What an image says of itself that its tag contradicts, as sentences for people.

    Text that is no version, such as a commit, contradicts nothing. Neither does a build identifier:
    the precedence counts.
    """
    if image is None or not image.version or _agrees(image, version):
        return ()
    if image.zigbee is not None:
        return (_differs_in_zigbee(image.zigbee, version),)
    warning = (
        f"The image says that it is version {image.version}, its tag says {version}: boards that"
        " compare the two may install it again and again"
    )
    return (warning,)


def _agrees(image: Image, version: Version) -> bool:
    """Whether what an image says can be that version."""
    if image.zigbee is not None:
        return zigbee.says(image.zigbee.file_version, version)
    text = image.version
    is_full = image.kind is ImageKind.ESP and len(text) >= TEXT - 1  # it has no room for more
    if is_full and version.text.startswith(text.lstrip("vV")):
        return True
    try:
        inside = Version.parse(text)
    except BadName:
        maybe = meant(text)
        if maybe is None:
            return True
        if maybe.precedence == version.precedence:
            return True
        inside = Version(".".join(map(str, maybe.key[:3])))
    if image.kind is ImageKind.MCUBOOT:  # its header has no room for a pre-release
        return inside.key[:3] == version.key[:3]
    return inside.precedence == version.precedence


def _differs_in_zigbee(header: ZigbeeHeader, version: Version) -> str:
    return (
        f"The image's file version is 0x{header.file_version:08x} ({header.file_version}), which"
        f" cannot be read as {version}, its tag: coordinators compare that number alone, and offer"
        " the file only to devices whose own is lower"
    )


def not_above(image: Image | None, before: Image | None) -> tuple[str, ...]:
    """A warning where a Zigbee file's number is not above that of the release before."""
    if image is None or before is None or image.zigbee is None or before.zigbee is None:
        return ()
    mine, theirs = image.zigbee, before.zigbee
    same = (mine.manufacturer, mine.image_type) == (theirs.manufacturer, theirs.image_type)
    if not same or mine.file_version > theirs.file_version:
        return ()
    warning = (
        f"The image's file version is 0x{mine.file_version:08x}, and that of the release before is"
        f" 0x{theirs.file_version:08x}: coordinators compare that number alone, and will not offer"
        " this file to devices that have the other"
    )
    return (warning,)
