"""Making a signature: the bundle that cosign 3 writes for an image, by a key. Pure.

`cosign sign --key` with no services: no log entry, no time stamp, no certificate. The statement is
the one that `bundle` asks for, and cosign's own `verify --insecure-ignore-tlog` takes it.
"""

from __future__ import annotations

import base64
import hashlib
import json

from otaflux.model.artifact import BUNDLE_TYPE, PREDICATE_TYPE, SIGNS, Digest
from otaflux.signature.bundle import PAYLOAD_TYPE, STATEMENT_TYPE, pae
from otaflux.signature.privatekey import PrivateKey

BUNDLE_V03 = f"{BUNDLE_TYPE}.v0.3+json"
# What cosign writes on the bundle's manifest: for whoever lists, never believed by who verifies.
ANNOTATIONS = {
    "dev.sigstore.bundle.content": "dsse-envelope",
    PREDICATE_TYPE: SIGNS,
}


def sign(subject: Digest, key: PrivateKey) -> bytes:
    """A bundle that approves the manifest `subject`, a sha256 digest, as JSON."""
    payload = _json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"digest": {subject.algorithm: subject.hex}, "annotations": {}}],
            "predicateType": SIGNS,
            "predicate": {},
        }
    )
    hint = hashlib.sha256(key.public.spki).digest()
    return _json(
        {
            "mediaType": BUNDLE_V03,
            "verificationMaterial": {"publicKey": {"hint": _base64(hint)}},
            "dsseEnvelope": {
                "payload": _base64(payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": _base64(key.sign(pae(PAYLOAD_TYPE, payload)))}],
            },
        }
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
