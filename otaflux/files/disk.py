"""What is done to a disk, as a parameter: the machine's own, or a test's that forgets or is full.

`Disk` names the few things that `durable.py`, the store and the catalog do to one; `RealDisk` does
them. Everything here blocks and is for a thread, and raises `OSError` as the system does.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Protocol


class OpenFile(Protocol):
    """A new file, open for writing."""

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Append all of `data`."""
        ...

    def restart(self) -> None:
        """Throw away all that was written; the next write is the first."""
        ...

    def sync(self) -> None:
        """Return once everything written so far is on the disk."""
        ...

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        ...


class Disk(Protocol):
    """What is done to a disk. Every method blocks, and raises `OSError` as the system does."""

    def create(self, path: Path) -> OpenFile:
        """Make a file that is not there yet, and open it."""
        ...

    def sync(self, path: Path) -> None:
        """Return once a file's bytes, or a folder's names, are on the disk."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name on the same disk; what had that name is gone, at once."""
        ...

    def unlink(self, path: Path) -> None:
        """Take a file's name away; who has it open reads on."""
        ...

    def make_folder(self, path: Path) -> None:
        """Make one folder; its parent is there."""
        ...

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, in no order."""
        ...

    def size(self, path: Path) -> int:
        """The bytes that a file holds."""
        ...

    def read(self, path: Path, max_bytes: int) -> bytes:
        """A file's first `max_bytes` bytes."""
        ...

    def free(self, folder: Path) -> int:
        """The bytes that this user may still write to the disk that holds `folder`."""
        ...


class _RealFile:
    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o666)

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        left = memoryview(data).cast("B")
        while left:
            left = left[os.write(self._descriptor, left) :]

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class RealDisk:
    """The machine's own files."""

    def create(self, path: Path) -> OpenFile:
        """Make a file that is not there yet, and open it."""
        return _RealFile(path)

    def sync(self, path: Path) -> None:
        """Return once a file's bytes, or a folder's names, are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems cannot sync a folder; they do so with each rename.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name on the same disk; what had that name is gone, at once."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Take a file's name away; who has it open reads on."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Make one folder; its parent is there."""
        path.mkdir()

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, in no order."""
        return [entry.name for entry in folder.iterdir()]

    def size(self, path: Path) -> int:
        """The bytes that a file holds."""
        return path.stat().st_size

    def read(self, path: Path, max_bytes: int) -> bytes:
        """A file's first `max_bytes` bytes."""
        with path.open("rb") as file:
            return file.read(max_bytes)

    def free(self, folder: Path) -> int:
        """The bytes that this user may still write to the disk that holds `folder`."""
        return shutil.disk_usage(folder).free


REAL_DISK: Disk = RealDisk()
