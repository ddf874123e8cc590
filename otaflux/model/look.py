"""What one look at one tag found: a small closed union, for `match`.

A look that learnt nothing is no look: it raises `Undecided`.
"""

from __future__ import annotations

import msgspec

from otaflux.model.artifact import Digest, Gone
from otaflux.model.proof import SignatureProof
from otaflux.model.release import Release


class Usable(msgspec.Struct, frozen=True):
    """The release is on disk, whole; `proof` says who signed it, where somebody has to."""

    release: Release
    proof: SignatureProof | None = None


class Unfit(msgspec.Struct, frozen=True):
    """A verdict on verified bytes: final for this digest, the limits and the program's version."""

    manifest_digest: Digest
    reason: str


class AwaitsSignature(msgspec.Struct, frozen=True):
    """The bytes may be good; no signature that holds is there yet."""

    manifest_digest: Digest
    reason: str


class Unbound(msgspec.Struct, frozen=True):
    """What was signed is for another version or device than the tag's, or does not say (yet)."""

    manifest_digest: Digest
    reason: str


class Lacking(msgspec.Struct, frozen=True):
    """A blob that the manifest names is not in the registry (yet)."""

    manifest_digest: Digest
    reason: str


class HeldBack(msgspec.Struct, frozen=True):
    """A policy of the registry withholds what the tag stands for (yet), its digest too."""

    reason: str


Look = Usable | Unfit | AwaitsSignature | Unbound | Lacking | HeldBack | Gone
