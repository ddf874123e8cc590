"""cosign 2's layout with a certificate in the place of a key: as a Sigstore bundle. Pure.

The layer's annotations have the certificate, and the log's promise that it took the signature in at
a time. A bundle of version 0.1 says the same, and that is what judges of certificates read. cosign
`specs/SIGNATURE_SPEC.md`, and `pkg/cosign/bundle` for the promise.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from otaflux.model.artifact import BUNDLE_TYPE
from otaflux.signature.flaw import Flaw, Flawed
from otaflux.signature.found import MAX_SIGNATURE, SimpleSigning
from otaflux.signature.keys import from_base64
from otaflux.signature.strictjson import NotStrict, Object, read_object

BUNDLE_V01 = f"{BUNDLE_TYPE}+json;version=0.1"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
MAX_NUMBER = 2**63 - 1  # of the log's times and indexes


def as_bundle(found: SimpleSigning) -> bytes:
    """The bundle that says what the annotations say, over the payload; raises `Flawed`."""
    try:
        return json.dumps(_bundle(found)).encode()
    except (NotStrict, ValueError) as error:
        reason = f"its signature's certificate or log entry cannot be read: {error}"
        raise Flawed(Flaw.UNREADABLE, reason) from None


def _bundle(found: SimpleSigning) -> Object:
    if not found.log_entry:
        raise NotStrict("it has no entry of a log, which says when it was signed")
    signature = from_base64(found.signature, most=MAX_SIGNATURE)
    material = {
        "x509CertificateChain": {"certificates": [{"rawBytes": _der(found.certificate)}]},
        "tlogEntries": [_entry(read_object(found.log_entry.encode()))],
    }
    return {
        "mediaType": BUNDLE_V01,
        "verificationMaterial": material,
        "messageSignature": {"signature": base64.b64encode(signature).decode()},
    }


def _der(pem: str) -> str:
    """The one certificate of a PEM text, in base64."""
    text = pem.strip()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise NotStrict("the certificate is no PEM")
    body = "".join(text.removeprefix(_BEGIN).removesuffix(_END).split())
    return base64.b64encode(from_base64(body, most=MAX_SIGNATURE)).decode()


def _entry(read: Object) -> Object:
    """The log's entry, from the promise that cosign keeps of it."""
    promise, payload = read.get("SignedEntryTimestamp"), read.get("Payload")
    if not isinstance(payload, dict):
        raise NotStrict("it has no object 'Payload'")
    body, log = payload.get("body"), payload.get("logID")
    try:
        log_id = bytes.fromhex(log if isinstance(log, str) else "-")
    except (ValueError, binascii.Error):
        raise NotStrict("its 'logID' is no name of a log") from None
    return {
        "logIndex": _number(payload, "logIndex"),
        "logId": {"keyId": base64.b64encode(log_id).decode()},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
        "integratedTime": _number(payload, "integratedTime"),
        "inclusionPromise": {"signedEntryTimestamp": _base64(promise)},
        "canonicalizedBody": _base64(body),
    }


def _number(parent: Object, name: str) -> str:
    value: Any = parent.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        raise NotStrict(f"it has no number '{name}'")
    return str(value)


def _base64(text: object) -> str:
    return base64.b64encode(from_base64(text, most=MAX_SIGNATURE)).decode()
