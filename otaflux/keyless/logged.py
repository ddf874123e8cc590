"""Log entries of the kind `intoto`, which older clients made for what is in an envelope.

Sigstore's library verifies everything of such a bundle (chain, the log's own proof and promise, the
envelope's signature) but stops at two places whose kind it does not know: whether the log's time
counts, and whether the entry's body is of this envelope. Both stand here. Source: Rekor's
`pkg/types/intoto/v0.0.2`; the body's `sig` is base64 of base64, its `publicKey` that of PEM.

Two members of the library's class that are not public are used; tests with real bundles pin them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.x509 import Certificate, load_pem_x509_certificate
from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
from sigstore.errors import VerificationError
from sigstore.models import Bundle
from sigstore.verify import Verifier

# What the library raises where the body's kind is all that is left to look at: its last step.
UNKNOWN_KIND = "Unsupported DSSE log entry type: intoto/0.0.2"
_NO_TIME = "Integrated time only supported for dsse/hashedrekord 0.0.1 types"
_NOT_THIS = "its log entry is of something else than its envelope"


class LoggedVerifier(Verifier):
    """The library's verifier, which takes entries of the kind `intoto` too."""

    def _establish_time(self, bundle: Bundle) -> list[TimestampVerificationResult]:
        """The times that are proved, of which at least one has to be there.

        The library verifies that the log promised this time later, whatever the entry's kind.
        """
        try:
            return super()._establish_time(bundle)
        except VerificationError as error:
            if str(error) != _NO_TIME or not _is_intoto(bundle):
                raise
        signed = (
            self._verify_timestamp_authority(bundle)
            if bundle.verification_material.timestamp_verification_data
            else []
        )
        seconds = bundle.log_entry._inner.integrated_time or 0  # noqa: SLF001 - as below
        at = datetime.fromtimestamp(seconds, tz=UTC)
        logged = TimestampVerificationResult(source=TimestampSource.TRANSPARENCY_SERVICE, time=at)
        return [*signed, logged]


def _is_intoto(bundle: Bundle) -> bool:
    kind = bundle.log_entry._inner.kind_version  # noqa: SLF001 - there is no public way
    return (kind.kind, kind.version) == ("intoto", "0.0.2")


def check_intoto_entry(bundle: Bundle, raw: bytes) -> tuple[str, bytes]:
    """The envelope's type and payload; raises `VerificationError` where the log says otherwise.

    `raw` is the bundle's JSON, of which the library has verified all but the entry's body.
    """
    try:
        whole = json.loads(raw)
        envelope = whole["dsseEnvelope"]
        (entry,) = whole["verificationMaterial"]["tlogEntries"]
        body = json.loads(base64.b64decode(entry["canonicalizedBody"], validate=True))
        payload = base64.b64decode(envelope["payload"], validate=True)
        kind = envelope["payloadType"]
        if not _is_of(body, kind, payload, envelope["signatures"], bundle.signing_certificate):
            raise VerificationError(_NOT_THIS)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise VerificationError("its log entry cannot be read") from None
    return kind, payload


def _is_of(
    body: Any, kind: str, payload: bytes, signatures: list[Any], certificate: Certificate
) -> bool:
    content = body["spec"]["content"]
    logged, digest = content["envelope"], content["payloadHash"]
    said = [
        (base64.b64decode(base64.b64decode(each["sig"])), _certificate(each["publicKey"]))
        for each in logged["signatures"]
    ]
    return (
        (body["kind"], body["apiVersion"]) == ("intoto", "0.0.2")
        and logged["payloadType"] == kind
        and digest["algorithm"] == "sha256"
        and digest["value"] == hashlib.sha256(payload).hexdigest()
        and said == [(base64.b64decode(each["sig"]), certificate) for each in signatures]
        and len(said) > 0
    )


def _certificate(text: str) -> Certificate:
    return load_pem_x509_certificate(base64.b64decode(text))
