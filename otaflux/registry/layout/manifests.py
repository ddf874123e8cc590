"""The manifests of a layout: verified bytes, and which of them are about which other.

Files are read and parsed beside the event loop, a few at a time. Which are about which is
remembered, for content cannot change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Undecided, Unusable
from otaflux.files.disk import read_regular
from otaflux.files.durable import explained
from otaflux.model.artifact import Artifact, Descriptor, Digest
from otaflux.registry.layout.index import IndexEntry
from otaflux.registry.layout.places import DevicePlace
from otaflux.registry.manifest import MAX_MANIFEST, too_large
from otaflux.registry.manifestreader import ManifestReader
from otaflux.threads import InThread

AT_ONCE = 2  # that are in memory while they are read, for each may have 4 MiB
READ_AGAIN = 0.05  # seconds; a tool that writes in place is done sooner
MAX_SUBJECTS = 4096  # manifests whose subject is remembered


class LayoutManifests:
    """Reads the manifests below one folder."""

    def __init__(
        self, root: Path, *, in_thread: InThread, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._root = root
        self._in_thread = in_thread
        self._sleep = sleep
        self._reader = ManifestReader(in_thread)
        self._reading = asyncio.Semaphore(AT_ONCE)
        self._subjects: BoundedMap[Digest, Digest | None] = BoundedMap(MAX_SUBJECTS)

    async def find(
        self, place: DevicePlace, digest: Digest, entry: IndexEntry | None = None
    ) -> Artifact | None:
        """A manifest; read once more where it is torn, for skopeo writes them in place too."""
        try:
            async with self._reading:
                return await self._read_manifest(place, digest, entry)
        except Undecided:
            await self._sleep(READ_AGAIN)
        async with self._reading:
            return await self._read_manifest(place, digest, entry)

    async def _read_manifest(
        self, place: DevicePlace, digest: Digest, entry: IndexEntry | None
    ) -> Artifact | None:
        """A manifest whose bytes have that digest; whatever size the index says."""
        body = await read_small(self._in_thread, place.blob(digest), MAX_MANIFEST, self._root)
        if body is None:
            return None
        if len(body) > MAX_MANIFEST:
            if entry and entry.size > MAX_MANIFEST:
                raise too_large(digest)
            raise Undecided(
                f"the manifest {place.blob(digest)} is larger than a manifest may be",
                hint="The file is broken: push it once more",
            )
        media_type = entry.media_type if entry else None
        return await self._reader.read(body, media_type=media_type, asked=digest)

    async def readable(
        self, place: DevicePlace, entry: IndexEntry, digest: Digest
    ) -> Artifact | None:
        """A manifest, or None where there is none or it is none that OtaFlux can read."""
        try:
            return await self.find(place, digest, entry)
        except Unusable:
            return None

    async def attachment(
        self, place: DevicePlace, entry: IndexEntry, digest: Digest, subject: Digest
    ) -> Descriptor | None:
        """The descriptor of a manifest as the referrers API would give it, if it is about that."""
        if digest in self._subjects and self._subjects.get(digest) != subject:
            self._subjects.put(digest, self._subjects.get(digest))
            return None
        artifact = await self.readable(place, entry, digest)
        if artifact is None:
            return None
        about = artifact.subject.digest if artifact.subject else None
        self._subjects.put(digest, about)
        if about != subject:
            return None
        return Descriptor(
            artifact.media_type,
            digest,
            artifact.size,
            artifact.annotations,
            artifact_type=artifact.artifact_type,
        )


async def read_small(in_thread: InThread, path: Path, max_bytes: int, root: Path) -> bytes | None:
    """A small file below `root`, and one byte more where it is too large; None where none is."""
    with explained(f"read {path}"):
        try:
            return await in_thread(read_regular, path, max_bytes + 1, below=root)
        except (FileNotFoundError, NotADirectoryError):
            return None
