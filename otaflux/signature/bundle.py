"""cosign 3's layout: a Sigstore bundle with a DSSE envelope around an in-toto statement.

`sigstore_bundle.proto` as protobuf's JSON (unknown members are left alone), the DSSE protocol, and
`in-toto/attestation` `spec/v1/statement.md`. The hint in it, cosign's name for the key, decides
nothing, for it is nobody's word: of a signature that does not hold it helps to say why.
A signature is a statement of the type that cosign signs with; every other predicate is an
attestation, which says something about a release and does not approve it, whoever signed it.
(`cosign verify` takes those too.)
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import msgspec

from otaflux.model.artifact import SIGNS, Digest
from otaflux.model.signer import KeySigner
from otaflux.signature.flaw import Flaw, Flawed
from otaflux.signature.found import MAX_BUNDLE, MAX_SIGNATURE, is_bundle_type
from otaflux.signature.keys import PublicKey, from_base64
from otaflux.signature.simplesigning import NOT_OURS
from otaflux.signature.strictjson import NotStrict, Object, read_object
from otaflux.wording import quoted

OTHER_KEY = "its signature is by a key that is not trusted here"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
STATEMENT_FAMILY = "https://in-toto.io/Statement/"
MAX_SUBJECTS = 256  # of one statement; cosign names one


class Bundle(msgspec.Struct, frozen=True):
    """A bundle as it was read: the envelope, and whether a certificate says who signed."""

    payload_type: str
    payload: bytes
    signature: bytes
    has_certificate: bool
    hint: str = ""

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding (`protocol.md`, "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle; raises `Flawed` where it is none that can be a signature."""
    if len(data) > MAX_BUNDLE:
        reason = f"what is attached to it is above {MAX_BUNDLE} bytes, which no signature is"
        raise Flawed(Flaw.UNREADABLE, reason)
    try:
        return _bundle(read_object(data))
    except NotStrict as error:
        raise Flawed(Flaw.UNREADABLE, f"its signature's bundle cannot be read: {error}") from None


def judge(bundle: Bundle, subject: Digest, keys: Sequence[PublicKey]) -> KeySigner:
    """The key that signed `subject`; raises `Flawed`."""
    message = bundle.signed
    key = next((key for key in keys if key.holds(bundle.signature, message)), None)
    if key is None:
        hinted = next((key for key in keys if bundle.hint == _hint(key)), None)
        raise _not_ours(bundle, subject, hinted)
    check_content(bundle.payload_type, bundle.payload, subject, holds=True)
    return KeySigner(key.fingerprint)


def _hint(key: PublicKey) -> str:
    """What cosign writes as the hint of that key."""
    return base64.b64encode(hashlib.sha256(key.spki).digest()).decode()


def _not_ours(bundle: Bundle, subject: Digest, hinted: PublicKey | None) -> Flawed:
    """Why a bundle does not hold that no trusted key signed, though it may say that one did."""
    try:
        check_content(bundle.payload_type, bundle.payload, subject, holds=False)
    except Flawed as flawed:
        if hinted is None or flawed.flaw is not Flaw.UNREADABLE:
            return flawed
    if hinted is None:
        return Flawed(Flaw.NOT_OURS, OTHER_KEY if bundle.hint else NOT_OURS)
    reason = (
        f"its signature was changed after signing: it names the trusted key {hinted.fingerprint}"
    )
    return Flawed(Flaw.CHANGED, f"{reason}, which did not sign this")


def check_content(payload_type: str, payload: bytes, subject: Digest, *, holds: bool) -> None:
    """Raise `Flawed` unless an envelope's content approves `subject`.

    `holds` says whether somebody trusted signed it, which makes the reason a fact.
    """
    if payload_type != PAYLOAD_TYPE:
        flaw = Flaw.OTHER_TYPE if holds else Flaw.UNREADABLE
        raise Flawed(flaw, f"its signature is over another payload type, {quoted(payload_type)}")
    try:
        statement = read_object(payload)
        kind, predicate = _text(statement, "_type"), _text(statement, "predicateType")
        digests = _subjects(statement)
    except NotStrict as error:
        raise Flawed(
            Flaw.UNREADABLE, f"its signature's statement cannot be read: {error}"
        ) from None
    if predicate != SIGNS or kind != STATEMENT_TYPE:
        reason = _other_type(kind, predicate, holds=holds)
        raise Flawed(Flaw.OTHER_TYPE if holds else Flaw.ATTESTATION, reason)
    if subject.hex not in digests or subject.algorithm != "sha256":
        flaw = Flaw.OTHER_DIGEST if holds else Flaw.OTHER_DIGEST_CLAIMED
        shown = quoted(f"sha256:{digests[0]}") if digests else "none"
        raise Flawed(flaw, f"its signature is for another digest, {shown}")


def _other_type(kind: str, predicate: str, *, holds: bool) -> str:
    if not kind.startswith(STATEMENT_FAMILY):
        return f"its signature is over another kind of statement, {quoted(kind)}"
    if predicate == SIGNS:
        return f"its signature is over a statement of another version, {quoted(kind)}"
    if holds:
        return f"a trusted key signed it as an attestation only ({quoted(predicate)})"
    return f"it has no signature, only an attestation ({quoted(predicate)})"


def _bundle(read: Object) -> Bundle:
    if not is_bundle_type(_text(read, "mediaType")):
        raise NotStrict("its mediaType is no bundle's")
    if "messageSignature" in read:
        raise NotStrict("it is over a file (`cosign sign-blob`) and not over an image")
    envelope = _object(read, "dsseEnvelope")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise NotStrict("its envelope has not exactly one signature")
    text = signatures[0].get("sig") if isinstance(signatures[0], dict) else None
    try:
        payload = from_base64(envelope.get("payload"), most=MAX_BUNDLE)
        signature = from_base64(text, most=MAX_SIGNATURE)
    except ValueError as error:
        raise NotStrict(f"payload or signature: {error}") from None
    material = _object(read, "verificationMaterial")
    public_key = material.get("publicKey")
    hint = public_key.get("hint") if isinstance(public_key, dict) else None
    payload_type = _text(envelope, "payloadType")
    if not payload_type.isascii():
        raise NotStrict("its payload type is no media type")
    return Bundle(
        payload_type,
        payload,
        signature,
        has_certificate="certificate" in material or "x509CertificateChain" in material,
        hint=hint if isinstance(hint, str) else "",
    )


def _subjects(statement: Object) -> list[str]:
    """The sha256 digests that a statement is about, in hexadecimal."""
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or len(subjects) > MAX_SUBJECTS:
        raise NotStrict("it has no list of subjects, or too many")
    found = []
    for subject in subjects:
        digest = subject.get("digest") if isinstance(subject, dict) else None
        text = digest.get("sha256") if isinstance(digest, dict) else None
        if isinstance(text, str):
            found.append(text)
    return found


def _object(parent: Object, name: str) -> Object:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise NotStrict(f"it has no object '{name}'")
    return value


def _text(parent: Object, name: str) -> str:
    value = parent.get(name)
    if not isinstance(value, str):
        raise NotStrict(f"it has no text '{name}'")
    return value
