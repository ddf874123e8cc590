"""Signatures over a file of which the log only promised that it would take them in: cosign 2's.

The promise, signed by the log, has the entry's body and time in it, and holds without a proof that
the entry is there: so verified cosign 2 itself, offline, and so does Sigstore's specification of
bundles of version 0.1. The library wants a proof beside it, so what it does of one is left out
here; certificate, time, signature and the entry's body it verifies as for any other bundle.

Members of the library's classes that are not public are used; tests with bundles pin them.
"""

from __future__ import annotations

import json

from cryptography.x509 import load_der_x509_certificate
from sigstore._internal.trust import RekorKeyring
from sigstore.models import Bundle, InvalidBundle, TransparencyLogEntry
from sigstore.verify import Verifier
from sigstore.verify.policy import VerificationPolicy

# The library's model has no entry without a proof. Nothing ever reads this one.
_NO_PROOF = {
    "logIndex": "0",
    "rootHash": "",
    "treeSize": "1",
    "hashes": [],
    "checkpoint": {"envelope": ""},
}


class _Promised(TransparencyLogEntry):
    """An entry of the log that is promised, and not proved."""

    def _validate(self) -> None:
        inner = self._inner
        if inner.inclusion_promise is None or not inner.integrated_time:
            raise InvalidBundle("it has no promise of a log with a time")

    def _verify(self, keyring: RekorKeyring) -> None:
        self._verify_set(keyring)


class _PromisedBundle(Bundle):
    """A bundle over a file, with such an entry."""

    def _verify(self) -> None:
        material = self._inner.verification_material
        chain, entries = material.x509_certificate_chain, material.tlog_entries
        if chain is None or len(chain.certificates) != 1 or len(entries) != 1:
            raise InvalidBundle("it has not one certificate and one entry of a log")
        self._signing_certificate = load_der_x509_certificate(chain.certificates[0].raw_bytes)
        self._log_entry = _Promised(entries[0])


def verify_promised(
    verifier: Verifier, raw: bytes, payload: bytes, policy: VerificationPolicy
) -> None:
    """Verify a bundle over `payload` whose entry is promised; raises where anything is wrong."""
    document = json.loads(raw)
    for entry in document["verificationMaterial"]["tlogEntries"]:
        entry["inclusionProof"] = _NO_PROOF
    verifier.verify_artifact(payload, _PromisedBundle.from_json(json.dumps(document)), policy)
