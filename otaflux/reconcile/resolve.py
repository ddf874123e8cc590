"""What a tag stands for now, asked in the way that costs the source least.

What is known already is asked about, not asked for: an unchanged tag costs one small request, which
counts as a pull nowhere. Known is what the record says of the tag, newest first: a verdict on its
bytes, then the release that is served. What lacks a blob is in no record, so a few such manifests
are kept in memory, until their blobs are there. On one event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from otaflux.boundedmap import BoundedMap
from otaflux.errors import BadName, Incomplete, Undecided, Unusable, Withheld
from otaflux.model.artifact import Artifact, Descriptor, Digest, Gone, Index, Manifest
from otaflux.model.look import HeldBack
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.registry.source import Source, Unchanged
from otaflux.unpack.choose import child, outline, suspects

MOST_LACKING = 100  # manifests kept in memory
LARGEST_LACKING = 16 << 10  # bytes of one, as JSON; read it takes ten times that
LARGEST_HELD = 16 * 1024  # bytes of a child's manifest of which all is kept while others are read


@dataclass(frozen=True, slots=True)
class Resolved:
    """The digest that a tag stands for; `artifact` is None where that was known before.

    `flaw` says why its bytes, which are verified, are no manifest that OtaFlux can read.
    """

    digest: Digest
    artifact: Artifact | None = None
    flaw: Unusable | None = None


class Resolver:
    """Asks one source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lacking: BoundedMap[tuple[Device, Tag], Artifact] = BoundedMap(MOST_LACKING)

    async def resolve(self, device: Device, tag: Tag, record: Record) -> Resolved | HeldBack | Gone:
        """What the tag is now; raises `Undecided` where that was not learnt."""
        lacking = self._lacking.get((device, tag))
        known = lacking.digest if lacking else _known(record, tag)
        try:
            answer = await self._source.resolve(device, tag, known=known)
        except Withheld as error:
            return HeldBack(str(error))
        except Unusable as error:
            return _flawed(error)
        self._lacking.drop((device, tag))
        if isinstance(answer, Gone):
            return answer
        if isinstance(answer, Unchanged):
            if known is None:
                raise Undecided(f"{device}:{tag} resolved to nothing that is known")
            return Resolved(known, lacking)
        return Resolved(answer.digest, answer)

    async def artifact(self, device: Device, digest: Digest) -> Artifact:
        """A manifest by its digest; raises `Incomplete` where it is not there."""
        answer = await self._source.resolve(device, digest)
        if isinstance(answer, Gone | Unchanged):
            raise Incomplete(f"the manifest {digest} is missing from the registry: push it again")
        return answer

    async def manifest(
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
            artifact = await self.artifact(device, descriptor.digest)
            children.append(
                (descriptor, artifact if artifact.size <= LARGEST_HELD else outline(artifact))
            )
        descriptor, manifest = child(index, children)
        if manifest.size > LARGEST_HELD:
            whole = await self.artifact(device, manifest.digest)
            manifest = whole if isinstance(whole, Manifest) else manifest
        return descriptor, manifest

    def lacks(self, device: Device, tag: Tag, artifact: Artifact) -> None:
        """A blob of it is missing: the next look need not ask for the manifest again."""
        if artifact.size > LARGEST_LACKING:
            return
        self._lacking.put((device, tag), artifact)


def _known(record: Record, tag: Tag) -> Digest | None:
    """The digest that a tag resolved to when it was last looked at."""
    for verdict in record.verdicts:
        if verdict.tag == tag:
            return verdict.manifest_digest
    for release in record.served():
        if release.tag == tag:
            return release.manifest_digest
    return None


def _flawed(error: Unusable) -> Resolved:
    try:
        return Resolved(Digest.parse(error.digest), flaw=error)
    except BadName:
        raise Undecided(str(error)) from error
