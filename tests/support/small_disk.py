"""A disk of so many bytes, over a folder of real files.

disk = SmallDisk(tmp_path, 1 << 20)
with pytest.raises(DiskFull):
    durable.write(tmp_path / "a", bytes(2 << 20), disk=disk)
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from otaflux.files.disk import OpenFile, RealDisk


class SmallDisk(RealDisk):
    """Behaves as `disk.Disk` says, and is full once the files below `root` have `capacity` bytes.

    `capacity` may be changed at any time.
    """

    def __init__(self, root: Path, capacity: int) -> None:
        self._root = root
        self.capacity = capacity

    def used(self) -> int:
        """The bytes of all files, those without a name yet too."""
        return sum(path.stat().st_size for path in self._root.rglob("*") if path.is_file())

    def free(self, folder: Path) -> int:
        """What is left of the capacity."""
        return max(0, self.capacity - self.used())

    def create(self, path: Path) -> OpenFile:
        """A file that can grow as far as there is room."""
        return _File(self, super().create(path))

    def check(self, size: int) -> None:
        """Raise `OSError` where so many bytes more are too many."""
        if self.used() + size > self.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File:
    def __init__(self, disk: SmallDisk, file: OpenFile) -> None:
        self._disk = disk
        self._file = file
        self.restart, self.sync, self.close = file.restart, file.sync, file.close

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._disk.check(len(data))
        self._file.write(data)
