"""What unpacking reads from and writes to; it knows no registry and no store.

Both sides block, for they are used in a thread. Their errors are this project's and pass through
unpacking unchanged: a registry that failed or a full disk is no verdict on the bytes.
"""

from __future__ import annotations

from typing import Protocol


class Reader(Protocol):
    """A blob's bytes, once, in order, checked on the way: nobody reaches the end of bad ones."""

    def read(self) -> bytes:
        """The next bytes, at most 1 MiB; empty once all were given and size and digest hold.

        Blocks. Raises `Undecided` where the source failed or the bytes do not match their digest,
        `Incomplete` where the blob is missing.
        """
        ...


class Sink(Protocol):
    """Where the firmware goes while nobody knows yet whether it is the right one, and whole."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; at least 256 KiB at a time, but for a file's end.

        Blocks. Raises `Undecided` where the disk is full or broken.
        """
        ...

    def restart(self) -> None:
        """Throw away everything that was written: a better candidate was found further on."""
        ...
