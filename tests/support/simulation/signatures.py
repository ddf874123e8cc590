"""Signatures beside the manifests of a simulated registry, and who may sign.

A signature is a bundle, as cosign 3 attaches it; keys have names, as in `signed_content`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import cache

from signed_content import BUNDLE, bundle, public

from otaflux.model.artifact import OCI_EMPTY, OCI_MANIFEST, Descriptor, Digest, Manifest
from otaflux.model.signer import Signer
from otaflux.signature.found import BundleBytes, FoundSignature
from otaflux.signature.keys import parse_keys
from otaflux.signature.trust import Trust

KEYS_COUNT_WITHIN = 6.0  # seconds, of which 5 are promised


class Keys:
    """Who may sign, as a file would say it; see `otaflux.secret.Current`.

    `clock` is asked when others may sign.
    """

    def __init__(self, *names: str, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._history = [(clock(), names)]

    def current(self) -> Trust:
        """Those keys."""
        return _trust(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Who may sign now."""
        return self._history[-1][1]

    @property
    def have_changed(self) -> bool:
        """Whether others could sign before."""
        return len(self._history) > 1

    def change(self, *names: str) -> None:
        """From now on these may sign."""
        self._history.append((self._clock(), names))

    def lately(self, seconds: float) -> set[str]:
        """Who may sign, or could so many seconds ago or later."""
        since = self._clock() - seconds
        ends = [*(began for began, _ in self._history[1:]), math.inf]
        spans = zip(self._history, ends, strict=True)
        return {name for (_, names), end in spans if end >= since for name in names}


class CarelessKeys(Keys):
    """What they signed counts for whatever it lies beside: a bug that is planted."""

    def current(self) -> Trust:
        """The keys, for who does not look at what was signed."""
        return _careless(self.names)


class StuckKeys(Keys):
    """Whoever asks hears for ever what was first so: a bug that is planted."""

    def current(self) -> Trust:
        """The first keys."""
        return _trust(self._history[0][1])


@cache
def _trust(names: tuple[str, ...]) -> Trust:
    return Trust(parse_keys(public(*names).encode()))


class _Careless(Trust):
    def judge(self, found: Sequence[FoundSignature], subject: Digest) -> Signer:
        for each in found:
            assert isinstance(each, BundleBytes)
            payload = json.loads(base64.b64decode(json.loads(each.data)["dsseEnvelope"]["payload"]))
            subject = Digest("sha256", payload["subject"][0]["digest"]["sha256"])
        return super().judge(found, subject)


@cache
def _careless(names: tuple[str, ...]) -> Trust:
    return _Careless(_trust(names).keys)


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
        self._hidden: set[Digest] = set()

    def sign(self, subject: Digest, by: str) -> Digest:
        """Attach a signature; returns the digest of its manifest."""
        self.ever.setdefault(subject, set()).add(by)
        return self._attach(subject, by, _bundle(subject.hex, by))

    def sign_wrongly(self, subject: Digest, other: Digest, by: str) -> Digest:
        """Attach what signs something else."""
        return self._attach(subject, f"{by}, who meant {other}", _bundle(other.hex, by))

    def _attach(self, subject: Digest, signer: str, data: bytes) -> Digest:
        blob = _digest(data)
        name = f"a signature of {subject} by {signer}".encode()
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
        self._signers.setdefault(subject, {})[signer] = manifest
        return manifest.digest

    def take_away(self, subject: Digest) -> None:
        """Remove all signatures of a manifest."""
        for manifest in self._signers.pop(subject, {}).values():
            self._manifests.pop(manifest.digest, None)
            self.taken_away.add(subject)

    def hide(self, subject: Digest) -> None:
        """List no signature of a manifest, though they are there, until `show_all`."""
        self.taken_away.add(subject)
        self._hidden.add(subject)

    def show_all(self) -> None:
        """List all again."""
        self._hidden.clear()

    def signers(self, subject: Digest) -> frozenset[str]:
        """Who signed a manifest."""
        return frozenset(self._signers.get(subject, ()))

    def about(self, subject: Digest) -> tuple[Descriptor, ...]:
        """What is attached to a manifest."""
        if subject in self._hidden:
            return ()
        attached = self._signers.get(subject, {}).values()
        return tuple(Descriptor(OCI_MANIFEST, each.digest, each.size) for each in attached)

    def manifest(self, digest: Digest) -> Manifest | None:
        """The manifest of a signature."""
        return self._manifests.get(digest)

    def blob(self, digest: Digest) -> bytes | None:
        """The bundle of a signature."""
        return self._blobs.get(digest)


class Signing:
    """What has to hold of signatures; `keys` say who may sign, None where nobody has to."""

    def __init__(self, keys: Keys | None, attached: Attachments) -> None:
        self._keys = keys
        self._attached = attached

    def is_signed(self, digest: Digest) -> bool:
        """Whether a manifest is signed as it has to be now."""
        keys = self._keys
        return keys is None or not self._attached.signers(digest).isdisjoint(keys.names)

    def was_signed(self, digest: Digest) -> bool:
        """Whether it was signed at any time, by who may sign or could a few seconds ago."""
        if self._keys is None:
            return True
        return bool(self._attached.ever.get(digest, set()) & self._keys.lately(KEYS_COUNT_WITHIN))

    def may_lapse(self, digest: Digest) -> bool:
        """Whether a release may go because nobody who may sign did."""
        if self._keys is None:
            return False
        return self._keys.have_changed or digest in self._attached.taken_away


def _digest(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())
