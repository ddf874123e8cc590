"""Unpack one blob into a file and sync it, as a pull does but for the network.

    python bench/parts/unpack_once.py BLOB FIRMWARE

Prints the seconds it took, and by how many MiB the process grew meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from pathlib import Path
from typing import BinaryIO

from otaflux.model.artifact import Descriptor, Digest
from otaflux.unpack.choose import Plan
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.limits import Limits

LIMITS = Limits(256 << 20, 1024 << 20)


class Blob:
    """A reader over a file, with the digest that a registry's reader computes as well."""

    def __init__(self, data: BinaryIO) -> None:
        self._data = data
        self._sha256 = hashlib.sha256()

    def read(self) -> bytes:
        """The next piece."""
        piece = self._data.read(512 << 10)
        self._sha256.update(piece)
        return piece


class Target:
    """A sink into a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self._file.write(data)

    def restart(self) -> None:
        """Throw away."""
        self._file.seek(0)
        self._file.truncate()


def peak() -> int:
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(blob: Path, firmware: Path) -> None:
    """Do it once."""
    idle, begun = peak(), time.perf_counter()
    layer = Descriptor("application/octet-stream", Digest("sha256", "0" * 64), 0)
    with blob.open("rb", buffering=0) as data, firmware.open("wb", buffering=0) as file:
        extraction = Extraction(Plan((layer,)), Target(file), LIMITS)
        extraction.layer(layer, Blob(data))
        extraction.finish()
        os.fsync(file.fileno())
    print(time.perf_counter() - begun, peak() - idle)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
