"""A disk that loses on a power cut whatever was not synced, over a folder of real files.

Readers read the real files; whatever is written through `LossyDisk` is also kept in a model of what
has reached the platter: a file's bytes once the file is synced, a folder's names once the folder is
synced. `power_cut` throws the rest away as a disk may: of names not yet synced the first few are
kept, of bytes not yet synced all, some, none, or zeros in their place.

    disk = LossyDisk(tmp_path, random.Random(1), cut_at=7)
    with pytest.raises(PowerCut):
        durable.write(tmp_path / "a", b"new", disk=disk)      # its seventh operation never happens
    disk.power_cut()
    assert (tmp_path / "a").read_bytes() in {b"old", b"new"}

`cut_at` numbers operations from 0; `errors` makes some of them fail with an errno, such as
`{3: errno.ENOSPC}`. `operations` is what was done, for whoever wants to try each of them.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from otaflux.files.disk import REAL_DISK, OpenFile


class PowerCut(BaseException):
    """The machine is off: nothing that runs after this reaches the disk."""


class _File:
    """A file by its inode: what a reader sees, and what the platter holds."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.synced = data


_Names = dict[str, "_File | None"]  # None is a folder


class LossyDisk:
    """Behaves as `disk.Disk` says, until the power is cut."""

    def __init__(
        self,
        root: Path,
        chance: random.Random,
        *,
        cut_at: int | None = None,
        errors: Mapping[int, int] | None = None,
    ) -> None:
        self._root = root
        self._chance = chance
        self._cut_at = cut_at
        self._errors = dict(errors or {})
        self.operations: list[str] = []
        self._load()

    def _load(self) -> None:
        """Take what lies in the folder for what the platter holds."""
        self._files: dict[Path, _File] = {}
        self._lasting: dict[Path, _Names] = {}
        self._pending: dict[Path, list[_Names]] = {}  # names as they were after each change
        for folder, folders, files in os.walk(self._root):
            for file in files:
                self._files[Path(folder, file)] = _File(Path(folder, file).read_bytes())
            self._lasting[Path(folder)] = {
                **dict.fromkeys(folders),
                **{file: self._files[Path(folder, file)] for file in files},
            }

    def _do(self, what: str) -> None:
        number = len(self.operations)
        if self._cut_at is not None and number >= self._cut_at:
            raise PowerCut
        self.operations.append(what)
        if number in self._errors:
            raise OSError(self._errors[number], os.strerror(self._errors[number]))

    def _names_changed(self, folder: Path) -> None:
        """Remember what the folder holds now; it lasts once the folder is synced.

        Files that nobody wrote through this disk, such as locks, do not outlive a cut.
        """
        now: _Names = {
            entry.name: self._files.get(entry)
            for entry in folder.iterdir()
            if entry.is_dir() or entry in self._files
        }
        self._pending.setdefault(folder, []).append(now)

    def create(self, path: Path) -> OpenFile:
        """See `disk.Disk`."""
        self._do(f"create {path.name}")
        self._files[path] = _File()
        opened = _OpenFile(self, REAL_DISK.create(path), self._files[path])
        self._names_changed(path.parent)
        return opened

    def sync(self, path: Path) -> None:
        """See `disk.Disk`."""
        self._do(f"sync {path.name}")
        if path.is_dir():
            if path in self._pending:
                self._lasting[path] = self._pending.pop(path)[-1]
        elif path in self._files:
            self._files[path].synced = self._files[path].data

    def rename(self, source: Path, target: Path) -> None:
        """See `disk.Disk`; both names are in one folder, so that they change at once."""
        self._do(f"rename to {target.name}")
        assert source.parent == target.parent
        REAL_DISK.rename(source, target)
        self._files[target] = self._files.pop(source)
        self._names_changed(target.parent)

    def unlink(self, path: Path) -> None:
        """See `disk.Disk`."""
        self._do(f"unlink {path.name}")
        REAL_DISK.unlink(path)
        self._files.pop(path, None)
        self._names_changed(path.parent)

    def make_folder(self, path: Path) -> None:
        """See `disk.Disk`."""
        self._do(f"make folder {path.name}")
        REAL_DISK.make_folder(path)
        self._lasting[path] = {}
        self._names_changed(path.parent)

    def names(self, folder: Path) -> list[str]:
        """See `disk.Disk`."""
        self._do(f"list {folder.name}")
        return REAL_DISK.names(folder)

    def kinds(self, folder: Path) -> dict[str, bool]:
        """See `disk.Disk`."""
        self._do(f"list {folder.name}")
        return REAL_DISK.kinds(folder)

    def sizes(self, folder: Path) -> dict[str, int | None]:
        """See `disk.Disk`."""
        self._do(f"sizes in {folder.name}")
        return REAL_DISK.sizes(folder)

    def size(self, path: Path) -> int:
        """See `disk.Disk`."""
        self._do(f"size of {path.name}")
        return REAL_DISK.size(path)

    def read(self, path: Path, max_bytes: int, offset: int = 0) -> bytes:
        """See `disk.Disk`."""
        self._do(f"read {path.name}")
        return REAL_DISK.read(path, max_bytes, offset)

    def reader(self, folder: Path, max_bytes: int) -> Callable[[str], bytes]:
        """See `disk.Disk`."""
        return lambda name: self.read(folder / name, max_bytes)

    def free(self, folder: Path) -> int:
        """See `disk.Disk`."""
        self._do(f"free on {folder.name}")
        return REAL_DISK.free(folder)

    def wrote(self, file: _File, data: bytes) -> None:
        """An open file tells that it holds more bytes."""
        self._do("write")
        file.data += data

    def emptied(self, file: _File) -> None:
        """An open file tells that it begins anew."""
        self._do("restart")
        file.data = b""

    def synced(self, file: _File) -> None:
        """An open file tells that it was synced."""
        self._do("sync file")
        file.synced = file.data

    def power_cut(self) -> None:
        """Make the folder hold what the platter holds, and switch the machine on again."""
        lasting = {folder: self._survivors(folder) for folder in self._lasting}
        for entry in self._root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self._restore(self._root, lasting)
        self._cut_at = None
        self._errors = {}
        self._load()

    def _survivors(self, folder: Path) -> _Names:
        """A folder's names after the cut: those synced, and perhaps a few changes more."""
        states = [self._lasting[folder], *self._pending.get(folder, [])]
        return states[self._chance.randrange(len(states))]

    def _restore(self, folder: Path, lasting: Mapping[Path, _Names]) -> None:
        for name, file in lasting.get(folder, {}).items():
            path = folder / name
            if file is None:
                path.mkdir()
                self._restore(path, lasting)
            else:
                path.write_bytes(self._rest_of(file))

    def _rest_of(self, file: _File) -> bytes:
        if file.data == file.synced:
            return file.data
        part = self._chance.randrange(len(file.data) + 1)
        return self._chance.choice(
            [file.synced, file.data, file.data[:part], bytes(len(file.data))]
        )


class _OpenFile:
    def __init__(self, disk: LossyDisk, real: OpenFile, file: _File) -> None:
        self._disk = disk
        self._real = real
        self._file = file

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._disk.wrote(self._file, bytes(data))
        self._real.write(data)

    def restart(self) -> None:
        self._disk.emptied(self._file)
        self._real.restart()

    def sync(self) -> None:
        self._disk.synced(self._file)

    def close(self) -> None:
        self._real.close()
