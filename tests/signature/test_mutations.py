"""Whoever changes a byte of what was signed has no signature any more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from signature_cases import SignedCase

from otaflux.errors import Unsigned
from otaflux.model.artifact import Digest
from otaflux.signature.found import BundleBytes, FoundSignature, SimpleSigning
from otaflux.signature.trust import Trust

# What of a bundle nobody signs and nobody believes: the rest of its type, and the hint.
UNSIGNED_PARTS = (b'"application/vnd.dev.sigstore.bundle.v0.3+json"', b'{"hint":"jXwCIM8q7NDwVs')
FLIPS = (0x01, 0x20, 0x80)  # another letter, the other case, no ASCII


def _case(name: str) -> tuple[Trust, Digest, FoundSignature]:
    case = SignedCase(name)
    subject = case.digest("1.0.0")
    assert subject is not None
    (found,) = case.found(subject)
    return case.trust, subject, found


def _mutants(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each byte changed in each way, taken away, and doubled."""
    for at in range(len(data)):
        for flip in FLIPS:
            yield at, data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        yield at, data[:at] + data[at + 1 :]
        yield at, data[: at + 1] + data[at:]


def _holds(trust: Trust, subject: Digest, found: FoundSignature) -> bool:
    try:
        trust.judge([found], subject)
    except Unsigned:
        return False
    return True


def test_no_changed_payload_holds() -> None:
    """Neither one that differs from its digest, nor one whose digest was changed along."""
    trust, subject, found = _case("v2-valid")
    assert isinstance(found, SimpleSigning)
    assert _holds(trust, subject, found)
    for at, payload in _mutants(found.payload):
        digest = Digest("sha256", hashlib.sha256(payload).hexdigest())
        assert not _holds(trust, subject, SimpleSigning(payload, found.signature, digest)), at
        other = SimpleSigning(payload, found.signature, found.payload_digest)
        assert not _holds(trust, subject, other), at


def test_no_changed_signature_holds() -> None:
    """A signature is written in one way only, so each change is another one."""
    for name in ("v2-valid", "v2-key-p384"):
        trust, subject, found = _case(name)
        assert isinstance(found, SimpleSigning)
        for at, text in _mutants(found.signature.encode()):
            signature = text.decode("latin-1")
            changed = SimpleSigning(found.payload, signature, found.payload_digest)
            assert not _holds(trust, subject, changed), at


def test_no_changed_bundle_holds_but_where_nothing_is_signed() -> None:
    """Envelope, payload, signature: every byte counts; the format's version and the hint do not."""
    trust, subject, found = _case("v3-valid")
    assert isinstance(found, BundleBytes)
    free: set[int] = set()
    for part in UNSIGNED_PARTS:
        start = found.data.index(part)
        free.update(range(start, start + len(part) + 40))
    holding = {at for at, data in _mutants(found.data) if _holds(trust, subject, BundleBytes(data))}
    spaces = {at for at, byte in enumerate(found.data) if byte == ord(" ")}
    assert holding <= free | spaces | {at - 1 for at in spaces} | {at + 1 for at in spaces}
    envelope = found.data.index(b'"dsseEnvelope"')
    assert all(found.data[at : at + 1] in b' ,}"' for at in holding if at >= envelope)
