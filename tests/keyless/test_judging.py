"""Bundles with certificates: real ones, and those of a Sigstore of our own, for who may sign."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from signature_cases import ASSETS
from sigstore.errors import VerificationError
from sigstore.models import Bundle
from small_sigstore import ISSUER, SmallSigstore, statement

from otaflux.errors import Undecided, Unsigned
from otaflux.keyless.judging import judge
from otaflux.keyless.logged import check_intoto_entry
from otaflux.model.artifact import Digest
from otaflux.model.signer import IdentitySigner, KeySigner
from otaflux.signature.found import BundleBytes, SimpleSigning
from otaflux.signature.identity import Identities, Name, Vouched
from otaflux.signature.privatekey import read_private_key
from otaflux.signature.trust import Trust

SUBJECT = Digest("sha256", "ab" * 32)
WHO = "https://ci.example/acme/lamp/release.yml@refs/tags/v1.4.0"
REAL = sorted((ASSETS / "keyless").iterdir())
OURS = SmallSigstore()
THEIRS = SmallSigstore()
HELD = OURS.bundle(statement(SUBJECT), identity=WHO)


class InThisProcess:
    """A notary without its process."""

    def vouch(self, bundle: bytes, identities: Identities, payload: bytes | None = None) -> Vouched:
        """As `NotaryProcess.vouch`."""
        question = {
            "bundle": base64.b64encode(bundle).decode(),
            "identities": [name.text for name in identities.names],
            "issuer": identities.issuer.text,
            "root": base64.b64encode(identities.root).decode(),
        }
        if payload is not None:
            question["payload"] = base64.b64encode(payload).decode()
        answer = judge(question)
        if "unsigned" in answer:
            raise Unsigned(answer["unsigned"])
        if "undecided" in answer:
            raise Undecided(answer["undecided"])
        signer = IdentitySigner(answer["identity"], answer["issuer"])
        return Vouched(signer, answer["type"], base64.b64decode(answer["payload"]))


def trust(*names: str, issuer: str = ISSUER, root: bytes = OURS.trusted_root) -> Trust:
    """Trust in identities."""
    identities = Identities(tuple(map(Name.parse, names)), Name.parse(issuer), root)
    return Trust(identities=identities, notary=InThisProcess())


def refusal(bundle: bytes, trusted: Trust) -> str:
    """Why a bundle does not hold."""
    with pytest.raises(Unsigned) as unsigned:
        trusted.judge([BundleBytes(bundle)], SUBJECT)
    assert str(unsigned.value).isprintable()
    return str(unsigned.value)


@pytest.mark.parametrize("case", REAL, ids=lambda case: case.name)
def test_real_bundles_hold_or_not_as_sigstore_says(case: Any) -> None:
    """Certificate, log, time stamp and envelope, by the public root, staging's, and others' own."""
    root = case / "trusted_root.json"
    everybody = Identities(
        (Name("/.*/"),), Name("/.*/"), root.read_bytes() if root.exists() else b""
    )
    data = (case / "bundle.sigstore.json").read_bytes()
    if case.name.endswith("_fail"):
        with pytest.raises(Unsigned, match="its signature by a certificate does not hold"):
            InThisProcess().vouch(data, everybody)
    else:
        vouched = InThisProcess().vouch(data, everybody)
        issuer = "https://token.actions.githubusercontent.com"
        assert vouched.signer.issuer == issuer
        who, other = Name(vouched.signer.identity), Name(vouched.signer.identity + "x")
        only = replace(everybody, names=(who,), issuer=Name(issuer))
        assert InThisProcess().vouch(data, only) == vouched
        for others in (replace(only, names=(other,)), replace(only, issuer=Name(issuer[:-1]))):
            with pytest.raises(Unsigned) as refused:
                InThisProcess().vouch(data, others)
            # Whole, for that is what has to be written into the settings to trust them.
            assert f"it was signed by '{who}'" in str(refused.value)
        assert json.loads(vouched.payload)["predicateType"] == "https://slsa.dev/provenance/v1"
    # However good the certificate is, provenance approves nothing.
    with pytest.raises(Unsigned, match="only an attestation"):
        Trust(identities=everybody, notary=InThisProcess()).judge([BundleBytes(data)], SUBJECT)


LOGGED = ASSETS / "keyless/intoto-with-custom-trust-root"


def _entry_body(bundle: dict[str, Any], change: dict[str, Any]) -> None:
    """Change what stands in the body of a bundle's log entry."""
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    body = json.loads(base64.b64decode(entry["canonicalizedBody"]))
    body["spec"]["content"].update(change)
    entry["canonicalizedBody"] = base64.b64encode(json.dumps(body).encode()).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"payloadHash": {"algorithm": "sha256", "value": "0" * 64}},
        {"payloadHash": {"algorithm": "sha512", "value": "0" * 128}},
        {"payloadHash": None},
        {"envelope": {"payloadType": "application/vnd.in-toto+json", "signatures": []}},
        {"envelope": {"payloadType": "x", "signatures": [{"sig": "AA==", "publicKey": "AA=="}]}},
        {"envelope": []},
    ],
)
def test_an_entry_of_something_else_is_none(change: dict[str, Any]) -> None:
    """What an `intoto` entry says has to be this payload, this signature and this certificate.

    The log's own proof would not hold either, so the body is looked at alone.
    """
    bundle = json.loads((LOGGED / "bundle.sigstore.json").read_bytes())
    whole = Bundle.from_json(json.dumps(bundle))
    assert check_intoto_entry(whole, json.dumps(bundle).encode())[0].endswith("in-toto+json")
    _entry_body(bundle, change)
    with pytest.raises(VerificationError, match="its log entry"):
        check_intoto_entry(whole, json.dumps(bundle).encode())


