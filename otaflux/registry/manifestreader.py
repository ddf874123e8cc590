"""Manifests read without keeping the event loop busy: large ones in a thread, one at a time.

A manifest of a few kilobytes takes some 50 µs and is read where it is. One of megabytes takes a
third of a second and some megabytes besides its bytes.
"""

from __future__ import annotations

import asyncio

from otaflux.model.artifact import Artifact, Digest
from otaflux.registry.manifest import parse_artifact
from otaflux.threads import InThread, to_its_end

LARGE_MANIFEST = 32 * 1024  # bytes, from which on it is for a thread; read here takes below 5 ms


class ManifestReader:
    """Reads manifests and indexes; of the large ones one at a time."""

    def __init__(self, in_thread: InThread = asyncio.to_thread) -> None:
        self._in_thread = in_thread
        self._one_large = asyncio.Lock()

    async def read(
        self, body: bytes, *, media_type: str | None, asked: Digest | None = None
    ) -> Artifact:
        """As `parse_artifact`, which says what is raised."""
        if len(body) < LARGE_MANIFEST:
            return parse_artifact(body, media_type=media_type, asked=asked)
        async with self._one_large:
            reading = self._in_thread(parse_artifact, body, media_type=media_type, asked=asked)
            return await to_its_end(reading)
