"""What was proven before, against who may sign now."""

from __future__ import annotations

from held_releases import record, release
from signature_cases import trust_in

from otaflux.model.proof import SignatureProof
from otaflux.model.record import Record
from otaflux.model.signer import IdentitySigner, KeySigner
from otaflux.signature.proven import holds, only_proven, prove, unproven
from otaflux.signature.trust import Trust

A, B, BOTH = trust_in("a"), trust_in("b"), trust_in("a", "b")


def proof(*trusts: Trust, is_bound: bool = False) -> SignatureProof:
    """A proof by the keys of these."""
    signers = [KeySigner(key.fingerprint) for trust in trusts for key in trust.keys]
    return prove(signers, BOTH, is_bound=is_bound)


def held(version: str, *trusts: Trust) -> Record:
    """A record that tells a release, which those signed."""
    told = release(version, b"bytes")
    found = record(told)
    return Record(
        found.device,
        found.source,
        channels=found.channels,
        ever_synced=True,
        proofs={told.manifest_digest: proof(*trusts)} if trusts else {},
    )


def test_a_proof_holds_while_one_of_its_signers_is_trusted() -> None:
    """A, then A and B, then B: what both signed holds throughout."""
    assert all(holds(proof(A, B), trust) for trust in (A, BOTH, B))
    assert [holds(proof(A), trust) for trust in (A, BOTH, B)] == [True, True, False]
    assert not holds(None, A)


def test_what_does_not_say_for_whom_it_is_holds_until_it_has_to() -> None:
    """REQUIRE_BOUND_TAG asks what the proof remembers."""
    required = Trust(A.keys, require_bound=True)
    assert not holds(proof(A), required)
    assert holds(proof(A, is_bound=True), required)


def test_a_certificate_proves_nothing_where_others_are_trusted() -> None:
    """Without identities, and with others or another root, it is judged anew."""
    vouched = SignatureProof((IdentitySigner("me", "issuer"),), identities="those of then")
    assert not holds(vouched, A)


def test_what_is_not_proven_is_told_to_nobody_and_waited_for() -> None:
    """Its file stays, marked; where all is proven the record is the very same."""
    before = held("1.0.0", A)
    assert only_proven(before, (A,), 5.0) is before
    assert only_proven(before, (A, B), 5.0) is before, "for a moment either is enough"
    after = only_proven(before, (B,), 5.0)
    assert unproven(before, (B,)) == [before.current()]
    assert after.current() is None
    assert not after.ever_synced
    (left,) = after.retired
    assert (left.unsigned, left.at, left.may_return) == (True, 5.0, False)
    assert only_proven(after, (B,), 9.0) is after
    assert only_proven(held("1.0.0"), (A,), 5.0).current() is None, "from before there were keys"
