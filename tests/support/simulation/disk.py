"""A disk in memory that loses on a power cut what was not synced. See `otaflux.files.disk.Disk`.

After `cut` every operation raises `PowerCut` until `power_on`, which leaves what reached the
platter: a file's bytes as of its last sync (or some of those after, or zeros), a folder's names as
of its last sync, or a few changes later.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

from otaflux.files.disk import OpenFile


class PowerCut(BaseException):
    """The machine is off."""


class File:
    """What one file holds, and what of it would outlast a cut."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.synced = b""


_Names = dict[str, File]


def _split(path: Path) -> tuple[str, str]:
    """Folder and name, as texts: paths are slow to take apart and to find in a dict."""
    folder, _, name = str(path).rpartition("/")
    return folder or "/", name


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class MemoryDisk:
    """The files and folders of one machine. `trouble` says how often an operation fails."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._live: dict[str, _Names] = {"/": {}, "/data": {}}
        self._lasting: dict[str, _Names] = {"/": {}, "/data": {}}
        self._later: dict[str, list[_Names]] = {}
        self._off = False
        self.cut_in: int | None = None
        self.on_cut: Callable[[], object] = lambda: None
        self.trouble = 0.0
        self.ahead = 0.0  # seconds by which the machine's wall clock is ahead
        self.times_set = 0

    def set_clock(self, ahead: float) -> None:
        """Set the machine's wall clock so many seconds ahead of what is right."""
        self.ahead = ahead
        self.times_set += 1

    @property
    def is_off(self) -> bool:
        """Whether the power was cut."""
        return self._off

    def cut(self) -> None:
        """Switch the machine off now."""
        if not self._off:
            self._off = True
            self.on_cut()

    def power_on(self) -> None:
        """Switch it on again, with what the platter holds."""
        for folder, lasting in self._lasting.items():
            states = [lasting, *self._later.get(folder, [])]
            names = dict(self._chance.choice(states))
            for file in names.values():
                file.data = file.synced = self._rest_of(file)
            self._live[folder] = names
            self._lasting[folder] = dict(names)
        self._later.clear()
        self._off, self.cut_in = False, None

    def platter(self, path: Path) -> bytes | None:
        """What would be there for sure after a cut; None where it might not be."""
        folder, name = _split(path)
        file = self._lasting.get(folder, {}).get(name)
        return file.synced if file is not None and file.data == file.synced else None

    def seen(self, path: Path) -> bytes | None:
        """What a reader sees."""
        folder, name = _split(path)
        file = self._live.get(folder, {}).get(name)
        return file.data if file else None

    def possible(self, path: Path) -> list[bytes | None]:
        """What may be there after a cut, as far as it is whole; None where it may be missing."""
        folder, name = _split(path)
        states = [self._lasting.get(folder, {}), *self._later.get(folder, ())]
        files = [names.get(name) for names in states]
        return [None if file is None else file.synced for file in files]

    def live_names(self, folder: Path) -> list[str]:
        """What a reader sees in a folder, without any trouble."""
        return list(self._live[str(folder)])

    def _rest_of(self, file: File) -> bytes:
        if file.data == file.synced:
            return file.data
        part = self._chance.randrange(len(file.data) + 1)
        return self._chance.choice(
            [file.synced, file.data, file.data[:part], bytes(len(file.data))]
        )

    def _do(self) -> None:
        if self.cut_in is not None and not self._off:
            self.cut_in -= 1
            if self.cut_in < 0:
                self.cut()
        if self._off:
            raise PowerCut
        if self.trouble and self._chance.random() < self.trouble:
            raise _error(errno.ENOSPC)

    def _folder(self, folder: str) -> _Names:
        if folder not in self._live:
            raise _error(errno.ENOENT)
        return self._live[folder]

    def _changed(self, folder: str) -> None:
        self._later.setdefault(folder, []).append(dict(self._live[folder]))

    def create(self, path: Path) -> OpenFile:
        """See `disk.Disk`."""
        self._do()
        folder, name = _split(path)
        names = self._folder(folder)
        if name in names:
            raise _error(errno.EEXIST)
        names[name] = file = File()
        self._changed(folder)
        return _OpenFile(self, file)

    def sync(self, path: Path) -> None:
        """See `disk.Disk`."""
        self._do()
        folder = str(path)
        if folder in self._live:
            self._lasting[folder] = dict(self._live[folder])
            self._later.pop(folder, None)
        else:
            self.sync_file(self._find(path))

    def rename(self, source: Path, target: Path) -> None:
        """See `disk.Disk`; both names are in one folder, so that they change at once."""
        self._do()
        folder, name = _split(source)
        names = self._folder(folder)
        names[target.name] = self._find(source)
        del names[name]
        self._changed(folder)

    def unlink(self, path: Path) -> None:
        """See `disk.Disk`."""
        self._do()
        self._find(path)
        folder, name = _split(path)
        del self._live[folder][name]
        self._changed(folder)

    def make_folder(self, path: Path) -> None:
        """See `disk.Disk`; a new folder lasts at once, which no rule here rests on."""
        self._do()
        folder, _ = _split(path)
        made = str(path)
        if made in self._live:
            raise _error(errno.EEXIST)
        self._folder(folder)
        self._live[made], self._lasting[made] = {}, {}

    def names(self, folder: Path) -> list[str]:
        """See `disk.Disk`."""
        self._do()
        return list(self._folder(str(folder)))

    def kinds(self, folder: Path) -> dict[str, bool]:
        """See `disk.Disk`."""
        return dict.fromkeys(self.names(folder), True)

    def sizes(self, folder: Path) -> dict[str, int | None]:
        """See `disk.Disk`."""
        self._do()
        return {name: len(file.data) for name, file in self._folder(str(folder)).items()}

    def size(self, path: Path) -> int:
        """See `disk.Disk`."""
        self._do()
        return len(self._find(path).data)

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """See `disk.Disk`."""
        self._do()
        return self._find(path).data[offset : offset + max_bytes]

    def reader(self, folder: Path, max_bytes: int) -> Callable[[str], bytes]:
        """See `disk.Disk`."""
        return lambda name: self.read(folder / name, max_bytes)

    def free(self, folder: Path) -> int:
        """See `disk.Disk`."""
        self._do()
        return 1 << 40

    def _find(self, path: Path) -> File:
        folder, name = _split(path)
        file = self._folder(folder).get(name)
        if file is None:
            raise _error(errno.ENOENT)
        return file

    def write_file(self, file: File, data: bytes) -> None:
        """An open file gets more bytes."""
        self._do()
        file.data += data

    def sync_file(self, file: File) -> None:
        """A file's bytes are to last."""
        file.synced = file.data

    def empty_file(self, file: File) -> None:
        """An open file begins anew."""
        self._do()
        file.data = b""

    def sync_open(self, file: File) -> None:
        """An open file's bytes are to last."""
        self._do()
        self.sync_file(file)


class _OpenFile:
    def __init__(self, disk: MemoryDisk, file: File) -> None:
        self._disk = disk
        self._file = file

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._disk.write_file(self._file, bytes(data))

    def restart(self) -> None:
        self._disk.empty_file(self._file)

    def sync(self) -> None:
        self._disk.sync_open(self._file)

    def close(self) -> None:
        pass
