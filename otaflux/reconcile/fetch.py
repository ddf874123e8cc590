"""One artifact's layers made into a firmware file: room, a place to stream in, and the unpacking.

One pass: a verified reader of the blob feeds the unpacking in a thread, which writes a file without
a name; only after the reader ended well is the file named by its content. The blob itself never
touches the disk.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from otaflux.errors import DiskFull, Unusable
from otaflux.files.durable import NewFile
from otaflux.machine import Machine
from otaflux.model.artifact import Descriptor, Digest
from otaflux.model.event import Priority
from otaflux.model.image import ImageKind
from otaflux.model.names import Device
from otaflux.model.release import Firmware
from otaflux.reconcile.described import described
from otaflux.reconcile.streams import PullStream, Streams
from otaflux.registry.source import Source
from otaflux.state.store import Claims, Store
from otaflux.threads import P, T, Work, ended, to_its_end
from otaflux.unpack.choose import Plan
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.limits import Limits

if TYPE_CHECKING:
    from otaflux.roster.space import Space

WRITE_BACK = 0.2  # seconds between the syncs of a file that is being written


class Wanted(msgspec.Struct, frozen=True):
    """The layers that hold a firmware, whose it is, and who keeps its file.

    `found_by_poll` says that only polls found the device.
    """

    device: Device
    plan: Plan
    priority: Priority
    claims: Claims
    found_by_poll: bool

    @property
    def at_least(self) -> int:
        """Bytes of the smallest layer: the firmware may lie in that one."""
        return min(layer.size for layer in self.plan.layers)

    @property
    def at_most(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.plan.layers)


class Fetcher:
    """Fetches firmware of a source into a store, with what it needs in room and places.

    `space` makes room for files; without one what is free is all there is. `limits` bound what is
    unpacked. `write_back` is the time in seconds between two syncs of a file that is being written.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        limits: Limits,
        *,
        space: Space | None,
        streams: Streams,
        machine: Machine,
        write_back: float = WRITE_BACK,
    ) -> None:
        self.source = source
        self.store = store
        self.write_back = write_back
        self.limits = limits
        self.space = space
        self.in_thread = machine.in_thread
        self.in_yielding_thread = machine.in_yielding_thread
        self._streams = streams

    async def fetch(self, wanted: Wanted) -> tuple[Digest, Firmware]:
        """The blob that holds the firmware, and the firmware, whose file is on disk by then.

        Raises `Unusable` for what its bytes are, `Undecided` where they did not come or there is no
        room for them.
        """
        if wanted.found_by_poll:
            return await self._for_found(wanted)
        return await self._for_known(wanted)

    async def _for_known(self, wanted: Wanted) -> tuple[Digest, Firmware]:
        """Those that only polls found give way to a device that is known."""
        if self.space is None:
            return await self._streamed(wanted)
        await self.space.make_room(wanted.at_least)
        try:
            return await self._streamed(wanted)
        except DiskFull:  # it is packed, and how much it would be nobody knew
            if not await self.space.clear(self.limits.max_firmware):
                raise
            return await self._streamed(wanted)

    async def _for_found(self, wanted: Wanted) -> tuple[Digest, Firmware]:
        """Within what is allowed to devices that only polls found."""
        most = math.inf if self.space is None else await self.space.allowed(wanted.device)
        return await self._streamed(wanted, most=most)

    async def _streamed(
        self, wanted: Wanted, *, most: float | None = None
    ) -> tuple[Digest, Firmware]:
        place = self._streams.place(wanted.device, wanted.at_most, wanted.priority)
        async with place as stream:
            return await Fetch(self, wanted, stream, most).run()


class Fetch:
    """One artifact that is being unpacked; made for one `run`.

    `most` is what a device may take that only polls found; None for all others.
    """

    def __init__(
        self, fetcher: Fetcher, wanted: Wanted, stream: PullStream, most: float | None
    ) -> None:
        self._fetcher = fetcher
        self._wanted = wanted
        self._stream = stream
        self._most = most
        self._unpacked = asyncio.Event()

    async def run(self) -> tuple[Digest, Firmware]:
        """Read layers in their order until one holds the firmware; name its file."""
        limit, room = self._fetcher.limits.max_firmware, self._wanted.at_least
        if room > limit:
            raise Unusable(f"the layer has {room} bytes, and MAX_FIRMWARE_SIZE allows {limit}")
        new = await self._draft(room)
        writing_back = asyncio.create_task(self._write_back(new))
        try:
            digest, firmware = await self._unpack(new)
            self._unpacked.set()
            await writing_back
            if self._fetcher.space is not None and self._most is not None:
                await self._fetcher.space.fit(self._wanted.device, firmware.sums.size)
            await self._whole(self._wanted.claims.keep, new, firmware)
            if firmware.image is None or firmware.image.kind is ImageKind.SQUASHFS:
                firmware = await self._whole(described, self._fetcher.store, firmware)
        finally:
            self._unpacked.set()
            await ended(writing_back)
            await self._whole(new.discard)
        return digest, firmware

    async def _draft(self, room: int) -> NewFile:
        """A file without a name yet; one made too late for a cancelled pull goes at once."""
        most = math.inf if self._most is None else self._most
        late: list[NewFile] = []
        try:
            await self._whole(lambda: late.append(self._fetcher.store.draft(room, most=most)))
        except asyncio.CancelledError:
            for new in late:
                await self._whole(new.discard)
            raise
        return late[0]

    async def _write_back(self, new: NewFile) -> None:
        """Have the disk write while we unpack, so that little is left to sync at the end.

        Raises `Undecided` where it cannot: a disk says so once, and the next sync may go well
        although bytes are lost.
        """
        while not self._unpacked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._fetcher.write_back):
                    await self._unpacked.wait()
                    return
            await self._whole(new.sync)

    async def _unpack(self, new: NewFile) -> tuple[Digest, Firmware]:
        """Which blob holds the firmware, and what came out of it into the file."""
        planned = self._wanted.plan
        extraction = Extraction(planned, new, self._fetcher.limits, on_window=self._stream.grow)
        digest = planned.layers[-1].digest
        for layer in planned.layers:
            if await self._read(layer, extraction):
                digest = layer.digest
                break
        firmware: Firmware = await self._whole(extraction.finish)
        return digest, firmware

    async def _read(self, layer: Descriptor, extraction: Extraction) -> bool:
        """Unpack one layer in a thread; the thread has ended when this returns or raises."""
        fetcher, stream = self._fetcher, self._stream
        work: asyncio.Future[bool] | None = None
        try:
            async with fetcher.source.open_blob(
                self._wanted.device, layer, max_bytes=fetcher.limits.max_firmware
            ) as reader:
                work = asyncio.ensure_future(
                    fetcher.in_yielding_thread(extraction.layer, layer, stream.counted(reader))
                )
                await stream.until(work)
                return work.result()
        finally:
            if work is not None:
                await ended(work)

    async def _whole(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Work in a thread to its end, also where the pull is cancelled: it cannot be stopped."""
        return await to_its_end(self._fetcher.in_thread(work, *arguments, **options))
