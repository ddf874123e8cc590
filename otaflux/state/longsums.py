"""SHA-512 sums of firmware files, for the one protocol that wants them (the Zigbee index).

No pull pays for them: a file is summed when somebody first asks, in a thread, one file at a time,
and the sum is kept in memory. On the event loop.
"""

from __future__ import annotations

import asyncio
import hashlib

from otaflux.boundedmap import BoundedMap
from otaflux.files import durable
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest
from otaflux.model.release import Firmware
from otaflux.state.store import Store

MOST = 10_000  # sums that are kept, some 300 bytes each
_PIECE = 1 << 20  # bytes read at once; large, so that summing lets other threads run


class LongSums:
    """SHA-512 of files of a store, which never change under their name."""

    def __init__(self, store: Store, *, machine: Machine = REAL_MACHINE) -> None:
        self._store = store
        self._in_thread = machine.in_thread
        self._sums: BoundedMap[Digest, str] = BoundedMap(MOST)
        self._one = asyncio.Lock()

    def known(self, firmware: Firmware) -> str | None:
        """The sum in hexadecimal, where it is known already."""
        return self._sums.get(firmware.firmware_digest)

    async def sha512(self, firmware: Firmware) -> str:
        """The sum in hexadecimal; raises `DiskFailed` where the file cannot be read."""
        async with self._one:
            found = self.known(firmware)
            if found is None:
                found = await self._in_thread(self._summed, firmware)
                self._sums.put(firmware.firmware_digest, found)
            return found

    def _summed(self, firmware: Firmware) -> str:
        digest, total = firmware.firmware_digest, hashlib.sha512()
        with durable.explained(f"read {digest}"):
            for offset in range(0, firmware.sums.size, _PIECE):
                total.update(self._store.read(digest, _PIECE, offset))
        return total.hexdigest()
