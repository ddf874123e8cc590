"""What was proven before, against who may sign now: without the registry, and without its bytes.

A signature that a key made goes on holding while that key is trusted, so a proof names its signers
and no bytes are kept. Of a certificate the same goes while identities, issuer and root stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from otaflux.model.proof import SignatureProof
from otaflux.model.record import Record, Retired
from otaflux.model.release import Release
from otaflux.model.signer import IdentitySigner, Signer

if TYPE_CHECKING:
    from otaflux.signature.trust import Trust


def prove(signers: Sequence[Signer], trust: Trust, *, is_bound: bool) -> SignatureProof:
    """What is kept of a judgement by `trust`."""
    by_certificate = any(isinstance(signer, IdentitySigner) for signer in signers)
    return SignatureProof(tuple(signers), _identities(trust) if by_certificate else "", is_bound)


def holds(proof: SignatureProof | None, trust: Trust) -> bool:
    """Whether it still is a proof: somebody who signed is trusted, and it is bound if need be."""
    if proof is None or (trust.require_bound and not proof.is_bound):
        return False
    keys = {key.fingerprint for key in trust.keys}
    for signer in proof.signers:
        if isinstance(signer, IdentitySigner):
            if trust.identities is not None and proof.identities == _identities(trust):
                return True
        elif signer.fingerprint in keys:
            return True
    return False


def unproven(record: Record, trusts: Sequence[Trust]) -> list[Release]:
    """The releases that are served and were not found to be signed by any of those."""
    return [release for release in record.served() if not _is_proven(record, release, trusts)]


def only_proven(record: Record, trusts: Sequence[Trust], now: float) -> Record:
    """The record as it may be told: what none of those proves is served to nobody.

    Its file stays for a while, so that it need not be pulled again where it is proven soon. Where
    one that was told is unproven, the device counts as never looked at: polls wait for the look
    that proves it. The record itself where nothing changes.
    """
    lost = unproven(record, trusts)
    left = tuple(
        each if each.unsigned or _is_proven(record, each.release, trusts) else _unsigned(each)
        for each in record.retired
    )
    if not lost and left == record.retired:
        return record
    channels = {
        channel: standing
        for channel, standing in record.channels.items()
        if standing.release not in lost
    }
    left += tuple(Retired(release, now, unsigned=True) for release in lost)
    return replace(
        record,
        channels=MappingProxyType(channels),
        kept=tuple(release for release in record.kept if release not in lost),
        retired=left,
        ever_synced=record.ever_synced and len(channels) == len(record.channels),
    )


def _is_proven(record: Record, release: Release, trusts: Sequence[Trust]) -> bool:
    proof = record.proofs.get(release.manifest_digest)
    return any(holds(proof, trust) for trust in trusts)


def _unsigned(retired: Retired) -> Retired:
    return replace(retired, unsigned=True)


def _identities(trust: Trust) -> str:
    """A short name for the identities that are trusted, their issuer and root."""
    identities = trust.identities
    if identities is None:
        return ""
    names = sorted(name.text for name in identities.names)
    root = hashlib.sha256(identities.root).hexdigest()
    whole = repr((names, identities.issuer.text, root))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]
