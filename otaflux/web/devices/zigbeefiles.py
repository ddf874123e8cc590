"""The Zigbee files that devices are told: one index for all of them, kept as records change.

On the event loop. SHA-512 is a sum that this index alone needs: it is computed in a thread when the
index is asked for first, one file after the other, and kept by content. So is the index, until a
file of it changes, for the few addresses that its links may begin with.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Hashable, Iterable

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Busy, DiskFailed
from otaflux.files import durable
from otaflux.log import Event, log
from otaflux.machine import Machine
from otaflux.model.artifact import Digest
from otaflux.model.image import ZigbeeHeader
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.store import Store
from otaflux.web.answers import Answer

MOST = 10_000  # files in the index; a sum each, some 300 bytes
MOST_KEPT = 4  # answers that are kept; one of 10,000 files has some 5 MiB
PATIENCE = 5.0  # seconds that who asks waits for sums; then they go on without him

Kept = BoundedMap[Hashable, asyncio.Task[Answer]]
Make = Callable[[], Coroutine[None, None, Answer]]


class ZigbeeFiles:
    """What the index lists: the current stable release of each device whose file is Zigbee's."""

    def __init__(self, store: Store, machine: Machine, *, patience: float = PATIENCE) -> None:
        self._store = store
        self._machine = machine
        self._patience = patience
        self._current: dict[Device, Release] = {}
        self._sums: BoundedMap[Digest, str] = BoundedMap(MOST)
        self._summing: asyncio.Task[None] | None = None
        self._kept: Kept = BoundedMap(MOST_KEPT)
        self._failing: set[Digest] = set()  # files that could not be read, each said once

    def hear(self, device: Device, record: Record | None) -> None:
        """A record changed, or went."""
        release = record.current() if record is not None else None
        before = self._current.get(device)
        if release is None or header_of(release) is None:
            self._current.pop(device, None)
        elif device in self._current or len(self._current) < MOST:
            self._current[device] = release
        if self._current.get(device) != before:
            self._kept = BoundedMap(MOST_KEPT)

    def hear_start(self, records: Iterable[Record]) -> None:
        """As `hear`, of all records that a start found."""
        for record in records:
            release = record.current()
            if release is not None and header_of(release) is not None:
                self.hear(record.device, record)

    async def kept(self, key: Hashable, make: Make) -> Answer:
        """What `make` makes of the files, made once for all who ask by that key meanwhile.

        Not kept where `make` fails, nor where a file could not be read, which is tried again then.
        """
        kept, task = self._kept, self._kept.get(key)
        if task is None:
            task = asyncio.create_task(make(), name="index for Zigbee")
            kept.put(key, task)
            task.add_done_callback(lambda done: self._drop_unless_whole(kept, key, done))
        return await asyncio.shield(task)

    def _drop_unless_whole(self, kept: Kept, key: Hashable, done: asyncio.Task[Answer]) -> None:
        """Keep no answer that failed, or lacks a file; who waits for it gets it all the same."""
        if done.cancelled() or done.exception() is not None or self._failing:
            kept.drop(key)

    async def listed(self) -> list[tuple[Release, ZigbeeHeader, str]]:
        """Each release with its header and its SHA-512 in hex, by the devices' names.

        Raises `Busy` while sums of many files are computed.
        """
        if any(self._sums.get(each.firmware.firmware_digest) is None for each in self._releases()):
            await self._sum_all()
        listed = []
        for release in sorted(self._releases(), key=lambda each: each.device.name):
            header, sha512 = header_of(release), self._sums.get(release.firmware.firmware_digest)
            if header is not None and sha512 is not None:  # else its file went meanwhile
                listed.append((release, header, sha512))
        return listed

    def _releases(self) -> list[Release]:
        return list(self._current.values())

    async def _sum_all(self) -> None:
        """Sum what is not summed yet: one task for all who ask, which goes on without them."""
        if self._summing is None or self._summing.done():
            self._summing = asyncio.create_task(self._sum_missing(), name="sums for Zigbee")
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(self._summing)
        except TimeoutError:
            raise Busy(
                "The sums of the Zigbee files are computed", retry_after=self._patience
            ) from None

    async def _sum_missing(self) -> None:
        for release in self._releases():
            digest = release.firmware.firmware_digest
            if self._sums.get(digest) is not None:
                continue
            size = release.firmware.sums.size
            try:
                self._sums.put(digest, await self._machine.in_thread(self._sum, digest, size))
            except DiskFailed as error:  # the other files are listed all the same
                if digest not in self._failing:
                    log.warning(Event.REQUEST_FAILED, reason=str(error), hint=error.hint)
                    self._failing.add(digest)
            else:
                self._failing.discard(digest)
        self._failing &= {each.firmware.firmware_digest for each in self._releases()}

    def _sum(self, digest: Digest, size: int) -> str:
        """The SHA-512 of a file. Blocks; raises `DiskFailed`."""
        sha512, left = hashlib.sha512(), size
        with durable.explained(f"read {digest}"):
            for piece in self._store.pieces(digest, size):
                sha512.update(piece)
                left -= len(piece)
        if left:
            raise DiskFailed(f"cannot read {digest}: it is shorter than {size} bytes")
        return sha512.hexdigest()


def header_of(release: Release) -> ZigbeeHeader | None:
    """The header of a Zigbee file; None where it is none."""
    image = release.firmware.image
    return image.zigbee if image is not None else None
