"""A blob's bytes from the disk, for a thread; nobody reaches the end of bad ones.

One thread reads, the event loop may close at any moment: neither waits for the other. The file is
opened by the first read, so that opening blocks no loop, and closed by whoever comes last.
"""

from __future__ import annotations

import hashlib
import threading
from io import FileIO
from pathlib import Path

from otaflux.errors import Incomplete, Undecided
from otaflux.files.disk import open_regular
from otaflux.files.durable import explained
from otaflux.model.artifact import Descriptor
from otaflux.registry.layout.places import DevicePlace, check_root
from otaflux.registry.source import check_size

PIECE = 1024 * 1024  # bytes at a time; large, so that hashing lets other threads run


class LayoutReader:
    """Reads one blob of a layout, at most `most` bytes, checking size and digest on the way."""

    def __init__(
        self, root: Path, place: DevicePlace, descriptor: Descriptor, *, most: int
    ) -> None:
        self._root = root
        self._most = most
        self._path = place.blob(descriptor.digest)
        self._descriptor = descriptor
        self._sum = hashlib.new(descriptor.digest.algorithm, usedforsecurity=False)
        self._count = 0
        self._file: FileIO | None = None
        self._closed = False
        self._busy = threading.Lock()

    def read(self) -> bytes:
        """The next bytes, at most 1 MiB; empty once size and digest hold. Blocks.

        Raises `Undecided` where the disk fails, the bytes are not those of the digest, or the
        reader was closed; `Incomplete` where the blob is missing.
        """
        try:
            with self._busy:
                if self._closed:
                    raise Undecided(f"reading {self._descriptor.digest} was ended")
                return self._next()
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """End the reading; may be called from any thread, and again. Does not block."""
        self._closed = True
        if self._busy.acquire(blocking=False):  # else the reading thread closes, after its read
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                self._busy.release()

    def _next(self) -> bytes:
        descriptor = self._descriptor
        with explained(f"read {self._path}"):
            if self._file is None:
                self._file = self._opened()
            piece = self._file.read(PIECE)
        self._count += len(piece)
        self._sum.update(piece)
        if self._count > self._most:
            raise Undecided(
                f"{self._path} is longer than {self._most} bytes",
                hint="The file is broken: push it once more",
            )
        if not piece:
            if self._sum.hexdigest() != descriptor.digest.hex:
                raise Undecided(
                    f"the bytes of {self._path} are not those of its digest",
                    hint="The file is broken: push it once more",
                )
            check_size(descriptor, self._count)
        return piece

    def _opened(self) -> FileIO:
        try:
            return FileIO(open_regular(self._path, below=self._root))
        except (FileNotFoundError, NotADirectoryError):
            check_root(self._root)
            raise Incomplete(
                f"the blob {self._descriptor.digest} is missing from the embedded folder:"
                " push it again"
            ) from None
