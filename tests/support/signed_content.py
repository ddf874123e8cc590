"""Signatures for a fake or real registry: what cosign made, and what a key of the test signs.

    shop = Shop("acme/lamp", content)          # of a `FakeRegistry`
    digest = shop.push("1.0.0", b"firmware")
    shop.sign(digest, KEY)                     # a bundle, as cosign 3 attaches it
    shop.sign_old(digest, KEY)                 # the tag sha256-….sig, as cosign 2 writes it

The layouts are written here once more, by hand, so that nothing of the program vouches for itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fake_content import Content, Layer, Stored
from signature_cases import SignedCase

from otaflux.model.artifact import Digest
from otaflux.signature.found import SimpleSigning

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
ATTESTED = "https://slsa.dev/provenance/v1"

Key = ec.EllipticCurvePrivateKey


@cache
def key(name: str) -> Key:
    """A key of this run of the tests, always the same for a name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest())
    return ec.derive_private_key(number % 2**250 + 1, ec.SECP256R1())


def public(*names: str) -> str:
    """The public halves in PEM, one after the other."""
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    return "".join(key(name).public_key().public_bytes(*form).decode() for name in names)


def fingerprint(name: str) -> str:
    """What OtaFlux calls that key."""
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return f"sha256:{hashlib.sha256(key(name).public_key().public_bytes(*form)).hexdigest()}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def bundle(subject: str, by: str, *, predicate: str = SIGNED) -> bytes:
    """A bundle over a statement about `subject`, which is a digest's hexadecimal part."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": subject}}],
        "predicateType": predicate,
        "predicate": {},
    }
    payload = json.dumps(statement).encode()
    kind = "application/vnd.in-toto+json"
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    envelope = {
        "payload": _base64(payload),
        "payloadType": kind,
        "signatures": [{"sig": _base64(key(by).sign(message, ec.ECDSA(hashes.SHA256())))}],
    }
    material = {"publicKey": {"hint": "anything"}}
    document = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(document).encode()


def simple(subject: str, by: str) -> Layer:
    """A layer of the old layout over a payload about `subject`, a whole digest."""
    critical = {
        "identity": {"docker-reference": "elsewhere/thing"},
        "image": {"docker-manifest-digest": subject},
        "type": "cosign container image signature",
    }
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    signature = key(by).sign(payload, ec.ECDSA(hashes.SHA256()))
    annotations = {"dev.cosignproject.cosign/signature": _base64(signature)}
    return Layer(payload, media_type=SIMPLE, annotations=annotations)


class Shop:
    """One repository of a fake registry, and what its owner does there."""

    def __init__(self, repository: str, content: Content, *, referrers: bool = True) -> None:
        self.repository = repository
        self._content = content
        self._fallback = not referrers

    def push(self, tag: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Digest:
        """Push firmware, unsigned yet."""
        return self._content.put(self.repository, tag, layers=[data], annotations=annotations)

    def sign(self, subject: Digest, by: str = "a", **more: Any) -> Digest:
        """Attach a bundle; returns the digest of its manifest."""
        return self.attach(subject, bundle(subject.hex, by, **more))

    def attach(self, subject: Digest, data: bytes, artifact_type: str = BUNDLE) -> Digest:
        """Attach any bytes as a bundle."""
        artifact = self._content.put(
            self.repository,
            None,
            layers=[Layer(data, media_type=BUNDLE)],
            artifact_type=artifact_type,
            subject=subject,
        )
        self._content.attach(self.repository, subject, artifact, fallback=self._fallback)
        return artifact

    def attach_simple(self, subject: Digest, by: str = "a") -> Digest:
        """Attach the old layout's payload, as cosign 2 does with referrers of OCI 1.1."""
        artifact = self._content.put(
            self.repository,
            None,
            layers=[simple(str(subject), by)],
            config=("application/vnd.dev.cosign.artifact.sig.v1+json", b"{}"),
            subject=subject,
        )
        self._content.attach(self.repository, subject, artifact, fallback=self._fallback)
        return artifact

    def detach(self, subject: Digest, artifact: Digest) -> None:
        """Take an attached artifact away."""
        self._content.delete_manifest(self.repository, artifact)
        holder = self._content.repository(self.repository)
        holder.tags.pop(f"sha256-{subject.hex}", None)

    def attach_old(self, subject: Digest, signature: SimpleSigning) -> Digest:
        """Write the tag of the old layout with that one layer, which a certificate may sign."""
        layer = Layer(
            signature.payload,
            media_type=SIMPLE,
            annotations={
                "dev.cosignproject.cosign/signature": signature.signature,
                "dev.sigstore.cosign/certificate": signature.certificate,
                "dev.sigstore.cosign/chain": "nobody reads this",
                "dev.sigstore.cosign/bundle": signature.log_entry,
            },
        )
        config = ("application/vnd.oci.image.config.v1+json", b"{}")
        tag = f"sha256-{subject.hex}.sig"
        return self._content.put(self.repository, tag, layers=[layer], config=config)

    def sign_old(self, subject: Digest, *by: str) -> Digest:
        """Write the tag of the old layout, with one layer for each key."""
        layers = [simple(str(subject), name) for name in by or ("a",)]
        tag = f"sha256-{subject.hex}.sig"
        config = ("application/vnd.oci.image.config.v1+json", b"{}")
        return self._content.put(self.repository, tag, layers=layers, config=config)


def put_case(content: Content, case: SignedCase) -> None:
    """A repository as cosign and a registry left it."""
    told = case.told
    holder = content.repository(told["repository"])
    for digest, said in told["manifests"].items():
        holder.manifests[digest] = Stored(case.content(digest), said["mediaType"])
    for digest in told["blobs"]:
        holder.blobs[digest] = case.content(digest)
    holder.tags.update(told["tags"])