@pytest.mark.parametrize("part", ["payload", "sig", "certificate", "promise", "body"])
def test_a_logged_bundle_that_was_changed_does_not_hold(part: str) -> None:
    """Everything that the library verifies is verified before the body is looked at."""
    bundle = json.loads((LOGGED / "bundle.sigstore.json").read_bytes())
    material = bundle["verificationMaterial"]
    (entry,) = material["tlogEntries"]
    place, name = {
        "payload": (bundle["dsseEnvelope"], "payload"),
        "sig": (bundle["dsseEnvelope"]["signatures"][0], "sig"),
        "certificate": (material["x509CertificateChain"]["certificates"][0], "rawBytes"),
        "promise": (entry["inclusionPromise"], "signedEntryTimestamp"),
        "body": (entry, "canonicalizedBody"),
    }[part]
    data = bytearray(base64.b64decode(place[name]))
    data[len(data) // 2] ^= 1
    place[name] = base64.b64encode(data).decode()
    root = (LOGGED / "trusted_root.json").read_bytes()
    everybody = Identities((Name("/.*/"),), Name("/.*/"), root)
    with pytest.raises(Unsigned, match="does not hold"):
        InThisProcess().vouch(json.dumps(bundle).encode(), everybody)


@pytest.mark.parametrize(
    "names",
    [
        (WHO,),
        ("https://other.example/", WHO),
        ("/https://ci\\.example/acme/lamp/release\\.yml@refs/tags/.*/",),
        ("/nothing|https://ci.example/.*/",),
    ],
)
def test_an_identity_is_exact_or_a_pattern(names: tuple[str, ...]) -> None:
    """Any one of them is enough, with the issuer exact or a pattern as well."""
    signer = IdentitySigner(WHO, ISSUER)
    for issuer in (ISSUER, "/https://ci\\.(example|test)/"):
        assert trust(*names, issuer=issuer).judge([BundleBytes(HELD)], SUBJECT) == signer


@pytest.mark.parametrize(
    ("names", "issuer"),
    [
        ((WHO[:-1],), ISSUER),
        ((WHO + "0",), ISSUER),
        ((WHO.upper(),), ISSUER),
        (("/ci.example/",), ISSUER),
        (("/https://ci.example/",), ISSUER),
        (("/.*lamp/",), ISSUER),
        (("/https|ci/",), ISSUER),
        ((WHO,), "https://ci.exampl"),
        ((WHO,), "/ci.example/"),
        (("/.*/",), "https://accounts.example"),
    ],
)
def test_others_are_refused_by_name(names: tuple[str, ...], issuer: str) -> None:
    """A pattern has to fit the whole; the reason says who it was."""
    told = refusal(HELD, trust(*names, issuer=issuer))
    assert "is not trusted" in told
    assert "https://ci.example/acme/lamp" in told


def test_mail_addresses_are_identities() -> None:
    """People sign with theirs, which wording must not hide for a password."""
    bundle = OURS.bundle(statement(SUBJECT), identity="ann@ota.example", is_mail=True)
    assert trust("ann@ota.example").judge([BundleBytes(bundle)], SUBJECT).text == (
        "ann@ota.example (issuer https://ci.example)"
    )
    assert "'ann@ota.example'" in refusal(bundle, trust("bob@ota.example"))


def test_a_name_that_cannot_be_shown_is_nobody() -> None:
    """Whoever is trusted stands in logs and on terminals."""
    bundle = OURS.bundle(statement(SUBJECT), identity="https://ci.example/a", issuer="a\x1b[31mb")
    assert "cannot be shown: 'a\\x1b[31mb'" in refusal(bundle, trust("/.*/", issuer="/.*/"))


def test_a_certificate_of_another_root_is_none() -> None:
    """Whatever name is in it."""
    bundle = THEIRS.bundle(statement(SUBJECT), identity=WHO)
    assert "does not hold" in refusal(bundle, trust("/.*/", issuer="/.*/"))
    assert "does not hold" in refusal(HELD, trust(WHO, root=b""))


def test_a_certificate_signs_within_its_ten_minutes() -> None:
    """What the log took in later was signed by whoever found the key."""
    late = OURS.bundle(statement(SUBJECT), identity=WHO, signed_after=timedelta(minutes=11))
    assert "does not hold" in refusal(late, trust(WHO))


def test_what_was_signed_has_to_approve_this_digest() -> None:
    """Another digest, an attestation, another payload: as with keys."""
    other = OURS.bundle(statement(Digest("sha256", "cd" * 32)), identity=WHO)
    assert "for another digest" in refusal(other, trust(WHO))
    provenance = statement(SUBJECT, predicate_type="https://slsa.dev/provenance/v1")
    assert "attestation" in refusal(OURS.bundle(provenance, identity=WHO), trust(WHO))
    text = OURS.bundle(statement(SUBJECT), identity=WHO, payload_type="text/plain")
    assert "another payload type" in refusal(text, trust(WHO))


OLD = OURS.old(SUBJECT, identity=WHO)


def old_refusal(found: SimpleSigning, trusted: Trust) -> str:
    """Why a signature in the old layout does not hold."""
    with pytest.raises(Unsigned) as unsigned:
        trusted.judge([found], SUBJECT)
    assert str(unsigned.value).isprintable()
    return str(unsigned.value)


def test_certificates_in_the_old_layout_are_judged_as_those_in_bundles() -> None:
    """Who signed, with which issuer and root, within ten minutes, and this digest."""
    for name in (WHO, "/https://ci\\.example/.*/"):
        assert trust(name).judge([OLD], SUBJECT) == IdentitySigner(WHO, ISSUER)
    everybody = {"issuer": "/.*/"}
    assert "who is not trusted" in old_refusal(OLD, trust("ann@ota.example"))
    assert "which is not trusted" in old_refusal(OLD, trust(WHO, issuer="https://accounts.example"))
    for root in (THEIRS.trusted_root, b""):
        assert "does not hold" in old_refusal(OLD, trust("/.*/", root=root, **everybody))
    late = OURS.old(SUBJECT, identity=WHO, signed_after=timedelta(minutes=11))
    assert "does not hold" in old_refusal(late, trust(WHO))
    other = OURS.old(Digest("sha256", "cd" * 32), identity=WHO)
    assert "for another digest" in old_refusal(other, trust(WHO))
    nobody = Trust((read_private_key(new_pem(), str).public,))
    assert "no identity is trusted here" in old_refusal(OLD, nobody)


def new_pem() -> bytes:
    """A key of its own."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_real_signature_in_the_old_layout_holds_for_who_made_it() -> None:
    """By the public instance's own root, years after its certificate ended."""
    said = json.loads((ASSETS / "keyless-old/fulcio-rekor.json").read_bytes())
    payload, notes = base64.b64decode(said["payload"]), said["annotations"]
    found = SimpleSigning(
        payload,
        notes["dev.cosignproject.cosign/signature"],
        Digest("sha256", hashlib.sha256(payload).hexdigest()),
        notes["dev.sigstore.cosign/certificate"],
        notes["dev.sigstore.cosign/bundle"],
    )
    image = json.loads(payload)["critical"]["image"]
    signed = Digest.parse(image["docker-manifest-digest"])
    issuer = "https://github.com/login/oauth"
    signer = trust("/mitr@.*/", issuer=issuer, root=b"").judge([found], signed)
    assert isinstance(signer, IdentitySigner)
    assert signer.issuer == issuer
    with pytest.raises(Unsigned, match="who is not trusted"):
        trust("ann@ota.example", issuer=issuer, root=b"").judge([found], signed)
    with pytest.raises(Unsigned, match="does not hold"):
        trust("/.*/", issuer="/.*/", root=OURS.trusted_root).judge([found], signed)


def test_a_key_that_signed_counts_whatever_certificate_lies_beside() -> None:
    """`cosign sign --key K --certificate C` writes both, and the key's word is enough."""
    key = read_private_key(new_pem(), str)
    signature = base64.b64encode(key.sign(OLD.payload)).decode()
    for beside in (OLD.certificate, "garbage"):
        found = replace(OLD, signature=signature, certificate=beside, log_entry="")
        assert Trust((key.public,)).judge([found], SUBJECT) == KeySigner(key.public.fingerprint)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("", "no entry of a log"),
        ("garbage", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no object 'Payload'"),
        ('{"Payload": {"logID": "xy"}}', "'logID'"),
        ('{"Payload": {"logID": 5}}', "'logID'"),
        ('{"Payload": {"logID": "00", "logIndex": true}}', "no number 'logIndex'"),
        ('{"Payload": {"logID": "00", "logIndex": 1e400}}', "no number"),
        ('{"Payload": {"logID": "00", "logIndex": 1, "integratedTime": -1}}', "no number"),
        ('{"Payload": {"logID": "00", "logIndex": 1, "integratedTime": 1}}', "no base64"),
        ('{"Payload": {"logID": "00"}, "payload": {}}', "comes twice"),
    ],
)
def test_a_log_entry_that_cannot_be_read_is_said_to_be_so(entry: str, said: str) -> None:
    """Whatever stands in the annotation."""
    told = old_refusal(replace(OLD, log_entry=entry), trust(WHO))
    assert said in told


