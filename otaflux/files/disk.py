"""What is done to a disk, as a parameter: the machine's own, or a test's that forgets or is full.

`Disk` names the few things that `durable.py`, the store and the catalog do to one; `RealDisk` does
them. Everything here blocks and is for a thread, and raises `OSError` as the system does.

Trust: other programs and people write to the same folders. So a file is opened for reading only
where it is a regular one: a link would serve what lies elsewhere, and a pipe would hold its thread
for ever. See `open_regular`.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
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

    def kinds(self, folder: Path) -> dict[str, bool]:
        """The names in a folder, and of each whether it is a regular file's; in no order."""
        ...

    def sizes(self, folder: Path) -> dict[str, int | None]:
        """The names in a folder and the bytes that each file holds; None for what is no file.

        What cannot be asked, or goes meanwhile, is left out.
        """
        ...

    def size(self, path: Path) -> int:
        """The bytes that a regular file holds."""
        ...

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """A regular file's bytes from `offset` on, at most `max_bytes`; fewer only at its end."""
        ...

    def reader(self, folder: Path, max_bytes: int) -> Callable[[str], bytes]:
        """What reads files of a folder by their names: regular ones, as `kinds` just found.

        For very many, of which another look at each and its path would cost as much as to read it.
        What it returns may end early where a disk answers in pieces, and is to be checked.
        """
        ...

    def free(self, folder: Path) -> int:
        """The bytes that this user may still write to the disk that holds `folder`."""
        ...


class Irregular(OSError):
    """What is there is no regular file: a link, a pipe, a folder, a device, a socket."""

    def __init__(self, path: Path | str, mode: int) -> None:
        kind = next((words for is_one, words in _KINDS if is_one(mode)), "something else")
        super().__init__(errno.EINVAL, f"it is {kind}, and no regular file", str(path))


_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

# No link in the last place, and no waiting for whoever would write into a pipe.
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_LEAST_ROOM = 4096  # bytes of a read, whatever size a file is said to have
_LARGE_ROOM = 1 << 16  # bytes of a read, of what is more than that
_PASSING = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC | os.O_DIRECTORY


def open_regular(path: Path | str, *, below: Path | None = None) -> int:
    """A descriptor for reading a regular file; raises `Irregular` for anything else, at once.

    The last part of `path` is never followed where it is a link; with `below`, a folder that it
    lies in, none of the folders between the two is either.
    """
    return _open_regular(path, below)[0]


def _open_regular(path: Path | str, below: Path | None) -> tuple[int, os.stat_result]:
    if below is None:
        return _opened(path, path, None)
    folder = os.open(below, _PASSING)
    try:
        *between, name = Path(path).relative_to(below).parts
        for part in between:
            inner = _passed(path, part, folder)
            os.close(folder)
            folder = inner
        return _opened(path, name, folder)
    finally:
        os.close(folder)


def _passed(path: Path | str, part: str, folder: int) -> int:
    mode = os.lstat(part, dir_fd=folder).st_mode
    if stat.S_ISLNK(mode):
        raise Irregular(path, mode)
    return os.open(part, _PASSING | os.O_NOFOLLOW, dir_fd=folder)


def _opened(path: Path | str, name: Path | str, folder: int | None) -> tuple[int, os.stat_result]:
    """The descriptor, and what was found to be open there."""
    # Looked at first, for opening a device may do something; and again, for names change.
    mode = os.lstat(name, dir_fd=folder).st_mode
    if not stat.S_ISREG(mode):
        raise Irregular(path, mode)
    descriptor = os.open(name, _READING, dir_fd=folder)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise Irregular(path, found.st_mode)
    return descriptor, found


def read_regular(
    path: Path | str, max_bytes: int, *, offset: int = 0, below: Path | None = None
) -> bytes:
    """A regular file's bytes from `offset` on, at most `max_bytes`; see `open_regular`."""
    descriptor, found = _open_regular(path, below)
    try:
        # Room for what is there and not for all that may be: each read makes room first.
        room = max(found.st_size - offset + 1, _LEAST_ROOM)
        pieces = []
        while max_bytes and (piece := os.pread(descriptor, min(room, max_bytes), offset)):
            pieces.append(piece)
            max_bytes -= len(piece)
            offset += len(piece)
            if offset == found.st_size and len(piece) < room:
                break  # a read that asked for more found the end where it was
    finally:
        os.close(descriptor)
    return b"".join(pieces)


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
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
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
        return os.listdir(folder)  # noqa: PTH208 - names are wanted: no path of each is made

    def kinds(self, folder: Path) -> dict[str, bool]:
        """The names in a folder, and of each whether it is a regular file's; in no order."""
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}

    def sizes(self, folder: Path) -> dict[str, int | None]:
        """The names in a folder and the bytes that each file holds; None for what is no file."""
        sizes: dict[str, int | None] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    sizes[entry.name] = found.st_size if stat.S_ISREG(found.st_mode) else None
        return sizes

    def size(self, path: Path) -> int:
        """The bytes that a regular file holds."""
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise Irregular(path, found.st_mode)
        return found.st_size

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """A regular file's bytes from `offset` on, at most `max_bytes`; fewer only at its end."""
        return read_regular(path, max_bytes, offset=offset)

    def reader(self, folder: Path, max_bytes: int) -> Callable[[str], bytes]:
        """What reads files of a folder by their names: regular ones, as `kinds` just found."""
        before, room = f"{folder}/", min(_LEAST_ROOM, max_bytes)

        def read(name: str) -> bytes:
            # Should something else have got that name meanwhile, no link is followed and no pipe
            # waited for; to ask again what it is would be a fourth of the time.
            descriptor = os.open(before + name, _READING)
            try:
                data = os.read(descriptor, room)
                if len(data) < room:
                    return data
                pieces, left = [data], max_bytes - room
                while left and (piece := os.read(descriptor, min(_LARGE_ROOM, left))):
                    pieces.append(piece)
                    left -= len(piece)
            finally:
                os.close(descriptor)
            return b"".join(pieces)

        return read

    def free(self, folder: Path) -> int:
        """The bytes that this user may still write to the disk that holds `folder`."""
        return shutil.disk_usage(folder).free


REAL_DISK: Disk = RealDisk()
