"""Files that are either the old or the new one after a power cut, never something between.

Bytes go to a temporary file beside the target (`.new-…`), are synced, renamed over the target, and
then the folder is synced, for a rename lasts only once its folder does. A write that returned is on
the disk; one that raised left the target as it was and no temporary behind. What a killed process
left, `sweep_temporaries` removes.

Every function here blocks and is for a thread. None takes a lock: two writers of one path both end
whole, the last rename stands; who wants more brings a lock.

The disk is a parameter (`otaflux.files.disk`). It raises `OSError`; what leaves this module is
`Undecided` with a hint for whoever runs the machine. Code that does file work of its own wraps it
in `explained`.

    durable.make_folder(folder)
    durable.write(folder / "lamp.json", b"{}")

    with durable.NewFile(folder) as new:      # for bytes that come in pieces
        for piece in pieces:
            new.write(piece)
        new.keep_as(folder / name)            # without this the file is gone at the end of `with`
"""

from __future__ import annotations

import errno
import math
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from otaflux.errors import DiskFailed, DiskFull, DiskUnsure, Undecided
from otaflux.files.disk import REAL_DISK, Disk, Irregular

TEMPORARY_PREFIX = ".new-"  # of a file that has no name yet; beside its target, for rename

_HINTS = {
    errno.ENOSPC: "The disk is full: free space on it, or move DATA_DIR to a larger one",
    errno.EDQUOT: "The disk quota is used up: free space, or ask for more",
    errno.EROFS: "The disk is read-only: mount it so that OtaFlux can write",
    errno.EACCES: "The user that OtaFlux runs as may not do that: look at owner and mode",
    errno.EPERM: "The user that OtaFlux runs as may not do that: look at owner and mode",
    errno.EMFILE: "OtaFlux has too many files open: raise the limit on open files (ulimit -n)",
    errno.ENFILE: "The machine has too many files open: raise fs.file-max",
    errno.EIO: "The disk fails: look at the kernel's log",
    errno.ENOENT: "A file or folder is missing: was something removed by hand?",
    errno.ENOTDIR: "Something that should be a folder is a file: was something put there by hand?",
    errno.EISDIR: "Something that should be a file is a folder: was something put there by hand?",
}

_IRREGULAR = "Only regular files are read there, and links are not followed: remove what is there"


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def explained(doing: str, kind: type[DiskFailed] = DiskFailed) -> Iterator[None]:
    """Turn an `OSError` of the body into a `DiskFailed`: "cannot DOING: …", with a hint.

    `doing` goes on after "cannot", such as "write the record of lamp". Does not block by itself.
    """
    try:
        yield
    except OSError as error:
        raise _failure(doing, error, kind) from error


def _failure(doing: str, error: OSError, kind: type[DiskFailed] = DiskFailed) -> DiskFailed:
    """What is raised instead of an `OSError`."""
    reason = error.strerror or type(error).__name__
    hint = _IRREGULAR if isinstance(error, Irregular) else _HINTS.get(error.errno or 0, "")
    if kind is DiskFailed and error.errno in _FULL:
        kind = DiskFull
    return kind(f"cannot {doing}: {reason}", hint=hint)