@pytest.mark.parametrize("certificate", ["x", "-----BEGIN CERTIFICATE-----", HELD.decode()])
def test_a_certificate_that_cannot_be_read_is_said_to_be_so(certificate: str) -> None:
    """It is no matter whether a log entry is there."""
    assert "no PEM" in old_refusal(replace(OLD, certificate=certificate), trust(WHO))


def test_nothing_that_was_changed_in_the_old_layout_holds() -> None:
    """Every byte of payload and signature, and those of certificate and log entry that count."""
    trusted, chance = trust(WHO), random.Random(15)

    def holds(found: SimpleSigning) -> bool:
        try:
            trusted.judge([found], SUBJECT)
        except Unsigned:
            return False
        return True

    for at in range(len(OLD.payload)):
        payload = OLD.payload[:at] + bytes([OLD.payload[at] ^ 1]) + OLD.payload[at + 1 :]
        digest = Digest("sha256", hashlib.sha256(payload).hexdigest())
        assert not holds(replace(OLD, payload=payload, payload_digest=digest)), at
    for at in range(len(OLD.signature)):
        assert not holds(replace(OLD, signature=_flipped(OLD.signature, at))), at
    for at in chance.sample(range(len(OLD.log_entry)), 150):
        assert not holds(replace(OLD, log_entry=_flipped(OLD.log_entry, at))), at
    for at in chance.sample(range(len(OLD.certificate)), 150):
        changed = replace(OLD, certificate=_flipped(OLD.certificate, at))
        assert not holds(changed) or OLD.certificate[at].isspace(), at


