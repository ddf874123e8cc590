"""Firmware files, named by their content: written once, never rewritten, unlinked when unnamed.

`FOLDER/sha256/HEX`. A file has no name until all of it was checked (`Claims.keep`). One descriptor
a digest serves all who read it, always by offset, for a position would be shared. Unlinking a file
takes nothing from those who have it open, and who opens one after it was replaced gets the new one.

Trust: whoever writes to the disk may spoil a file that was whole. What lies there counts only where
it is a regular file of the right size and nobody found its bytes to be others (`condemn`).

Claims keep the sweep away: who names a file, or is about to write a record that does, holds a claim
on it until the record is in the catalog. Methods that touch the disk block and are for a thread,
but for `open`, which is a few system calls; claims and descriptors may be asked for from any
thread.
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from otaflux.errors import DiskFailed, DiskFull
from otaflux.files import durable
from otaflux.files.disk import open_regular
from otaflux.files.durable import NewFile
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest
from otaflux.model.release import Firmware

KEPT_OPEN = 16  # files that stay open without a reader: opening costs as much as a small download
MARGIN = 4 << 20  # bytes that a pull leaves free: records and indexes must still fit
_DIGITS = 64  # of a SHA-256 in hexadecimal, which is a file's name
PIECE = 1 << 20  # bytes of a file that are read at once


class Claims:
    """Files that a run depends on before its record names them; a context manager."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests: list[Digest] = []
        self.created: set[Digest] = set()  # files that got their name under these claims

    def has(self, firmware: Firmware) -> bool:
        """Claim a file, and say whether it is there with the right size. Blocks."""
        self._store._claim(firmware.firmware_digest)  # noqa: SLF001 - one room, two classes
        self._digests.append(firmware.firmware_digest)
        return self._store.has(firmware)

    def keep(self, new: NewFile, firmware: Firmware) -> None:
        """Claim a new file's name, and give it the name for good. Blocks; raises `Undecided`."""
        self._store._claim(firmware.firmware_digest)  # noqa: SLF001 - one room, two classes
        self._digests.append(firmware.firmware_digest)
        self.created.add(firmware.firmware_digest)
        new.keep_as(self._store.path(firmware.firmware_digest))
        self._store._replaced(firmware.firmware_digest)  # noqa: SLF001 - as above

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store._unclaim(self._digests)  # noqa: SLF001 - one room, two classes


class _Shared:
    """One descriptor, and how many read by it."""

    __slots__ = ("fd", "readers")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.readers = 0


