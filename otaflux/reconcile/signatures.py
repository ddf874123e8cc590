"""What may be a signature of a manifest: fetched from its source, judged against who may sign.

Both layouts are looked at, and one signature that holds is enough: artifacts about the manifest
(cosign 3's bundles, and what cosign 2 writes with `--registry-referrers-mode=oci-1-1`), and the tag
`sha256-HEX.sig`, whose layers are signatures (cosign 2). One that could not be read for an error of
the source is neither there nor missing: where no other holds nothing is known then.

What is fetched is bounded in number and bytes, for whoever may push writes these lists. What was
found not to hold is remembered by content, and not fetched again while the lists are the same. On
one event loop; judging is done in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from otaflux.boundedmap import BoundedMap
from otaflux.errors import (
    BadName,
    Incomplete,
    Undecided,
    Unreachable,
    Unsigned,
    Unusable,
    Withheld,
)
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import (
    CERTIFICATE,
    LOG_ENTRY,
    SIGNATURE,
    Artifact,
    Descriptor,
    Digest,
    Gone,
    Manifest,
)
from otaflux.model.names import Device, Tag
from otaflux.model.signer import Signer
from otaflux.registry.source import BlobReader, Source, Unchanged
from otaflux.signature.found import (
    MAX_BUNDLE,
    MAX_PAYLOAD,
    SIMPLE_SIGNING_TYPE,
    BundleBytes,
    FoundSignature,
    SimpleSigning,
    is_bundle_type,
)
from otaflux.threads import InThread, ended

if TYPE_CHECKING:
    from otaflux.signature.trust import Trust

MOST_LAYERS = 100  # signatures under one tag `sha256-HEX.sig` that are looked at
MOST_ATTACHED = 4  # signatures in one attached artifact; cosign attaches one
MOST_BESIDE = 8  # signatures that are looked at after one holds, for those of other keys
MOST_REASONS = 1 << 20  # bytes of signatures that are kept until one reason for all is told
MOST_REFUSED = 4096  # manifests of which it is remembered what did not hold
PATIENCE = 20.0  # seconds for one payload or bundle
ALL_PATIENCE = 60.0  # seconds for all that may be a signature of one manifest


class _Layer(msgspec.Struct, frozen=True):
    """A blob that may be a signature: a bundle, or a payload that its annotations sign."""

    blob: Descriptor
    is_bundle: bool

    @property
    def most(self) -> int:
        """Bytes that it may have."""
        return MAX_BUNDLE if self.is_bundle else MAX_PAYLOAD

    def having(self, data: bytes) -> FoundSignature:
        """It with its bytes, and in the old layout with what its annotations say."""
        if self.is_bundle:
            return BundleBytes(data)
        said = self.blob.annotations
        return SimpleSigning(
            data,
            said.get(SIGNATURE, ""),
            self.blob.digest,
            said.get(CERTIFICATE, ""),
            said.get(LOG_ENTRY, ""),
        )


@dataclass(slots=True)
class _Search:
    """What one search has found so far."""

    trust: Trust
    device: Device
    digest: Digest
    signers: list[Signer] = field(default_factory=list)
    refused: list[FoundSignature] = field(default_factory=list)
    refused_bytes: int = 0
    reason: str = ""  # why something was not even read
    is_whole: bool = True  # nothing that a list names is missing
    unclear: Undecided | None = None
    beside: int = 0

    @property
    def is_all_listed(self) -> bool:
        """Whether what may be a signature was listed, of both layouts; before any was looked at."""
        return self.is_whole and self.unclear is None

    @property
    def is_over(self) -> bool:
        """Whether more would tell nothing: each who may sign did, or enough was looked at."""
        if not self.signers:
            return False
        trusted = len(self.trust.keys) + (self.trust.identities is not None)
        return len(self.signers) >= trusted or self.beside >= MOST_BESIDE


class _Refused(msgspec.Struct, frozen=True):
    """The artifacts that were there when nothing held, and why nothing did."""

    artifacts: frozenset[Digest]
    reason: str


class Signatures:
    """Looks for signatures at one source, for `patience` seconds each time at most."""

    def __init__(
        self, source: Source, *, machine: Machine = REAL_MACHINE, patience: float = ALL_PATIENCE
    ) -> None:
        self._source = source
        self._patience = patience
        self._in_thread: InThread = machine.in_thread
        self._refused: BoundedMap[tuple[str, Device, Digest], _Refused] = BoundedMap(MOST_REFUSED)

    async def signers(self, device: Device, digest: Digest, trust: Trust) -> tuple[Signer, ...]:
        """Who of those that are trusted signed a manifest, each once: one at least.

        After the first that holds only some more are looked at. Raises `Unsigned` with the reason
        that says most, `Undecided` where that was not learnt.
        """
        search = _Search(trust, device, digest)
        attached = await self._attached(search)
        old = await self._old_layout(search)
        there = frozenset(each.digest for each in attached) | {old.digest for old in old}
        before = self._refused.get((trust.id, device, digest))
        if before is not None and before.artifacts == there and search.is_all_listed:
            raise Unsigned(before.reason)
        try:
            async with asyncio.timeout(self._patience):
                for descriptor in attached:
                    await self._look_into(search, descriptor)
                for manifest in old:
                    await self._look_at(search, _old_layers(manifest))
        except TimeoutError:
            reason = f"what may be its signatures did not come in {self._patience} s"
            search.unclear = Undecided(reason)
        if search.signers:
            return tuple(search.signers)
        if search.unclear is not None:
            raise search.unclear
        reason = await self._why(search)
        if search.is_whole:
            self._refused.put((trust.id, device, digest), _Refused(there, reason))
        raise Unsigned(reason)

    async def _attached(self, search: _Search) -> tuple[Descriptor, ...]:
        """What is listed as being about the manifest; nothing where that cannot be read."""
        try:
            return await self._source.attached(search.device, search.digest)
        except Unreachable:
            raise
        except Undecided as error:
            search.unclear = error
        except Unusable as error:
            search.reason, search.is_whole = str(error), False
        return ()

    async def _old_layout(self, search: _Search) -> tuple[Manifest, ...]:
        """What the tag `sha256-HEX.sig` stands for; nothing where it is missing, or no manifest."""
        digest = search.digest
        try:
            tag = Tag.parse(f"{digest.algorithm}-{digest.hex}.sig")
        except BadName:
            return ()  # of a SHA-512 it would be longer than tags may be
        artifact = await self._resolved(search, tag, "its signatures")
        return (artifact,) if isinstance(artifact, Manifest) else ()

    async def _look_into(self, search: _Search, descriptor: Descriptor) -> None:
        """Look at an artifact that a list names, if it is about the manifest."""
        if search.is_over:
            return
        artifact = await self._resolved(search, descriptor.digest, "what is attached to it")
        await self._look_at(search, _attached_layers(artifact, search.digest))

    async def _resolved(
        self, search: _Search, reference: Tag | Digest, what: str
    ) -> Artifact | Unchanged | Gone | None:
        """What a tag or a digest stands for; None where that is no manifest, or cannot be read."""
        try:
            return await self._source.resolve(search.device, reference)
        except Unreachable:
            raise  # of every other one nothing would be learnt either
        except Undecided as error:
            search.unclear = error
        except Withheld as error:
            search.unclear = Undecided(f"{what} could not be read: {error}")
        except Unusable:
            pass  # its bytes are no manifest, so it is no signature
        return None

    async def _look_at(self, search: _Search, layers: Sequence[_Layer]) -> None:
        for layer in layers:
            if search.is_over:
                return
            search.beside += bool(search.signers)
            try:
                found = await self._read(search.device, layer)
            except Unreachable:
                raise
            except Undecided as error:
                search.unclear = error
            except Unusable as error:
                search.reason = search.reason or str(error)
                search.is_whole &= not isinstance(error, Incomplete)
            else:
                await self._judge(search, layer, found)

    async def _judge(self, search: _Search, layer: _Layer, found: FoundSignature) -> None:
        try:
            signer = await self._in_thread(search.trust.judge, (found,), search.digest)
        except Unsigned:
            if search.refused_bytes + layer.blob.size <= MOST_REASONS:
                search.refused_bytes += layer.blob.size
                search.refused.append(found)
        except Undecided as error:
            search.unclear = error
        else:
            if signer not in search.signers:
                search.signers.append(signer)

    async def _why(self, search: _Search) -> str:
        """The one reason that says most."""
        if search.refused or not search.reason:
            try:
                await self._in_thread(search.trust.judge, tuple(search.refused), search.digest)
            except Unsigned as error:
                return str(error)
        return search.reason

    async def _read(self, device: Device, layer: _Layer) -> FoundSignature:
        """A signature's bytes; `Unusable` where they are too many or missing."""
        blob = layer.blob
        if blob.size > layer.most:
            raise Unusable(f"what could be its signature has {blob.size} bytes, too many for one")
        reading: asyncio.Future[bytes] | None = None
        try:
            async with (
                asyncio.timeout(PATIENCE),
                self._source.open_blob(device, blob, max_bytes=layer.most) as reader,
            ):
                reading = asyncio.ensure_future(self._in_thread(_whole, reader, layer.most))
                data = await asyncio.shield(reading)
        except TimeoutError:
            raise Undecided(f"its signature {blob.digest} did not come in {PATIENCE} s") from None
        finally:
            if reading is not None:
                await ended(reading)
        return layer.having(data)


def _whole(reader: BlobReader, most: int) -> bytes:
    """All bytes of a blob, for a thread; `Unusable` above `most`."""
    data = bytearray()
    while piece := reader.read():
        data += piece
        if len(data) > most:
            raise Unusable(f"what could be its signature has more than {most} bytes")
    return bytes(data)


def _attached_layers(artifact: Artifact | Unchanged | Gone | None, subject: Digest) -> list[_Layer]:
    """The bundles of an artifact that is about `subject`, and signatures in the old layout."""
    if not isinstance(artifact, Manifest) or artifact.subject is None:
        return []
    if artifact.subject.digest != subject:
        return []
    found = (_Layer(each, is_bundle=is_bundle_type(each.media_type)) for each in artifact.layers)
    able = (x for x in found if x.is_bundle or x.blob.media_type == SIMPLE_SIGNING_TYPE)
    return [*islice(able, MOST_ATTACHED)]


def _old_layers(manifest: Manifest) -> list[_Layer]:
    """The layers of the old layout, the last first: tools add theirs at the end."""
    layers = manifest.layers[::-1][:MOST_LAYERS]
    return [_Layer(layer, is_bundle=False) for layer in layers]
