"""A Sigstore of our own, small enough to be made anew in each run: CA, two logs, trusted root.

    sigstore = SmallSigstore()
    bundle = sigstore.bundle(statement(digest), identity="https://ci.example/a@refs/tags/v1")
    layer = sigstore.old(digest, identity="ann@ota.example")   # the layout of cosign 2
    sigstore.trusted_root   # JSON, for SIGSTORE_TRUSTED_ROOT_PATH

The CA's root signs a certificate for ten minutes, the log of certificates promises it, and the log
of signatures (as Rekor v1) has one entry: the newest of a tree of one leaf.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from otaflux.model.artifact import SIGNS, Digest
from otaflux.signature.bundle import PAYLOAD_TYPE, STATEMENT_TYPE, pae
from otaflux.signature.found import SimpleSigning

ISSUER = "https://ci.example"
_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCT_LIST_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_SHA256 = ec.ECDSA(hashes.SHA256())
SIGNED_AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def statement(subject: Digest, *, predicate_type: str = SIGNS, kind: str = STATEMENT_TYPE) -> bytes:
    """The statement that signs a digest."""
    return json.dumps(
        {
            "_type": kind,
            "subject": [{"digest": {"sha256": subject.hex}}],
            "predicateType": predicate_type,
            "predicate": {},
        }
    ).encode()


class SmallSigstore:
    """Everything that signs, and what signs it."""

    def __init__(self) -> None:
        self._ca, self._ct_log, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in "123")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "small sigstore")])
        self._root = (
            self._certificate(name, self._ca.public_key(), timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .sign(self._ca, hashes.SHA256())
        )

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
    ) -> x509.CertificateBuilder:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "small sigstore")])
        ours = self._ca.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(SIGNED_AT - timedelta(minutes=1))
            .not_valid_after(SIGNED_AT + lasts)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), critical=False)
        )

    @property
    def trusted_root(self) -> bytes:
        """What to judge with."""
        begins = {"start": "2020-01-01T00:00:00.000Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _base64(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": begins,
                },
                "logId": {"keyId": _base64(hashlib.sha256(_spki(key)).digest())},
            }

        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self._log)],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "small", "commonName": "small sigstore"},
                        "uri": "https://ca.example",
                        "certChain": {
                            "certificates": [
                                {"rawBytes": _base64(self._root.public_bytes(Encoding.DER))}
                            ]
                        },
                        "validFor": begins,
                    }
                ],
                "ctlogs": [log(self._ct_log)],
                "timestampAuthorities": [],
            }
        ).encode()

    def bundle(
        self,
        payload: bytes,
        *,
        identity: str,
        issuer: str = ISSUER,
        payload_type: str = PAYLOAD_TYPE,
        is_mail: bool = False,
        signed_after: timedelta = timedelta(minutes=1),
    ) -> bytes:
        """A bundle over a payload, by whoever has that identity."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._leaf(key, identity, issuer, is_mail=is_mail)
        signature = _base64(key.sign(pae(payload_type, payload), _SHA256))
        entry = self._entry(leaf, payload, signature, int((SIGNED_AT + signed_after).timestamp()))
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {
                    "certificate": {"rawBytes": _base64(leaf.public_bytes(Encoding.DER))},
                    "tlogEntries": [entry],
                },
                "dsseEnvelope": {
                    "payload": _base64(payload),
                    "payloadType": payload_type,
                    "signatures": [{"sig": signature}],
                },
            }
        ).encode()

    def old(
        self, subject: Digest, *, identity: str, signed_after: timedelta = timedelta(minutes=1)
    ) -> SimpleSigning:
        """As cosign 2 signs without a key: a payload, and all else in annotations of its layer."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._leaf(key, identity, ISSUER, is_mail=False)
        critical = {
            "identity": {"docker-reference": "ota.example/lamp"},
            "image": {"docker-manifest-digest": str(subject)},
            "type": "cosign container image signature",
        }
        payload = json.dumps({"critical": critical, "optional": None}).encode()
        signature = _base64(key.sign(payload, _SHA256))
        digest = hashlib.sha256(payload).hexdigest()
        pem = leaf.public_bytes(Encoding.PEM)
        body = _canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "hashedrekord",
                "spec": {
                    "data": {"hash": {"algorithm": "sha256", "value": digest}},
                    "signature": {"content": signature, "publicKey": {"content": _base64(pem)}},
                },
            }
        )
        promised = {
            "body": _base64(body),
            "integratedTime": int((SIGNED_AT + signed_after).timestamp()),
            "logIndex": 1234567,
            "logID": hashlib.sha256(_spki(self._log)).hexdigest(),
        }
        promise = _base64(self._log.sign(_canonical(promised), _SHA256))
        entry = json.dumps({"SignedEntryTimestamp": promise, "Payload": promised})
        return SimpleSigning(payload, signature, Digest("sha256", digest), pem.decode(), entry)

    def _leaf(
        self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str, *, is_mail: bool
    ) -> x509.Certificate:
        name = x509.RFC822Name if is_mail else x509.UniformResourceIdentifier
        built = (
            self._certificate(x509.Name([]), key.public_key(), timedelta(minutes=10))
            .add_extension(x509.SubjectAlternativeName([name(identity)]), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_OID, asn1.encode_der(issuer)), critical=False
            )
        )
        # What the log promises is the certificate without its promise, so it is made twice.
        before = built.add_extension(
            x509.UnrecognizedExtension(_SCT_LIST_OID, self._promises(b"")), critical=False
        ).sign(self._ca, hashes.SHA256())
        promises = self._promises(before.tbs_precertificate_bytes)
        return built.add_extension(
            x509.UnrecognizedExtension(_SCT_LIST_OID, promises), critical=False
        ).sign(self._ca, hashes.SHA256())

    def _promises(self, certificate: bytes) -> bytes:
        """The extension with the log's promise to list a certificate (RFC 6962, section 3.3)."""
        at = int(SIGNED_AT.timestamp() * 1000)
        head = struct.pack("!BBQH", 0, 0, at, 1)
        issuer = hashlib.sha256(_spki(self._ca)).digest()
        signed = head + issuer + len(certificate).to_bytes(3) + certificate + b"\0\0"
        signature = self._ct_log.sign(signed, _SHA256)
        log_id = hashlib.sha256(_spki(self._ct_log)).digest()
        promise = b"\0" + log_id + struct.pack("!QH", at, 0) + b"\4\3"
        promise += struct.pack("!H", len(signature)) + signature
        one = struct.pack("!H", len(promise)) + promise
        return asn1.encode_der(struct.pack("!H", len(one)) + one)

    def _entry(
        self, leaf: x509.Certificate, payload: bytes, signature: str, at: int
    ) -> dict[str, Any]:
        """The log's entry for an envelope, with promise, proof and checkpoint."""
        pem = _base64(leaf.public_bytes(Encoding.PEM))
        body = _canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                    "payloadHash": {
                        "algorithm": "sha256",
                        "value": hashlib.sha256(payload).hexdigest(),
                    },
                    "signatures": [{"signature": signature, "verifier": pem}],
                },
            }
        )
        log_id = hashlib.sha256(_spki(self._log)).digest()
        promised = {
            "body": _base64(body),
            "integratedTime": at,
            "logID": log_id.hex(),
            "logIndex": 0,
        }
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"log.example - 1\n1\n{_base64(root)}\n"
        noted = _base64(log_id[:4] + self._log.sign(note.encode(), _SHA256))
        return {
            "logIndex": "0",
            "logId": {"keyId": _base64(log_id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {
                "signedEntryTimestamp": _base64(self._log.sign(_canonical(promised), _SHA256))
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _base64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\N{EM DASH} log.example {noted}\n"},
            },
            "canonicalizedBody": _base64(body),
        }


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