class Opened:
    """A firmware file open for reading by offset; `fd` is shared, so never by position."""

    def __init__(self, store: Store, digest: Digest, shared: _Shared) -> None:
        self._store = store
        self._digest = digest
        self._shared = shared
        self.fd = shared.fd

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        if self.fd >= 0:
            self.fd = -1
            self._store._closed(self._digest, self._shared)  # noqa: SLF001 - one room, two classes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Store:
    """The firmware files below `folder`."""

    def __init__(self, folder: Path, *, machine: Machine = REAL_MACHINE) -> None:
        self._folder = folder / "sha256"
        self._disk = machine.disk
        self._lock = threading.Lock()  # of claims, held while a file is unlinked
        self._reading = threading.Lock()  # of descriptors, for `open` is on the event loop
        self._claims: Counter[Digest] = Counter()
        self._open: dict[Digest, _Shared] = {}
        self._idle: OrderedDict[Digest, None] = OrderedDict()
        self._left: set[Digest] = set()  # could not be removed
        self._condemned: set[Digest] = set()

    def prepare(self) -> dict[str, int]:
        """Make the folder, and remove what killed writers left. Blocks.

        Returns the size of each file that is there, by its digest's hex. What stands in a file's
        place and is none, such as a folder, gets another name.
        """
        durable.make_folder(self._folder, disk=self._disk)
        with durable.explained(f"read {self._folder}"):
            found = self._disk.sizes(self._folder)
        sizes = {}
        for name, size in found.items():
            if len(name) != _DIGITS:
                continue
            if size is not None:
                sizes[name] = size
            else:
                path = self._folder / name
                durable.name(path, path.with_suffix(".aside"), synced=True, disk=self._disk)
        durable.sweep_temporaries(self._folder, names=found, disk=self._disk)
        return sizes

    def path(self, firmware_digest: Digest) -> Path:
        """Where a file lies, or would."""
        return self._folder / firmware_digest.hex

    def has(self, firmware: Firmware) -> bool:
        """Whether the file is there with the right size, and not condemned. Blocks."""
        digest = firmware.firmware_digest
        if digest in self._condemned:
            return False
        try:
            return self._disk.size(self.path(digest)) == firmware.sums.size
        except OSError:
            return False

    def read(self, firmware_digest: Digest, max_bytes: int, offset: int) -> bytes:
        """A file's bytes from `offset` on, as they lie on the disk now. Blocks.

        At most `max_bytes`, fewer only at the end. Raises `OSError` as the disk does.
        """
        return self._disk.read(self.path(firmware_digest), max_bytes, offset)

    def pieces(self, firmware_digest: Digest, length: int, *, start: int = 0) -> Iterator[bytes]:
        """So many bytes of a file from `start` on, as `read` reads them; fewer where it is shorter.

        In pieces that are large, so that summing one lets other threads run. Blocks.
        """
        for at in range(start, start + length, PIECE):
            yield self.read(firmware_digest, min(PIECE, start + length - at), at)

    def condemn(self, firmware_digest: Digest) -> None:
        """Have a file that does not fit its name count as missing, until it is kept anew."""
        self._condemned.add(firmware_digest)
        self._let_go(firmware_digest)

    def draft(self, room: int, *, most: float = math.inf) -> NewFile:
        """A file without a name yet, for at least `room` bytes and at most `most`. Blocks.

        Raises `DiskFull` where the disk has not so much room.
        """
        free = self.free()
        if free < room:
            raise DiskFull(
                f"DATA_DIR has too little room: the firmware needs {room} bytes or more, and"
                f" {MARGIN} besides stay free",
                hint=f"Free space on the disk ({free + MARGIN} bytes are free), or lower"
                " KEEP_VERSIONS",
            )
        if most < room:
            raise DiskFull(
                f"the firmware needs {room} bytes or more, and a device that only polls found may"
                f" take {most} now, so that there is room for others",
                hint="If the device is yours: name it in DEVICES, or free space on the disk",
            )
        return NewFile(self._folder, most=most, disk=self._disk)

    def free(self) -> int:
        """The bytes that firmware may still take, below nothing too: `MARGIN` stays free. Blocks.

        Where somebody removed the folder it is made again: what is missing then is pulled anew.
        Raises `Undecided` where the disk does not say.
        """
        with durable.explained(f"write to {self._folder}"):
            try:
                free = self._disk.free(self._folder)
            except FileNotFoundError:
                durable.make_folder(self._folder, disk=self._disk)
                free = self._disk.free(self._folder)
            return free - MARGIN

    def claims(self) -> Claims:
        """A fresh set of claims, for a `with`."""
        return Claims(self)

    def open(self, firmware_digest: Digest) -> Opened:
        """Open a file for reading by offset; raises `Undecided` where it cannot be."""
        if firmware_digest in self._condemned:
            raise DiskFailed(f"the file of {firmware_digest} is damaged: it is pulled again")
        with self._reading:
            shared = self._open.get(firmware_digest)
            if shared is None:
                with durable.explained(f"open {firmware_digest}"):
                    shared = _Shared(open_regular(self.path(firmware_digest)))
                self._open[firmware_digest] = shared
            shared.readers += 1
            self._idle.pop(firmware_digest, None)
        return Opened(self, firmware_digest, shared)

    def remove_unreferenced(
        self, dropped: Iterable[Digest], referenced: Callable[[Digest], bool]
    ) -> int:
        """Remove those files that nobody names or claims; returns how many. Blocks.

        One that cannot be removed keeps no other, and is tried again with the next; the first error
        is raised in the end.
        """
        removed = 0
        failed: DiskFailed | None = None
        tried, self._left = self._left.union(dropped), set()
        for digest in tried:
            try:
                with self._lock:
                    if digest in self._claims or referenced(digest):
                        continue
                    removed += durable.remove(self.path(digest), disk=self._disk)
            except DiskFailed as error:
                self._left.add(digest)
                failed = failed or error
                continue
            self._condemned.discard(digest)
            self._let_go(digest)
        if failed is not None:
            raise failed
        return removed

    def sweep(self, referenced: Callable[[Digest], bool]) -> int:
        """Remove every file that nobody names or claims; returns how many. Blocks."""
        with durable.explained(f"read {self._folder}"):
            names = self._disk.names(self._folder)
        held = [Digest("sha256", name) for name in names if len(name) == _DIGITS]
        unnamed = [digest for digest in held if not referenced(digest)]
        return self.remove_unreferenced(unnamed, referenced)

    def _claim(self, digest: Digest) -> None:
        with self._lock:
            self._claims[digest] += 1

    def _unclaim(self, digests: Iterable[Digest]) -> None:
        with self._lock:
            self._claims.subtract(digests)
            self._claims = +self._claims

    def _replaced(self, digest: Digest) -> None:
        self._condemned.discard(digest)
        self._let_go(digest)

    def _let_go(self, digest: Digest) -> None:
        """Give no descriptor of a file to anyone any more; who reads by one reads on."""
        with self._reading:
            shared = self._open.pop(digest, None)
            self._idle.pop(digest, None)
            if shared is not None and not shared.readers:
                os.close(shared.fd)

    def _closed(self, digest: Digest, shared: _Shared) -> None:
        with self._reading:
            shared.readers -= 1
            if shared.readers:
                return
            if self._open.get(digest) is not shared:
                os.close(shared.fd)
                return
            self._idle[digest] = None
            if len(self._idle) > KEPT_OPEN:
                oldest, _ = self._idle.popitem(last=False)
                os.close(self._open.pop(oldest).fd)
