"""What bytes are, by their first ones: gzip, zstd, tar, or a plain file. Pure.

A packing that is cut off within its first bytes is still taken for one, so that reading it says
so. Tars from before POSIX have no magic; they are known by a header checksum that holds.
"""

from __future__ import annotations

from enum import Enum, auto

from otaflux.unpack import gunzip, tar, unzstd

LOOK = tar.BLOCK  # bytes that are enough to tell

_MAGICS = (gunzip.MAGIC, unzstd.MAGIC, *sorted(unzstd.SKIPPABLE))
_OTHERS = {b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4", b"PK\x03\x04": "zip"}


class Packing(Enum):
    """What can be unpacked."""

    GZIP = auto()
    ZSTD = auto()
    TAR = auto()


def packing_of(head: bytes, *, expect_tar: bool) -> Packing | None:
    """The packing that `head`, a file's first `LOOK` bytes, begins; None for a plain file.

    Zero bytes are an empty tar only where a tar is expected.
    """
    for magic in _MAGICS:
        if head and head[: len(magic)] == magic[: len(head)]:
            return Packing.GZIP if magic == gunzip.MAGIC else Packing.ZSTD
    if tar.is_header(head) or (expect_tar and head == bytes(tar.BLOCK)):
        return Packing.TAR
    return None


def other_packing(head: bytes) -> str:
    """The name of a packing that is not unpacked; empty where the bytes are none known."""
    return next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
