"""Signatures beside the manifests of a simulated registry, and who may sign.

A signature is a bundle, as cosign 3 attaches it; keys have names, as in `signed_content`.
"""

from __future__ import annotations

import hashlib
from functools import cache

from signed_content import BUNDLE, bundle, public

from otaflux.model.artifact import OCI_EMPTY, OCI_MANIFEST, Descriptor, Digest, Manifest
from otaflux.signature.keys import parse_keys
from otaflux.signature.trust import Trust


class Keys:
    """Who may sign, as a file would say it; see `otaflux.secret.Current`."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def current(self) -> Trust:
        """Those keys."""
        return _trust(self.names)


@cache
def _trust(names: tuple[str, ...]) -> Trust:
    return Trust(parse_keys(public(*names).encode()))


@cache
def _bundle(subject: str, by: str) -> bytes:
    return bundle(subject, by)


class Attachments:
    """What is attached to which manifest, and by whom it is signed."""

    def __init__(self) -> None:
        self._signers: dict[Digest, dict[str, Manifest]] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._blobs: dict[Digest, bytes] = {}
        self.ever: dict[Digest, set[str]] = {}  # who ever signed a manifest
        self.taken_away: set[Digest] = set()  # manifests that lost a signature at some time

    def sign(self, subject: Digest, by: str) -> Digest:
        """Attach a signature; returns the digest of its manifest."""
        data = _bundle(subject.hex, by)
        blob = _digest(data)
        name = f"a signature of {subject} by {by}".encode()
        about = Descriptor(OCI_MANIFEST, subject, 100)
        manifest = Manifest(
            _digest(name),
            100,
            OCI_MANIFEST,
            BUNDLE,
            Descriptor(OCI_EMPTY, _digest(b"{}"), 2),
            (Descriptor(BUNDLE, blob, len(data)),),
            subject=about,
        )
        self._blobs[blob] = data
        self._manifests[manifest.digest] = manifest
        self._signers.setdefault(subject, {})[by] = manifest
        self.ever.setdefault(subject, set()).add(by)
        return manifest.digest

    def take_away(self, subject: Digest) -> None:
        """Remove all signatures of a manifest."""
        for manifest in self._signers.pop(subject, {}).values():
            self._manifests.pop(manifest.digest, None)
            self.taken_away.add(subject)

    def signers(self, subject: Digest) -> frozenset[str]:
        """Who signed a manifest."""
        return frozenset(self._signers.get(subject, ()))

    def about(self, subject: Digest) -> tuple[Descriptor, ...]:
        """What is attached to a manifest."""
        attached = self._signers.get(subject, {}).values()
        return tuple(Descriptor(OCI_MANIFEST, each.digest, each.size) for each in attached)

    def manifest(self, digest: Digest) -> Manifest | None:
        """The manifest of a signature."""
        return self._manifests.get(digest)

    def blob(self, digest: Digest) -> bytes | None:
        """The bundle of a signature."""
        return self._blobs.get(digest)


def _digest(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())
