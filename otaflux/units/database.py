"""`units.sqlite3`: a cache on the disk of what units said. Blocks, and is for one thread at a time.

A row is a place of the table in memory, so the file is as bounded as that is, and a unit that takes
another's place takes its row. What cannot be read is thrown away and begun anew, and so is a file
of another version. A file that was taken away while it was open is missed at the next write. Only
a regular file is opened, and no link is followed.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from otaflux.errors import DiskFailed, DiskFull
from otaflux.files import durable
from otaflux.files.disk import Irregular
from otaflux.units.rows import COLUMNS, WIDTH, Row

VERSION = 1  # of the columns
_WRITE = f"INSERT OR REPLACE INTO units VALUES ({','.join('?' * WIDTH)})"  # noqa: S608 - marks alone
_FULL = "database or disk is full"
# What SQLite says of the disk and of others, none of which is damage.
_OF_THE_DISK = ("disk", "readonly", "locked", "unable to open", "permission")


class _Damaged(Exception):
    """The file is not what was written there."""


class Database:
    """The file. `anew` says why it was begun anew, from then until it is asked; else empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None
        self._number = 0
        self._anew = ""

    @property
    def anew(self) -> str:
        """Why the file was begun anew since this was asked last; empty where it was not."""
        reason, self._anew = self._anew, ""
        return reason

    def read(self) -> Iterator[Row]:
        """Every row that is there, the one heard of longest ago first.

        Makes the file where there is none; ends early where it is damaged, and begins it anew.
        Raises `DiskFailed`.
        """
        try:
            with self._explained("read"):
                self._begin()
                if self._open is not None:
                    query = "SELECT * FROM units ORDER BY heard, place"
                    with closing(self._open.execute(query)) as rows:
                        yield from rows
        except _Damaged as error:
            self._throw_away(str(error))

    def clear(self) -> None:
        """Take all rows out. Raises `DiskFailed`."""
        try:
            with self._explained("write"):
                if self._open is not None:
                    with self._open as transaction:
                        transaction.execute("DELETE FROM units")
        except _Damaged as error:
            self._throw_away(str(error))

    def write(self, rows: Sequence[Row]) -> bool:
        """Have rows on the disk, all or none; False where the file was begun anew instead.

        Raises `DiskFailed`.
        """
        try:
            with self._explained("write"):
                was_open = self._open is not None
                if not (was_open and self._is_there()) and self._begin():
                    self._anew = "it was taken away" if was_open else ""
                    return False
                if self._open is not None:
                    with self._open as transaction:
                        transaction.executemany(_WRITE, rows)
                return True
        except _Damaged as error:
            self._throw_away(str(error))
            return False

    def close(self) -> None:
        """Close the file. Raises nothing."""
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.close()
            self._open = None

    def _begin(self) -> bool:
        """Open the file, making it where there is none of this kind; returns whether it made it."""
        self.close()
        with suppress(FileNotFoundError):
            mode = self.path.lstat().st_mode
            if not stat.S_ISREG(mode):
                raise Irregular(self.path, mode)
        connection = sqlite3.connect(self.path, check_same_thread=False, timeout=1.0)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                connection.execute("DROP TABLE IF EXISTS units")
                connection.execute(f"CREATE TABLE units ({COLUMNS}) STRICT")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.commit()
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        self._open = connection
        self._number = self.path.stat().st_ino
        return bool(version != VERSION)

    def _is_there(self) -> bool:
        try:
            return self.path.lstat().st_ino == self._number
        except FileNotFoundError:
            return False

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn what SQLite and the disk raise into what a caller can do something about."""
        try:
            with durable.explained(f"{doing} {self.path}"):
                yield
        except sqlite3.OperationalError as error:
            self.close()
            reason = str(error)
            if any(word in reason for word in _OF_THE_DISK):
                kind = DiskFull if reason == _FULL else DiskFailed
                raise kind(f"cannot {doing} {self.path}: {reason}") from error
            raise _Damaged(reason) from error
        except (sqlite3.Error, UnicodeError) as error:  # UnicodeError: a text that is none
            self.close()
            raise _Damaged(str(error)) from error

    def _throw_away(self, reason: str) -> None:
        """Remove the file and begin another; raises `DiskFailed` where that cannot be."""
        self.close()
        try:
            with self._explained("begin"):
                for path in (self.path, Path(f"{self.path}-journal")):
                    path.unlink(missing_ok=True)
                self._begin()
        except _Damaged as error:
            raise DiskFailed(f"cannot begin {self.path}: {error}") from error
        self._anew = reason
