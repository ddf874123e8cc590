"""After a start each firmware file is read once and summed, so that no spoilt one is served on.

What was written while the server was down, or what a disk lost, has the right size and may be
served with the right sums for ever. It is found here, once, in the background: bounded in rate, and
at most a quarter of the time, so that polls and pulls have disk and threads to themselves. From the
moment that it is known the file counts as missing, nobody is told its release, and its devices are
looked at again, which pulls it. What was pulled since the start was summed as it came.

On the event loop; files are read in threads.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from typing import Final

from otaflux.files.disk import Irregular
from otaflux.log import Event, log
from otaflux.machine import Machine
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority, Touch
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.catalog import Catalog
from otaflux.state.restore import with_releases
from otaflux.state.store import PIECE, Store

RATE: Final = 32 << 20  # bytes a second at most
_REST = 3  # times as long as reading took, nothing is read

_LOST = frozenset({errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EBADMSG})


class Scrub:
    """Reads the files that the catalog names when `run` begins. `rate` is in bytes a second."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        touch: Callable[[Touch], object],
        *,
        machine: Machine,
        rate: float = RATE,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._touch = touch
        self._machine = machine
        self._rate = rate

    async def run(self) -> None:
        """Read them all, once. Raises nothing: what cannot be read now says nothing."""
        for digest in self._catalog.files():
            flaw = await self._flaw(digest)
            if flaw and self._catalog.devices_with(digest):
                self._store.condemn(digest)
                for device in self._catalog.devices_with(digest):
                    record = self._catalog.get(device)
                    if record is not None:
                        self._catalog.lose(_without(record, digest, flaw))
                        self._touch(Touch(device, Priority.START))

    async def _flaw(self, digest: Digest) -> str:
        """What is wrong with a file; empty where nothing is, or where nothing was learnt."""
        checked = hashlib.sha256()
        offset = 0
        while self._catalog.devices_with(digest):
            began = self._machine.clock()
            try:
                piece = await self._machine.in_yielding_thread(
                    self._sum, digest, offset, checked.update
                )
            except Irregular as error:
                return f"{error.strerror}"
            except OSError as error:
                return f"it cannot be read: {error.strerror}" if error.errno in _LOST else ""
            offset += piece
            if not piece:
                return "" if checked.hexdigest() == digest.hex else "its bytes have changed"
            took = self._machine.clock() - began
            await self._machine.sleep(max(piece / self._rate - took, _REST * took, 0.0))
        return ""

    def _sum(self, digest: Digest, offset: int, update: Callable[[bytes], None]) -> int:
        """Sum the next piece of a file; returns its size. Blocks."""
        piece = self._store.read(digest, PIECE, offset)
        update(piece)
        return len(piece)


def _without(record: Record, digest: Digest, flaw: str) -> Record:
    """The record without what has that file, said once for each release."""
    said: set[Release] = set()

    def whole(release: Release) -> bool:
        if release.firmware.firmware_digest != digest:
            return True
        if release not in said:
            said.add(release)
            log.error(
                Event.FIRMWARE_DAMAGED,
                device=release.device.name,
                tag=release.tag.text,
                version=release.version.text,
                digest=str(digest),
                reason=f"its file is damaged ({flaw}); it is pulled again",
            )
        return False

    return with_releases(record, whole)