def _flipped(text: str, at: int) -> str:
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


def test_a_root_that_is_none_decides_nothing() -> None:
    """It is the operator's file that is wrong, and no signature."""
    for root in (b"{}", b"\xff", b'{"mediaType": "application/vnd.dev.sigstore.trustedroot+json"}'):
        with pytest.raises(Undecided, match="the trusted root cannot be used"):
            trust(WHO, root=root).judge([BundleBytes(HELD)], SUBJECT)


def test_no_changed_envelope_with_a_certificate_holds() -> None:
    """Every byte of payload, its type and the signature."""
    trusted = trust(WHO)
    for at in range(HELD.index(b'"dsseEnvelope"'), len(HELD)):
        data = HELD[:at] + bytes([HELD[at] ^ 1]) + HELD[at + 1 :]
        with pytest.raises(Unsigned):
            trusted.judge([BundleBytes(data)], SUBJECT)


def test_changed_bundles_do_not_hold() -> None:
    """Or nothing that is signed was changed, and it is the same signature of the same statement."""
    chance = random.Random(15)
    trusted = trust(WHO)
    held = []
    for _ in range(150):
        at = chance.randrange(len(HELD))
        data = HELD[:at] + bytes([HELD[at] ^ chance.choice([1, 2, 4, 32])]) + HELD[at + 1 :]
        try:
            trusted.judge([BundleBytes(data)], SUBJECT)
        except Unsigned:
            continue
        held.append(HELD[max(0, at - 200) : at + 200])
    # The log's name, and indexes that the promise names again, are nobody's signature.
    assert len(held) < 15
