"""`Layout`: the embedded folder as a source, behind the methods that a remote registry has too.

Coroutines of the event loop; files are read in a thread, never on the loop. Nothing is remembered
but which manifests are about which (content, so it cannot change), and readers take no lock: our
own writes go by rename. An index or a manifest that another tool is just writing in place does not
parse, is read once more a moment later, and is `Undecided` after that.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from otaflux.errors import BadName, Incomplete, Refused, Undecided, Unusable
from otaflux.files.disk import REAL_DISK, Disk
from otaflux.files.durable import make_folder
from otaflux.model.artifact import Artifact, Descriptor, Digest, Gone, Index, Listing
from otaflux.model.names import Device, Tag
from otaflux.registry.attachments import fallback_tag, likeliest
from otaflux.registry.layout import places
from otaflux.registry.layout.blob import LayoutReader
from otaflux.registry.layout.delete import delete
from otaflux.registry.layout.index import MAX_INDEX, LayoutIndex
from otaflux.registry.layout.manifests import READ_AGAIN, LayoutManifests, read_small
from otaflux.registry.layout.places import DevicePlace, Stamp
from otaflux.registry.layout.push import LayoutPush
from otaflux.registry.layout.writing import Writing
from otaflux.registry.source import LONGER, Attach, File, Unchanged
from otaflux.threads import InThread, to_its_end

LARGE_INDEX = 32 * 1024  # bytes, from which on an index is parsed in a thread, one at a time

YIELD_EVERY = 200  # entries that are looked at without letting others run

T = TypeVar("T")


class Layout:
    """The embedded folder, `DATA_DIR/registry`."""

    name = "embedded"
    is_authoritative = True

    def __init__(
        self,
        folder: Path,
        *,
        in_thread: InThread = asyncio.to_thread,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        disk: Disk = REAL_DISK,
    ) -> None:
        self._root = folder
        self._in_thread = in_thread
        self._manifests = LayoutManifests(folder, in_thread=in_thread, sleep=sleep)
        self._sleep = sleep
        self._disk = disk
        self._large = asyncio.Lock()

    async def prepare(self) -> None:
        """Make the folder where it is missing; without it every look is `Undecided`.

        For a server that starts. Where the catalog knows devices and the folder is missing, a disk
        is probably not mounted, and an empty folder would withdraw them all: then leave it.
        """
        await self._in_thread(make_folder, self._root, disk=self._disk)

    def stamps(self) -> dict[Device, Stamp]:
        """Every device, with a stamp that changes when its index does. Blocks: for a thread.

        Raises `Undecided` where the folder cannot be read.
        """
        return places.stamps(self._root)

    async def devices(self) -> frozenset[Device]:
        """Every device that has a layout here, whether or not that can be read."""
        return frozenset(await self._in_thread(self.stamps))

    async def tags(self, device: Device) -> Listing:
        """All tags of a device, read whole, or `Undecided`.

        The repository is unknown where the device has no layout in a `registry/` that is there.
        """
        async with self._index(device) as index:
            if index is None:
                return Listing((), repository_known=False)
            return Listing(await self._done(index, index.tags))

    async def resolve(
        self, device: Device, reference: Tag | Digest, *, known: Digest | None = None
    ) -> Artifact | Unchanged | Gone:
        """What a tag or digest stands for, its own digest computed over the bytes.

        `Incomplete` where the index names a manifest that is not there, and `Unusable` where it
        names one that cannot be; both carry its digest.
        """
        if isinstance(reference, Digest):
            return await self._by_digest(device, reference)
        async with self._index(device) as index:
            entry = await self._done(index, index.find, reference) if index else None
        if entry is None:
            return Gone()
        if entry.digest is None:
            raise Unusable(
                f"{device}:{reference} is {entry.digest_text}, and that is no digest that OtaFlux"
                " can check",
                digest=entry.digest_text,
            )
        if entry.digest == known:
            return Unchanged()
        artifact = await self._manifests.find(
            places.place_of(self._root, device), entry.digest, entry
        )
        if artifact is None:
            raise Incomplete(
                f"the manifest {entry.digest} of {device}:{reference} is missing from the embedded"
                " folder: push it again",
                digest=str(entry.digest),
            )
        return artifact

    @asynccontextmanager
    async def open_blob(
        self, device: Device, descriptor: Descriptor, *, max_bytes: int
    ) -> AsyncIterator[LayoutReader]:
        """A reader over one blob; leaving the context ends it, whatever its thread is doing.

        Raises `Unusable` where the descriptor's size is above `max_bytes`.
        """
        if descriptor.size > max_bytes:
            raise Unusable(
                f"the blob {descriptor.digest} has {descriptor.size} bytes, and {max_bytes} are"
                " allowed (MAX_FIRMWARE_SIZE)"
            )
        place = places.place_of(self._root, device)
        reader = LayoutReader(self._root, place, descriptor, most=LONGER * max_bytes)
        try:
            yield reader
        finally:
            reader.close()

    async def attached(self, device: Device, digest: Digest) -> tuple[Descriptor, ...]:
        """What is about `digest`: artifacts in the index, and what the fallback tag lists.

        (Distribution specification 1.1, "Referrers Tag Schema".) What is no manifest that OtaFlux
        can read is passed over; what is not what its digest says is `Undecided`.
        """
        async with self._index(device) as index:
            if index is None:
                return ()
            return await self._attached(device, index, digest)

    async def _attached(
        self, device: Device, index: LayoutIndex, digest: Digest
    ) -> tuple[Descriptor, ...]:
        place = places.place_of(self._root, device)
        found: dict[Digest, Descriptor] = {}
        for number, entry in enumerate(index.entries):
            if number % YIELD_EVERY == 0:
                await self._sleep(0.0)
            if entry.digest and entry.is_artifact and entry.digest not in found:
                descriptor = await self._manifests.attachment(place, entry, entry.digest, digest)
                if descriptor:
                    found[entry.digest] = descriptor
        fallback = await self._done(index, index.find, fallback_tag(digest))
        if fallback and fallback.digest:
            listed = await self._manifests.readable(place, fallback, fallback.digest)
            for child in listed.manifests if isinstance(listed, Index) else ():
                found.setdefault(child.digest, child)
        return likeliest(found.values())

    async def push(
        self,
        device: Device,
        tag: Tag,
        files: Sequence[File],
        *,
        annotations: Mapping[str, str],
        force: bool,
        progress: Callable[[int], None] = lambda _: None,
        attach: Attach | None = None,
    ) -> Digest:
        """Push files as one artifact, the tag last; returns the manifest's digest.

        One thread does it all, under the device's lock, which two processes respect. Cancelled, it
        ends at the next piece and leaves the tag as it was. `progress` is called in that thread.
        """

        def push(work: Writing) -> Digest:
            pushing = LayoutPush(work, progress=progress)
            return pushing.run(
                device, tag, files, annotations=annotations, force=force, attach=attach
            )

        return await self._write(device, push)

    async def ping(self) -> None:
        """Look whether the folder is there; raises `Undecided`."""
        await self._in_thread(places.check_root, self._root)

    async def beginnings(self) -> frozenset[str]:
        """Nothing: here each device lies under its own name, whatever the prefix."""
        return frozenset()

    async def delete(self, device: Device, tag: Tag) -> str:
        """Take a tag out of the index, under the device's lock; its blobs stay. Returns its digest.

        Raises `NotFound` where nothing has that tag.
        """
        return await self._write(device, lambda work: delete(work, device, tag))

    async def _write(self, device: Device, work: Callable[[Writing], T]) -> T:
        """Work on a device's layout in a thread; cancelled, it has ended when this raises."""
        ended = threading.Event()
        place = places.place_of(self._root, device)
        if await self._in_thread(places.is_linked, self._root, place):
            raise Refused(f"{place.folder} is a link, or lies behind one: links are not followed")
        writing = Writing(place, is_ended=ended.is_set, disk=self._disk)
        done: T = await to_its_end(self._in_thread(work, writing), stop=ended.set)
        return done

    @asynccontextmanager
    async def _index(self, device: Device) -> AsyncIterator[LayoutIndex | None]:
        """A device's index; None where the device has no layout at all.

        Of large ones there is one in memory at a time, as long as its context lasts.
        """
        try:
            place = places.place_of(self._root, device)
        except BadName:
            await self._in_thread(places.check_root, self._root)
            yield None
            return
        if await self._in_thread(places.is_linked, self._root, place):
            yield None
            return
        async with AsyncExitStack() as stack:
            if await self._in_thread(places.index_size, place) > LARGE_INDEX:
                await stack.enter_async_context(self._large)
            yield await self._parsed_index(device, place)

    async def _parsed_index(self, device: Device, place: DevicePlace) -> LayoutIndex | None:
        index = await self._parsed(place)
        if isinstance(index, Undecided):
            await self._sleep(READ_AGAIN)
            index = await self._parsed(place)
        if isinstance(index, Undecided):
            raise Undecided(
                f"the index of {device}, {place.index}, says nothing: {index}",
                hint="Is another tool writing it? Else correct it, or remove the device's folder"
                " and push again",
            )
        if index is None:
            await self._in_thread(places.check_absent, self._root, place)
        return index

    async def _parsed(self, place: DevicePlace) -> LayoutIndex | Undecided | None:
        """What one reading of an index gives; raises where the disk does."""
        body = await read_small(self._in_thread, place.index, MAX_INDEX, self._root)
        if body is None:
            return None
        try:
            if len(body) > LARGE_INDEX:
                index: LayoutIndex = await self._in_thread(LayoutIndex.parse, body)
                return index
            return LayoutIndex.parse(body)
        except Undecided as error:
            return error

    async def _done(self, index: LayoutIndex, work: Callable[..., T], *arguments: object) -> T:
        """What a method of an index gives, of a large one in a thread."""
        if not index.is_large:
            return work(*arguments)
        done: T = await self._in_thread(work, *arguments)
        return done

    async def _by_digest(self, device: Device, digest: Digest) -> Artifact | Gone:
        place = places.place_of(self._root, device)
        artifact = await self._manifests.find(place, digest)
        if artifact is None:
            await self._in_thread(places.check_root, self._root)
            return Gone()
        return artifact
