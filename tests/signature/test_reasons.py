"""What is wrong with a signature is said, and of several reasons the one that says most."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from otaflux.errors import Undecided, Unsigned
from otaflux.model.artifact import SIGNS, Digest
from otaflux.model.signer import IdentitySigner, KeySigner
from otaflux.signature.bundle import PAYLOAD_TYPE, STATEMENT_TYPE, pae
from otaflux.signature.found import MAX_BUNDLE, MAX_PAYLOAD, BundleBytes, SimpleSigning
from otaflux.signature.identity import Identities, Name, Vouched
from otaflux.signature.privatekey import PrivateKey, read_private_key
from otaflux.signature.signing import sign
from otaflux.signature.trust import Trust

SUBJECT = Digest("sha256", "ab" * 32)
OTHER = Digest("sha256", "cd" * 32)


def new_key() -> PrivateKey:
    """A key of its own."""
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return read_private_key(pem, str)


OURS, THEIRS = new_key(), new_key()
TRUST = Trust((OURS.public,))


def simple(key: PrivateKey, document: object, *, payload: bytes | None = None) -> SimpleSigning:
    """A signature in the old layout over a payload."""
    payload = json.dumps(document).encode() if payload is None else payload
    digest = Digest("sha256", hashlib.sha256(payload).hexdigest())
    return SimpleSigning(payload, base64.b64encode(key.sign(payload)).decode(), digest)


def claim(digest: Digest = SUBJECT, *, kind: str = "cosign container image signature") -> Any:
    """What cosign 2 signs."""
    image = {"docker-manifest-digest": str(digest)}
    identity = {"docker-reference": "elsewhere.example/x"}
    return {"critical": {"identity": identity, "image": image, "type": kind}, "optional": None}


def bundle(key: PrivateKey, statement: object, *, payload_type: str = PAYLOAD_TYPE) -> BundleBytes:
    """A signature in the new layout over a statement."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    signature = key.sign(pae(payload_type, payload))
    return envelope(payload, signature, payload_type)


def envelope(
    payload: bytes, signature: bytes, payload_type: str = PAYLOAD_TYPE, **other: Any
) -> Any:
    """A bundle with those bytes in it."""
    document = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "bm9ib2R5"}, "futureMember": [1]},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
        **other,
    }
    return BundleBytes(json.dumps(document).encode())


def stated(digest: Digest = SUBJECT, *, predicate: str = SIGNS, kind: str = STATEMENT_TYPE) -> Any:
    """What cosign 3 signs."""
    subject = {"digest": {"sha256": digest.hex, "sha512": "x"}, "name": "any"}
    return {"_type": kind, "subject": [subject], "predicateType": predicate, "predicate": {}}


def reason(*found: SimpleSigning | BundleBytes, trust: Trust = TRUST) -> str:
    """Why nothing of it holds."""
    with pytest.raises(Unsigned) as unsigned:
        trust.judge(found, SUBJECT)
    return str(unsigned.value)


def test_what_ours_signed_holds() -> None:
    """In each layout; a hint, a reference and members of the future are no matter."""
    signer = KeySigner(OURS.public.fingerprint)
    for found in (simple(OURS, claim()), bundle(OURS, stated()), BundleBytes(sign(SUBJECT, OURS))):
        assert TRUST.judge([found], SUBJECT) == signer
    beside = [simple(THEIRS, claim()), BundleBytes(b"{"), bundle(OURS, stated())]
    assert TRUST.judge(beside, SUBJECT) == signer
    assert signer.text == OURS.public.fingerprint


def test_one_of_several_subjects_is_enough() -> None:
    """A statement may be about more than one thing."""
    several = stated(OTHER)
    several["subject"].append(stated()["subject"][0])
    assert TRUST.judge([bundle(OURS, several)], SUBJECT)


def test_the_specifications_spelling_is_read() -> None:
    """The text of the specification writes `Docker-manifest-digest`; Go reads both."""
    document = claim()
    document["critical"]["image"] = {"Docker-manifest-digest": str(SUBJECT)}
    assert TRUST.judge([simple(OURS, document)], SUBJECT)


