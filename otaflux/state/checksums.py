"""MD5 and SHA-1 of large firmware, computed from its file once its release is told.

Some protocols have boards compare them, and nothing here trusts them. They take as long as all else
that a pull computes, so a release does not wait for them: the run that published it has them
computed and writes them into its record, and whoever is asked for them before, or after a crash in
between, waits for the same computation or begins it. The file is held against its name meanwhile:
of spoilt bytes there are no sums.

On the event loop; files are read in a thread, one at a time. Not in one that yields the processor,
for clients may wait for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import msgspec

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Busy, DiskFailed
from otaflux.files import durable
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest
from otaflux.model.release import Firmware
from otaflux.state.store import Store

# Seconds that a client waits for sums; then they go on without it. Clients of large firmware are
# patient, and less so with errors; a gigabyte takes a small computer ten seconds.
PATIENCE = 20.0
MOST = 1_000  # files whose sums are remembered until their records have them; some 300 bytes each
SPAN = 16 << 20  # bytes a thread sums before it can be stopped


class _Pair(msgspec.Struct, frozen=True):
    md5: str
    sha1: str


class Checksums:
    """Completes the sums of files in a store. `patience` is in seconds."""

    def __init__(
        self, store: Store, *, machine: Machine = REAL_MACHINE, patience: float = PATIENCE
    ) -> None:
        self._store = store
        self._machine = machine
        self._patience = patience
        self._known: BoundedMap[Digest, _Pair] = BoundedMap(MOST)
        self._computing: dict[Digest, asyncio.Task[_Pair]] = {}
        self._turn = asyncio.Lock()

    async def complete(self, firmware: Firmware) -> Firmware:
        """The firmware with all its sums, however long it takes; at once where it has them.

        Raises `DiskFailed` where its file is not there, cannot be read or is spoilt.
        """
        if firmware.sums.is_complete:
            return firmware
        pair = self._known.get(firmware.firmware_digest)
        if pair is None:
            pair = await asyncio.shield(self._computed(firmware))
        return replace(firmware, sums=replace(firmware.sums, md5=pair.md5, sha1=pair.sha1))

    async def complete_soon(self, firmware: Firmware) -> Firmware:
        """As `complete`, for a client; raises `Busy` where it takes longer than clients wait."""
        if firmware.sums.is_complete:
            return firmware
        try:
            async with asyncio.timeout(self._patience):
                return await self.complete(firmware)
        except TimeoutError:
            raise Busy(
                "The MD5 and SHA-1 of this firmware are being computed", retry_after=self._patience
            ) from None

    def _computed(self, firmware: Firmware) -> asyncio.Task[_Pair]:
        """The one computation for all who ask, which goes on without them."""
        digest = firmware.firmware_digest
        task = self._computing.get(digest)
        if task is None:
            task = asyncio.create_task(self._compute(digest, firmware.sums.size), name="checksums")
            self._computing[digest] = task
            task.add_done_callback(lambda ended: self._ended(digest, ended))
        return task

    def _ended(self, digest: Digest, task: asyncio.Task[_Pair]) -> None:
        del self._computing[digest]
        if not task.cancelled() and task.exception() is None:  # else it is whoever asked that hears
            self._known.put(digest, task.result())

    async def _compute(self, digest: Digest, size: int) -> _Pair:
        sums = _SumsOfFile()
        async with self._turn:
            for offset in range(0, size, SPAN):
                most = min(SPAN, size - offset)
                await self._machine.in_thread(self._sum, digest, offset, most, sums)
        if sums.sha256.hexdigest() != digest.hex:
            raise DiskFailed(f"the file of {digest} is damaged: it has no sums")
        return _Pair(sums.md5.hexdigest(), sums.sha1.hexdigest())

    def _sum(self, digest: Digest, offset: int, most: int, sums: _SumsOfFile) -> None:
        """Sum `most` bytes of a file. Blocks; raises `DiskFailed`."""
        with durable.explained(f"read {digest}"):
            for piece in self._store.pieces(digest, most, start=offset):
                sums.add(piece)


class _SumsOfFile:
    def __init__(self) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha1 = hashlib.sha1(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        for each in (self.md5, self.sha1, self.sha256):
            each.update(piece)
