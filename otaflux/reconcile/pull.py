"""One tag made into a release on disk: resolve, judge, read, unpack, name. Alone knows all three.

One pass: a verified reader of the blob feeds the unpacking in a thread, which writes a file without
a name; only after the reader ended well is the file named by its content. The blob itself never
touches the disk. A tag is resolved to a digest once; everything after takes the digest.

`otaflux pull` runs this too, into a store of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from otaflux.errors import DiskFull, Incomplete, Unsigned, Unusable, Withheld
from otaflux.events import Events, Pulled, PullOutcome
from otaflux.files.durable import NewFile
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import (
    Artifact,
    Descriptor,
    Digest,
    Gone,
    Index,
    Manifest,
)
from otaflux.model.event import Priority
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Look, Unfit, Usable
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Firmware, Release
from otaflux.model.version import Version
from otaflux.reconcile.notes import notes_of, warnings_about
from otaflux.reconcile.resolve import Resolved, Resolver
from otaflux.reconcile.streams import PullStream, Streams
from otaflux.registry.source import Source
from otaflux.roster.space import Space
from otaflux.state.store import Claims, Store
from otaflux.threads import P, T, Work, ended, to_its_end
from otaflux.unpack.chip import named_chip
from otaflux.unpack.choose import Plan, child, outline, plan, suspects
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.limits import Limits

WRITE_BACK = 0.2  # seconds between the syncs of a file that is being written
LARGEST_HELD = 16 * 1024  # bytes of a child's manifest of which all is kept while others are read


class Puller:
    """Looks at tags of a source, and pulls what is not on disk yet into a store.

    `limits` bound what is unpacked; `judged_by` names them and the program's version in verdicts.
    `space` makes room for files; without one what is free is all there is.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        limits: Limits,
        *,
        judged_by: str,
        space: Space | None = None,
        events: Events | None = None,
        streams: Streams | None = None,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self.resolver = Resolver(source)
        self._source = source
        self._store = store
        self._limits = limits
        self.judged_by = judged_by
        self._in_thread = machine.in_thread
        self._clock = machine.clock
        self._events = events or Events()
        self._space = space
        self._streams = streams or Streams(machine=machine)

    async def look(
        self,
        device: Device,
        tag: Tag,
        version: Version,
        *,
        record: Record,
        priority: Priority,
        claims: Claims,
        resolved: Resolved | HeldBack | Gone | None = None,
    ) -> Look:
        """What one tag is now; what `record` holds of the same digest is not pulled again.

        `resolved` is what it stands for, where the caller asked for that already. Raises
        `Undecided` where nothing was learnt.
        """
        if resolved is None:
            resolved = await self.resolver.resolve(device, tag, record)
        if isinstance(resolved, HeldBack | Gone):
            return resolved
        digest = resolved.digest
        if resolved.flaw is not None:
            return _found_wrong(digest, resolved.flaw)
        for verdict in record.verdicts:
            if verdict.manifest_digest == digest and verdict.judged_by == self.judged_by:
                return Unfit(digest, verdict.reason)
        artifact = resolved.artifact
        try:
            held = await self._held(device, tag, version, resolved, record, claims)
            if held is not None:
                return Usable(held)
            if artifact is None:
                artifact = await self.resolver.artifact(device, digest)
            with self._telling(device, tag, digest):
                return Usable(
                    await self._pull(device, tag, version, artifact, record, priority, claims)
                )
        except Unusable as error:
            if isinstance(error, Incomplete) and artifact is not None:
                self.resolver.lacks(device, tag, artifact)
            return _found_wrong(digest, error)

    async def _held(
        self,
        device: Device,
        tag: Tag,
        version: Version,
        resolved: Resolved,
        record: Record,
        claims: Claims,
    ) -> Release | None:
        """The release of that digest, where its file lies on disk: under this tag or another."""
        digest, served = resolved.digest, frozenset(record.served())
        same = [release for release in record.held() if release.manifest_digest == digest]
        same.sort(key=lambda release: (release not in served, release.tag != tag))
        for release in same:
            if not await self._in_thread(claims.has, release.firmware):
                continue
            found = release
            if release.tag != tag:
                warnings = warnings_about(version, release.firmware, record)
                found = replace(release, device=device, tag=tag, version=version, warnings=warnings)
            if release not in served:  # it left, and what left carries no notes
                artifact = resolved.artifact or await self.resolver.artifact(device, digest)
                manifest, _ = await self._manifest(device, artifact)
                summary, page = notes_of(artifact, manifest)
                found = replace(found, summary=summary, page=page)
            return found
        return None

    async def _pull(
        self,
        device: Device,
        tag: Tag,
        version: Version,
        artifact: Artifact,
        record: Record,
        priority: Priority,
        claims: Claims,
    ) -> Release:
        manifest, around = await self._manifest(device, artifact)
        planned = plan(manifest, *around)
        stored = self._found if record.found_by_poll else self._known
        blob_digest, firmware = await stored(device, planned, priority, claims)
        if firmware.chip is None:
            firmware = replace(firmware, chip=named_chip(manifest, *around))
        return Release(
            device,
            tag,
            version,
            artifact.digest,
            blob_digest,
            firmware,
            *notes_of(artifact, manifest),
            warnings_about(version, firmware, record),
        )

    @contextmanager
    def _telling(self, device: Device, tag: Tag, digest: Digest) -> Iterator[None]:
        """Tell what comes of a pull; one that is cancelled came to nothing."""
        began, outcome = self._clock(), PullOutcome.UNDECIDED
        try:
            yield
            outcome = PullOutcome.USABLE
        except Unusable:
            outcome = PullOutcome.UNUSABLE
            raise
        finally:
            self._events.tell(Pulled(device, tag, digest, outcome, self._clock() - began))

    async def _manifest(
        self, device: Device, artifact: Artifact
    ) -> tuple[Manifest, tuple[Mapping[str, str], ...]]:
        """The manifest itself or an index's child, and the annotations further out."""
        if isinstance(artifact, Manifest):
            return artifact, ()
        descriptor, manifest = await self._child(device, artifact)
        return manifest, (descriptor.annotations, artifact.annotations)

    async def _child(self, device: Device, index: Index) -> tuple[Descriptor, Manifest]:
        """The one that is firmware; of large ones the whole is in memory one at a time."""
        children: list[tuple[Descriptor, Artifact]] = []
        for descriptor in suspects(index):
            artifact = await self.resolver.artifact(device, descriptor.digest)
            children.append(
                (descriptor, artifact if artifact.size <= LARGEST_HELD else outline(artifact))
            )
        descriptor, manifest = child(index, children)
        if manifest.size > LARGEST_HELD:
            whole = await self.resolver.artifact(device, manifest.digest)
            manifest = whole if isinstance(whole, Manifest) else manifest
        return descriptor, manifest

    async def _known(
        self, device: Device, planned: Plan, priority: Priority, claims: Claims
    ) -> tuple[Digest, Firmware]:
        """Store for a device that is known: those that only polls found give way to it."""
        if self._space is None:
            return await self._stored(device, planned, priority, claims)
        await self._space.make_room(min(layer.size for layer in planned.layers))
        try:
            return await self._stored(device, planned, priority, claims)
        except DiskFull:  # it is packed, and how much it would be nobody knew
            if not await self._space.clear(self._limits.max_firmware):
                raise
            return await self._stored(device, planned, priority, claims)

    async def _found(
        self, device: Device, planned: Plan, priority: Priority, claims: Claims
    ) -> tuple[Digest, Firmware]:
        """Store for a device that only polls found, within what is allowed to those."""
        most = math.inf if self._space is None else await self._space.allowed(device)
        return await self._stored(device, planned, priority, claims, most=most)

    async def _stored(
        self,
        device: Device,
        planned: Plan,
        priority: Priority,
        claims: Claims,
        *,
        most: float | None = None,
    ) -> tuple[Digest, Firmware]:
        size = sum(layer.size for layer in planned.layers)
        async with self._streams.place(device, size, priority) as stream:
            return await self._unpack(device, planned, stream, claims, most)

    async def _unpack(
        self, device: Device, planned: Plan, stream: PullStream, claims: Claims, most: float | None
    ) -> tuple[Digest, Firmware]:
        """Read layers in their order until one holds the firmware; name its file.

        `most` is what a device may take that only polls found; None for all others.
        """
        room = min(layer.size for layer in planned.layers)
        if room > self._limits.max_firmware:
            raise Unusable(
                f"the layer has {room} bytes, and MAX_FIRMWARE_SIZE allows"
                f" {self._limits.max_firmware}"
            )
        new = await self._draft(room, math.inf if most is None else most)
        unpacked = asyncio.Event()
        writing_back = asyncio.create_task(self._write_back(new, unpacked))
        try:
            extraction = Extraction(planned, new, self._limits, on_window=stream.grow)
            digest = planned.layers[-1].digest
            for layer in planned.layers:
                if await self._read(device, layer, stream, extraction):
                    digest = layer.digest
                    break
            firmware: Firmware = await self._whole(extraction.finish)
            unpacked.set()
            await writing_back
            if self._space is not None and most is not None:
                await self._space.fit(device, firmware.sums.size)
            await self._whole(claims.keep, new, firmware)
        finally:
            unpacked.set()
            await ended(writing_back)
            await self._whole(new.discard)
        return digest, firmware

    async def _draft(self, room: int, most: float) -> NewFile:
        """A file without a name yet; one made too late for a cancelled pull goes at once."""
        late: list[NewFile] = []
        try:
            await self._whole(lambda: late.append(self._store.draft(room, most=most)))
        except asyncio.CancelledError:
            for new in late:
                await self._whole(new.discard)
            raise
        return late[0]

    async def _write_back(self, new: NewFile, unpacked: asyncio.Event) -> None:
        """Have the disk write while we unpack, so that little is left to sync at the end.

        Raises `Undecided` where it cannot: a disk says so once, and the next sync may go well
        although bytes are lost.
        """
        while not unpacked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_BACK):
                    await unpacked.wait()
                    return
            await self._whole(new.sync)

    async def _read(
        self, device: Device, layer: Descriptor, stream: PullStream, extraction: Extraction
    ) -> bool:
        """Unpack one layer in a thread; the thread has ended when this returns or raises."""
        work: asyncio.Future[bool] | None = None
        try:
            async with self._source.open_blob(
                device, layer, max_bytes=self._limits.max_firmware
            ) as reader:
                work = asyncio.ensure_future(
                    self._in_thread(extraction.layer, layer, stream.counted(reader))
                )
                await stream.until(work)
                return work.result()
        finally:
            if work is not None:
                await ended(work)

    async def _whole(self, work: Work[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Work in a thread to its end, also where the pull is cancelled: it cannot be stopped."""
        return await to_its_end(self._in_thread(work, *arguments, **options))


def _found_wrong(digest: Digest, error: Unusable) -> Look:
    """What an error about verified content comes to."""
    match error:
        case Unsigned():
            return AwaitsSignature(digest, str(error))
        case Incomplete():
            return Lacking(digest, str(error))
        case Withheld():
            return HeldBack(str(error))
        case _:
            return Unfit(digest, str(error))