SLSA = "https://slsa.dev/provenance/v1"
NOT_OURS = "by a key that is not trusted here"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "it has no signature"),
        ([simple(THEIRS, claim())], NOT_OURS),
        ([bundle(THEIRS, stated())], NOT_OURS),
        ([simple(OURS, claim(OTHER))], "for another digest, 'sha256:cdcd"),
        ([bundle(OURS, stated(OTHER))], "for another digest, 'sha256:cdcd"),
        ([bundle(OURS, {**stated(), "subject": []})], "for another digest, none"),
        ([simple(OURS, claim(kind="atomic container signature"))], "another type, 'atomic"),
        ([bundle(OURS, stated(predicate=SLSA))], "signed it as an attestation only"),
        ([bundle(THEIRS, stated(predicate=SLSA))], "no signature, only an attestation"),
        ([bundle(OURS, stated(kind="https://in-toto.io/Statement/v0.1"))], "another version"),
        ([bundle(OURS, stated(kind="https://evil.example/"))], "another kind of statement"),
        ([bundle(OURS, stated(), payload_type="text/plain")], "another payload type"),
        ([BundleBytes(b"<html>")], "it is no JSON"),
        ([BundleBytes(b"[]")], "it is no JSON object"),
        ([BundleBytes(b" " * (MAX_BUNDLE + 1))], "above 131072 bytes"),
        ([simple(OURS, None, payload=b" " * (MAX_PAYLOAD + 1))], "above 65536 bytes"),
        ([simple(OURS, None, payload=b"{}")], "no object 'critical'"),
        ([simple(OURS, None, payload=b'{"a": NaN}')], "NaN is no JSON"),
        ([simple(OURS, None, payload=b"\xff")], "it is not UTF-8"),
        ([bundle(OURS, b"{}")], "no text '_type'"),
        ([bundle(OURS, {**stated(), "subject": 1})], "no list of subjects"),
        ([envelope(b"{}", b"", messageSignature={})], "over a file"),
        ([BundleBytes(b'{"mediaType": "text/plain"}')], "no bundle's"),
    ],
)
def test_each_flaw_has_its_reason(found: Any, said: str) -> None:
    """One sentence, printable, that names what to look at."""
    told = reason(*found)
    assert said in told
    assert told.isprintable()


def tampered(part: str, text: str) -> BundleBytes:
    """What our key signed, as cosign writes it, with another payload or signature in it."""
    document = json.loads(sign(SUBJECT, OURS))
    envelope = document["dsseEnvelope"]
    holder = envelope if part == "payload" else envelope["signatures"][0]
    assert holder[part] != text
    holder[part] = text
    return BundleBytes(json.dumps(document).encode())


def encoded(document: object) -> str:
    """As an envelope has its payload."""
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (tampered("payload", encoded(stated())), "names the trusted key"),
        (tampered("payload", encoded([1])), "names the trusted key"),
        (tampered("sig", encoded([1])), "names the trusted key"),
        (tampered("payload", encoded(stated(OTHER))), "for another digest"),
        (tampered("payload", encoded(stated(predicate=SLSA))), "only an attestation"),
    ],
)
def test_what_names_our_key_and_is_not_signed_by_it_was_changed(
    found: BundleBytes, said: str
) -> None:
    """The hint says which of two it is, tampering or another key, and makes nothing hold."""
    told = reason(found)
    assert said in told
    assert ("changed after signing" in told) == ("names the trusted key" in told)
    others = reason(BundleBytes(sign(SUBJECT, THEIRS)))
    assert NOT_OURS in others
    assert "changed" not in others


def test_a_payload_that_is_not_the_layers_is_none() -> None:
    """Bytes are checked against the digest that the signature's manifest gives."""
    good = simple(OURS, claim())
    assert "not the one that was pushed" in reason(
        SimpleSigning(good.payload, good.signature, OTHER)
    )
    assert "missing" in reason(SimpleSigning(good.payload, "", good.payload_digest))


@pytest.mark.parametrize("text", ["%", "AAAA\n", " AAAA", "AAA", "AB==", "A" * 20_000, "Ä"])
def test_a_signature_has_one_spelling(text: str) -> None:
    """Standard base64 as everybody writes it: no white space, no spare bits, not for ever."""
    good = simple(OURS, claim())
    assert "cannot be read" in reason(SimpleSigning(good.payload, text, good.payload_digest))


@pytest.mark.parametrize("signatures", [[], [{"sig": "AAAA"}] * 2, [1], {}, None])
def test_an_envelope_has_one_signature(signatures: Any) -> None:
    """As Sigstore's rule for bundles has it."""
    document = json.loads(envelope(b"{}", b"x").data)
    document["dsseEnvelope"]["signatures"] = signatures
    assert "cannot be read" in reason(BundleBytes(json.dumps(document).encode()))


def test_a_good_signature_beside_another_one_is_not_taken() -> None:
    """Which of two counts tools would read differently."""
    document = json.loads(bundle(OURS, stated()).data)
    document["dsseEnvelope"]["signatures"] *= 2
    assert "not exactly one signature" in reason(BundleBytes(json.dumps(document).encode()))


IMAGE = '{"critical": {"image": {"docker-manifest-digest": "%s", KEY: "%s"}}}'
DOUBLED = [
    IMAGE.replace("KEY", '"docker-manifest-digest"'),
    IMAGE.replace("KEY", '"Docker-Manifest-Digest"'),
    IMAGE.replace("KEY", r'"doc\u212aer-manifest-digest"'),  # the sign for Kelvin is a k to Go
    '{"critical": {"image": {}}, "Critical": {"image": {"a": "%s", "b": "%s"}}}',
]


@pytest.mark.parametrize("text", DOUBLED)
def test_what_tools_would_read_in_two_ways_is_refused(text: str) -> None:
    """A signer's tools saw one digest, ours would see the other."""
    payload = (text % (SUBJECT, OTHER)).encode()
    assert "comes twice" in reason(simple(OURS, None, payload=payload))


