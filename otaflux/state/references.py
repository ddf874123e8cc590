"""Which firmware files records name, and which devices' records do.

A file stays on the disk as long as a record names it, be it one in memory or one that may lie on
the disk. On one event loop, but for `in`, which is for any thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from otaflux.model.artifact import Digest
from otaflux.model.names import Device
from otaflux.model.record import Record

_NOBODY: frozenset[Device] = frozenset()


@dataclass(slots=True)
class _File:
    """One file: its size in bytes, and the devices whose record in memory names it."""

    digest: Digest
    size: int
    devices: set[Device] = field(default_factory=set)


class References:
    """The files that are named; iterating and counting is about those of records in memory."""

    def __init__(self) -> None:
        self._named: Counter[Digest] = Counter()
        self._files: dict[Digest, _File] = {}
        self.size = 0  # bytes of all files that records in memory name, each once

    def __contains__(self, digest: object) -> bool:
        """Whether any record names that file, in memory or maybe on the disk. From any thread."""
        return digest in self._named

    def __len__(self) -> int:
        """How many files records in memory name."""
        return len(self._files)

    def __iter__(self) -> Iterator[Digest]:
        """The files that records in memory name, in no order."""
        return iter(self._files)

    def devices(self, digest: Digest) -> Collection[Device]:
        """The devices whose record in memory names that file."""
        file = self._files.get(digest)
        return file.devices if file is not None else _NOBODY

    def name(self, files: Iterable[Digest]) -> None:
        """Have files count as named once more, though no record in memory names them."""
        self._named.update(files)

    def unname(self, files: Iterable[Digest]) -> None:
        """Take that back."""
        for digest in files:
            self._named[digest] -= 1
            if not self._named[digest]:
                del self._named[digest]

    def change(self, device: Device, before: Record | None, after: Record | None) -> None:
        """A device's record in memory is another, or there is none any more, or none yet."""
        old, new = files_of(before), files_of(after)
        self.name(new)
        self.unname(old)
        for digest in old - new:
            file = self._files[digest]
            file.devices.discard(device)
            if not file.devices:
                self.size -= file.size
                del self._files[digest]
        for release in after.held() if after is not None else ():
            digest = release.firmware.firmware_digest
            if digest not in old:
                file = self._file(digest, release.firmware.sums.size)
                file.devices.add(device)

    def load(self, records: Iterable[Record]) -> None:
        """As `change`, of very many that had no record: at start."""
        found: dict[str, _File] = {}  # by the SHA-256: a digest's hash is a call of its own
        for record in records:
            for release in record.held():
                sums = release.firmware.sums
                file = found.get(sums.sha256)
                if file is None:
                    file = found[sums.sha256] = self._file(sums.digest, sums.size)
                file.devices.add(record.device)
        self._named.update({file.digest: len(file.devices) for file in found.values()})

    def _file(self, digest: Digest, size: int) -> _File:
        file = self._files.get(digest)
        if file is None:
            file = self._files[digest] = _File(digest, size)
            self.size += size
        return file


def files_of(record: Record | None) -> frozenset[Digest]:
    """The files that a record names: current, kept and retired."""
    if record is None:
        return frozenset()
    return frozenset([release.firmware.firmware_digest for release in record.held()])
