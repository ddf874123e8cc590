"""Whether what a tag stands for is signed, for that tag and device, by who may sign now.

What was proven before is believed while its signers are trusted; it is asked anew where the look
says so. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Misbound, Undecided, Unsigned
from otaflux.model.artifact import Artifact, Descriptor, Digest, Index, Manifest
from otaflux.model.names import Device
from otaflux.model.proof import SignatureProof
from otaflux.model.signer import Signer
from otaflux.model.version import Version
from otaflux.reconcile.resolve import Resolver
from otaflux.reconcile.signatures import Signatures
from otaflux.reconcile.subject import Subject
from otaflux.signature.binding import check_bound
from otaflux.signature.proven import holds, prove

if TYPE_CHECKING:
    from otaflux.signature.trust import Trust

MOST_CHILDREN = 4  # of an unsigned index, of which one may be signed alone
MOST_PROOFS = 1000  # of manifests that are signed and in no record, such as those for other tags

WhoMaySign = Callable[[], "Trust | None"]


def nobody() -> None:
    """For who serves unsigned releases too."""


class SignatureCheck:
    """The signature's step of a look. `trust` says who may sign now, None where nobody has to."""

    def __init__(self, resolver: Resolver, signatures: Signatures, trust: WhoMaySign) -> None:
        self._resolver = resolver
        self._signatures = signatures
        self._trust = trust
        self._proofs: BoundedMap[tuple[Device, Digest], SignatureProof] = BoundedMap(MOST_PROOFS)

    @property
    def is_needed(self) -> bool:
        """Whether releases have to be signed."""
        return self._trust() is not None

    @property
    def trusted(self) -> str:
        """A short name for who may sign now; empty where nobody has to."""
        trust = self._trust()
        return trust.id if trust else ""

    async def signed(self, subject: Subject) -> tuple[Subject, SignatureProof | None]:
        """That it is signed, for its tag and device; no proof where nobody has to sign.

        Raises `Unsigned`, `Misbound` where what was signed is for something else, and `Undecided`.
        """
        trust = self._trust()
        if trust is None:
            return subject, None
        device, digest = subject.device, subject.digest
        known = subject.record.proofs.get(digest) or self._proofs.get((device, digest))
        if known is None or subject.anew or not holds(known, trust):
            signers = await self._signers(device, digest, trust, subject.artifact)
        else:
            signers = known.signers
        if known is not None and subject.is_served and (known.is_bound or not trust.require_bound):
            return subject, prove(signers, trust, is_bound=known.is_bound)
        artifact = subject.artifact or await self._resolver.artifact(device, digest)
        subject = subject.having(artifact)
        return subject, await self._bound(device, subject.version, artifact, signers, trust)

    async def proof(
        self, device: Device, version: Version, artifact: Artifact
    ) -> SignatureProof | None:
        """That an artifact is signed, for that version of that device; else as `signed`."""
        trust = self._trust()
        if trust is None:
            return None
        signers = await self._signers(device, artifact.digest, trust, artifact)
        return await self._bound(device, version, artifact, signers, trust)

    async def _signers(
        self, device: Device, digest: Digest, trust: Trust, artifact: Artifact | None
    ) -> tuple[Signer, ...]:
        """Who signed it; where only a child of an index is signed, the reason says so."""
        try:
            return await self._signatures.signers(device, digest, trust)
        except Unsigned as error:
            child = await self._signed_child(device, trust, artifact)
            if child is None:
                raise
            raise Unsigned(
                f"only its child {child.digest} is signed, and not the index itself: {error}"
            ) from None

    async def _signed_child(
        self, device: Device, trust: Trust, artifact: Artifact | None
    ) -> Descriptor | None:
        """The child of an index that is signed alone, of those that are looked at for that.

        That the index is unsigned is known by then: what is not learnt here is not told.
        """
        for child in artifact.manifests[:MOST_CHILDREN] if isinstance(artifact, Index) else ():
            with suppress(Unsigned, Undecided):
                await self._signatures.signers(device, child.digest, trust)
                return child
        return None

    async def _bound(
        self,
        device: Device,
        version: Version,
        artifact: Artifact,
        signers: Sequence[Signer],
        trust: Trust,
    ) -> SignatureProof:
        """The proof, where what was signed is for that version of that device."""
        named = await self._named(device, artifact)
        proof = prove(signers, trust, is_bound=_is_bound(device, version, named))
        self._proofs.put((device, artifact.digest), proof)
        try:
            check_bound(device, version, named, required=trust.require_bound)
        except Unsigned as error:
            raise Misbound(str(error)) from None
        return proof

    async def again(
        self, device: Device, digest: Digest, known: SignatureProof | None
    ) -> SignatureProof | None:
        """That a manifest is signed still, asked anew; None where nobody has to sign.

        `known` is what was found before. Raises `Unsigned` and `Undecided`.
        """
        trust = self._trust()
        if trust is None:
            return None
        signers = await self._signatures.signers(device, digest, trust)
        return prove(signers, trust, is_bound=known is not None and known.is_bound)

    async def _named(self, device: Device, artifact: Artifact) -> list[Mapping[str, str]]:
        """The annotations of what was signed: the manifest's, or an index's and its child's."""
        if isinstance(artifact, Manifest):
            return [artifact.annotations]
        manifest, _ = await self._resolver.manifest(device, artifact)
        return [artifact.annotations, manifest.annotations]


def _is_bound(device: Device, version: Version, named: Sequence[Mapping[str, str]]) -> bool:
    """Whether what was signed names its version and its device, and rightly."""
    try:
        check_bound(device, version, named, required=True)
    except Unsigned:
        return False
    return True