def test_depth_has_an_end() -> None:
    """A text of brackets only costs its length."""
    for depth in (40, 100_000):
        payload = b'{"a": ' * depth + b"1" + b"}" * depth
        assert "deep" in (told := reason(bundle(OURS, payload[:MAX_PAYLOAD]))) or "JSON" in told


def test_of_several_reasons_the_one_that_says_most_is_told() -> None:
    """What a trusted key signed says more than what anybody else wrote there."""
    unreadable, attestation = BundleBytes(b"{}"), bundle(THEIRS, stated(predicate=SLSA))
    elsewhere, theirs = bundle(THEIRS, stated(OTHER)), simple(THEIRS, claim())
    ours_attested, ours_elsewhere = bundle(OURS, stated(predicate=SLSA)), simple(OURS, claim(OTHER))
    ours_changed = tampered("sig", encoded([1]))
    rising = [unreadable, attestation, elsewhere, theirs, ours_changed]
    rising += [ours_attested, ours_elsewhere]
    for at, last in enumerate(rising):
        assert reason(*rising[: at + 1]) == reason(*rising[at::-1]) == reason(last)


def test_digests_of_other_algorithms_are_not_mixed_up() -> None:
    """A bundle names sha256 digests; what has another has no signature there."""
    long = Digest("sha512", "ab" * 64)
    with pytest.raises(Unsigned):
        TRUST.judge([bundle(OURS, stated())], long)
    assert TRUST.judge([simple(OURS, claim(long))], long)
    # Named as the sha256 that it is not.
    with pytest.raises(Unsigned):
        TRUST.judge([bundle(OURS, stated(long))], long)


class Told:
    """A notary that says what it is told to."""

    def __init__(self, *answers: Vouched | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    def vouch(self, bundle: bytes, identities: Identities, payload: bytes | None = None) -> Vouched:
        """The next answer."""
        assert bundle
        assert identities
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


CI = IdentitySigner("https://ci.example/lamp", "https://ci.example")
CERTIFIED = {"certificate": {"rawBytes": ""}}
IDENTITIES = Identities((Name(CI.identity),), Name(CI.issuer))


def certified(statement: Any) -> BundleBytes:
    """A bundle with a certificate; the notary in a test says whether it holds."""
    return envelope(json.dumps(statement).encode(), b"x", verificationMaterial=CERTIFIED)


def vouched(statement: Any) -> Vouched:
    """What a notary says of it."""
    return Vouched(CI, PAYLOAD_TYPE, json.dumps(statement).encode())


def test_a_certificate_is_the_notarys_to_judge_and_its_content_ours() -> None:
    """Who it is says the notary; which digest and which type it approves is looked at here."""
    trust = Trust(identities=IDENTITIES, notary=Told(vouched(stated()), vouched(stated(OTHER))))
    assert trust.judge([certified(stated())], SUBJECT) == CI
    assert CI.text == "https://ci.example/lamp (issuer https://ci.example)"
    assert "another digest" in reason(certified(stated()), trust=trust)


def test_a_notary_is_not_asked_about_what_cannot_be_a_signature() -> None:
    """Attestations, other digests, keys: nothing that a certificate would change."""
    notary = Told()
    trust = Trust((OURS.public,), IDENTITIES, notary=notary)
    assert "attestation" in reason(certified(stated(predicate=SLSA)), trust=trust)
    assert "another digest" in reason(certified(stated(OTHER)), trust=trust)
    assert NOT_OURS in reason(bundle(THEIRS, stated()), trust=trust)
    assert "no identity is trusted here" in reason(certified(stated()))
    assert not notary.asked


def test_a_notary_that_fails_decides_nothing() -> None:
    """Neither signed nor unsigned, unless a key holds; and it is not asked again meanwhile."""
    notary = Told(Undecided("it hangs"), Undecided("it hangs"))
    trust = Trust((OURS.public,), IDENTITIES, notary=notary)
    hostile = certified(stated())
    with pytest.raises(Undecided, match="it hangs"):
        trust.judge([hostile, hostile, simple(THEIRS, claim())], SUBJECT)
    assert notary.asked == 1
    assert trust.judge([hostile, bundle(OURS, stated())], SUBJECT)


def test_trust_has_a_name_for_all_of_it() -> None:
    """It differs once a key, an identity, the issuer, the root or the rule about tags does."""
    both = (OURS.public, THEIRS.public)
    trusts = [
        Trust((OURS.public,)),
        Trust(both),
        Trust((OURS.public,), require_bound=True),
        Trust((OURS.public,), IDENTITIES),
        Trust(identities=IDENTITIES),
        Trust(identities=Identities(IDENTITIES.names, Name("/https://.*/"))),
        Trust(identities=Identities((Name("other"),), IDENTITIES.issuer)),
        Trust(identities=Identities(IDENTITIES.names, IDENTITIES.issuer, b"{}")),
    ]
    assert len({trust.id for trust in trusts}) == len(trusts)
    assert Trust(both).id == Trust(both[::-1]).id
    assert [*trusts[3].describe()] == [
        f"ECDSA P-256 key {OURS.public.fingerprint}",
        "identity https://ci.example/lamp (issuer https://ci.example)",
    ]
