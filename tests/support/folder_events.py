"""What happens to the names in some folders, told while it happens: inotify, by its system calls.

    with FolderEvents(data / "catalog") as events:
        ...                                      # whoever writes there
        made = events.wait(lambda event: event.made and event.name.startswith(".new-"), 5.0)
        os.kill(pid, signal.SIGKILL)             # some ten microseconds later

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_MOVED_TO, _CREATE, _DELETE = 0x80, 0x100, 0x200
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name


@dataclass(frozen=True, slots=True)
class Event:
    """A name in a folder was made, given by a rename, or removed."""

    folder: Path
    name: str
    mask: int

    @property
    def made(self) -> bool:
        """A new file has the name."""
        return bool(self.mask & _CREATE)

    @property
    def renamed(self) -> bool:
        """A file that had another name has this one now."""
        return bool(self.mask & _MOVED_TO)

    @property
    def removed(self) -> bool:
        """Nothing has the name any more."""
        return bool(self.mask & _DELETE)


class FolderEvents:
    """The events of some folders since this was made; for one thread at a time."""

    def __init__(self, *folders: Path) -> None:
        self._descriptor = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders = {
            _checked(
                _LIBC.inotify_add_watch(
                    self._descriptor, os.fsencode(folder), _MOVED_TO | _CREATE | _DELETE
                )
            ): folder
            for folder in folders
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def wait(self, wanted: Callable[[Event], bool], within: float) -> Event | None:
        """The first event that is wanted; None where none came. Blocks."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._descriptor], [], [], left)[0]:
                for event in self._read():
                    if wanted(event):
                        return event
        return None

    def _read(self) -> list[Event]:
        data, at, events = os.read(self._descriptor, 1 << 16), 0, []
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name = data[at : at + length].rstrip(b"\0").decode()
            at += length
            if watch in self._folders:
                events.append(Event(self._folders[watch], name, mask))
        return events


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
