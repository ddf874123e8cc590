"""Deflate and CRC-32, by zlib-ng where there is one for this machine, else by Python's own zlib.

Both have the same interface and take and refuse the same bytes; zlib-ng is a quarter quicker.
"""

from __future__ import annotations

import zlib
from typing import cast

try:
    from zlib_ng import zlib_ng
except ImportError:  # no wheel for this machine
    crc32, decompressobj, Corrupt = zlib.crc32, zlib.decompressobj, zlib.error
else:
    crc32, decompressobj = zlib_ng.crc32, zlib_ng.decompressobj  # type: ignore[assignment]
    Corrupt = cast("type[zlib.error]", zlib_ng.error)

__all__ = ["Corrupt", "crc32", "decompressobj"]
