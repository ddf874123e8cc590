"""`DATA_DIR`: where things lie in it, and the lock that keeps a second server out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from otaflux.errors import BadSetting, Undecided
from otaflux.files import durable


class DataFolder(msgspec.Struct, frozen=True):
    """The places below `DATA_DIR`."""

    root: Path

    @property
    def registry(self) -> Path:
        """One OCI image layout a device."""
        return self.root / "registry"

    @property
    def firmware(self) -> Path:
        """Unpacked firmware, named by its content."""
        return self.root / "firmware"

    @property
    def catalog(self) -> Path:
        """One record a device."""
        return self.root / "catalog"

    @property
    def units(self) -> Path:
        """What units said: a cache that may be removed at any time."""
        return self.root / "units.sqlite3"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and have it alone. Blocks, but not for the lock.

        Raises `BadSetting` where another server has it, or where it cannot be written.
        """
        try:
            durable.make_folder(self.root)
            with durable.explained(f"open {self.root / 'lock'}"):
                # No link to elsewhere, and no waiting where a pipe stands in its place.
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                descriptor = os.open(self.root / "lock", flags, 0o644)
        except Undecided as error:
            raise self._unusable(error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadSetting(
                    f"DATA_DIR: {self.root} is in use by another otaflux; expected a folder of"
                    " its own for each server"
                ) from None
            self._try_to_write()
            yield
        finally:
            os.close(descriptor)

    def _try_to_write(self) -> None:
        """Write a file for good, as pulls will; who was killed at that left a temporary behind."""
        try:
            durable.sweep_temporaries(self.root)
            durable.write(self.root / ".writable", b"")
            durable.remove(self.root / ".writable")
        except Undecided as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Undecided) -> BadSetting:
        return BadSetting(f"DATA_DIR: {self.root} cannot be used: {error}. {error.hint}")
