"""cosign 2's layout: a signature over a small JSON payload that names the digest.

cosign `specs/SIGNATURE_SPEC.md`. The digest is of what was signed, an index's where an index was;
`critical.identity.docker-reference` is not compared, for mirrors rename. The specification's text
writes `Docker-manifest-digest` and cosign `docker-manifest-digest`: keys are read without regard to
case here, as cosign reads them, and a text that has both is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from otaflux.model.artifact import Digest
from otaflux.model.signer import KeySigner
from otaflux.signature.flaw import Flaw, Flawed
from otaflux.signature.found import MAX_PAYLOAD, MAX_SIGNATURE, SimpleSigning
from otaflux.signature.keys import PublicKey, from_base64
from otaflux.signature.strictjson import NotStrict, Object, read_object
from otaflux.wording import quoted

TYPE = "cosign container image signature"


def judge(found: SimpleSigning, subject: Digest, keys: Sequence[PublicKey]) -> KeySigner | None:
    """The key that signed `subject`; raises `Flawed`.

    None where no key did and there is a certificate, and all else is as it has to be.
    """
    if len(found.payload) > MAX_PAYLOAD:
        raise Flawed(Flaw.UNREADABLE, f"its signature's payload is above {MAX_PAYLOAD} bytes")
    digest = found.payload_digest
    summed = hashlib.new(digest.algorithm, found.payload, usedforsecurity=False).hexdigest()
    if summed != digest.hex:
        raise Flawed(Flaw.UNREADABLE, "its signature's payload is not the one that was pushed")
    key = _signer(found, keys)
    try:
        named, kind = _read(found.payload)
    except NotStrict as error:
        raise Flawed(Flaw.UNREADABLE, f"its signature's payload cannot be read: {error}") from None
    if kind != TYPE:
        flaw = Flaw.OTHER_TYPE if key else Flaw.UNREADABLE
        raise Flawed(flaw, f"its signature is of another type, {quoted(kind)}")
    if named != str(subject):
        flaw = Flaw.OTHER_DIGEST if key else Flaw.OTHER_DIGEST_CLAIMED
        raise Flawed(flaw, f"its signature is for another digest, {quoted(named)}")
    if key is None and not found.certificate:
        raise Flawed(Flaw.NOT_OURS, NOT_OURS)
    return KeySigner(key.fingerprint) if key else None


NOT_OURS = "its signature is by a key that is not trusted here, or was changed after signing"


def _signer(found: SimpleSigning, keys: Sequence[PublicKey]) -> PublicKey | None:
    """The key whose signature over the payload holds; raises `Flawed` where there is no text."""
    if not found.signature:
        raise Flawed(Flaw.UNREADABLE, "its signature is missing from the layer that should have it")
    try:
        signature = from_base64(found.signature, most=MAX_SIGNATURE)
    except ValueError as error:
        raise Flawed(Flaw.UNREADABLE, f"its signature cannot be read: {error}") from None
    return next((key for key in keys if key.holds(signature, found.payload)), None)


def _read(payload: bytes) -> tuple[str, str]:
    """Which digest the payload names, and what it says that it is."""
    critical = _object(read_object(payload), "critical")
    image = _object(critical, "image")
    return _text(image, "docker-manifest-digest"), _text(critical, "type")


def _value(parent: Object, name: str) -> object:
    """The member of that name in whatever case; there is one at most, see `strictjson`."""
    return next((value for key, value in parent.items() if key.casefold() == name), None)


def _object(parent: Object, name: str) -> Object:
    value = _value(parent, name)
    if not isinstance(value, dict):
        raise NotStrict(f"it has no object '{name}'")
    return value


def _text(parent: Object, name: str) -> str:
    value = _value(parent, name)
    if not isinstance(value, str):
        raise NotStrict(f"it has no text '{name}'")
    return value