class NewFile:
    """A file without a name yet, in the folder where it will get one. Blocks: for a thread.

    It may be made in one thread and written in another, by one at a time; only `sync` may run
    beside `write`. Leaving the `with`, or `discard`, removes it unless `keep_as` gave it a name.
    Raises `Undecided` where the disk does, and `DiskFull` for more than `most` bytes.
    """

    def __init__(self, folder: Path, *, most: float = math.inf, disk: Disk = REAL_DISK) -> None:
        self._disk = disk
        self._most = most
        self._size = 0
        self.path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        with explained(f"make a file in {folder}"):
            self._file = disk.create(self.path)
        self._unnamed = True

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Append all of `data`."""
        self._size += len(data)
        if self._size > self._most:
            raise DiskFull(f"more than the {self._most} bytes that it may take on the disk")
        with explained(f"write to {self.path.parent}"):
            self._file.write(data)

    def restart(self) -> None:
        """Throw away all that was written; the next write is the first."""
        self._size = 0
        with explained(f"write to {self.path.parent}"):
            self._file.restart()

    def sync(self) -> None:
        """Return once everything written so far is on the disk; `keep_as` does so by itself."""
        with explained(f"write to {self.path.parent}"):
            self._file.sync()

    def keep_as(self, path: Path) -> None:
        """Give the file its name, in the same folder or on the same disk, and make it last.

        Raises `DiskUnsure` where it has its name, and that may not last.
        """
        with explained(f"write {path}"):
            self._file.sync()
            self._file.close()
            self._disk.rename(self.path, path)
        self._unnamed = False
        with explained(f"write {path}", DiskUnsure):
            self._disk.sync(path.parent)

    def discard(self) -> None:
        """Close the file, and remove it if it got no name. Raises nothing; may be repeated."""
        with suppress(OSError):
            self._file.close()
        if self._unnamed:
            self._unnamed = False
            with suppress(OSError):
                self._disk.unlink(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()


def write(path: Path, data: bytes, *, disk: Disk = REAL_DISK) -> None:
    """Make `path` hold `data`, for good. Blocks. Raises `Undecided`; the old file stands then.

    But for `DiskUnsure`: then a reader sees the new one, and after a power cut it may be either.
    """
    with NewFile(path.parent, disk=disk) as new:
        new.write(data)
        new.keep_as(path)


def name(temporary: Path, path: Path, *, synced: bool, disk: Disk = REAL_DISK) -> None:
    """Give a file that somebody else wrote its name, for good. Blocks. Raises `Undecided`.

    `synced` says that its bytes are on the disk already. On an error the temporary is left alone.
    """
    with explained(f"write {path}"):
        if not synced:
            disk.sync(temporary)
        disk.rename(temporary, path)
        disk.sync(path.parent)


def remove(path: Path, *, disk: Disk = REAL_DISK) -> bool:
    """Take a file's name away; False where it had none. Blocks. Raises `Undecided`.

    The folder is not synced: after a power cut the file may be back, which the next sweep mends.
    """
    with explained(f"remove {path}"):
        try:
            disk.unlink(path)
        except FileNotFoundError:
            return False
    return True


def read(path: Path, *, max_bytes: int, disk: Disk = REAL_DISK) -> bytes | None:
    """A small file's bytes; None where it is not there. Blocks.

    Raises `Undecided` where the disk does, or where the file is larger than `max_bytes`.
    """
    try:
        data = disk.read(path, max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failure(f"read {path}", error) from error
    if len(data) > max_bytes:
        raise Undecided(f"cannot read {path}: it is larger than {max_bytes} bytes")
    return data


def make_folder(path: Path, *, disk: Disk = REAL_DISK) -> None:
    """Make a folder and those above it that are missing, for good. Blocks. Raises `Undecided`."""
    with explained(f"make the folder {path}"):
        _make_folder(path, disk)


def _make_folder(path: Path, disk: Disk) -> None:
    try:
        disk.make_folder(path)
    except FileExistsError:
        disk.names(path)  # raises where it is no folder
    except FileNotFoundError:
        if path.parent == path:
            raise
        _make_folder(path.parent, disk)
        with suppress(FileExistsError):  # somebody else made it meanwhile
            disk.make_folder(path)
    else:
        # Who was killed while making these folders may have left the deepest one not synced.
        with suppress(PermissionError):  # it may be none of ours
            disk.sync(path.parent.parent)
    disk.sync(path.parent)


def sweep_temporaries(
    folder: Path, *, names: Iterable[str] | None = None, disk: Disk = REAL_DISK
) -> int:
    """Remove what killed writers left right in `folder`; returns how many. Blocks.

    Only while nobody writes there. A missing folder has nothing to remove; a file that cannot be
    removed is left for the next sweep. `names` are those in the folder, where they are known.
    Raises `Undecided` where the folder cannot be read.
    """
    if names is None:
        with explained(f"read the folder {folder}"):
            try:
                names = disk.names(folder)
            except FileNotFoundError:
                return 0
    count = 0
    for found in names:
        if found.startswith(TEMPORARY_PREFIX):
            with suppress(OSError):
                disk.unlink(folder / found)
                count += 1
    return count
