"""Keys to sign with: what opens, what does not, and that none is shown."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from private_keys import EC, PASSWORD, cosigns, pem
from signature_cases import ASSETS

from otaflux.errors import Refused
from otaflux.model.artifact import Digest
from otaflux.signature.found import BundleBytes
from otaflux.signature.privatekey import MAX_KEY_FILE, read_private_key
from otaflux.signature.signing import sign
from otaflux.signature.trust import Trust

P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
RSA = rsa.generate_private_key(65537, 2048)
SUBJECT = Digest("sha256", "ab" * 32)


def never() -> str:
    """A password that nobody should ask for."""
    raise AssertionError


@pytest.mark.parametrize("key", [EC, P384, P521, RSA], ids=["P-256", "P-384", "P-521", "RSA"])
def test_what_a_key_signs_its_other_half_takes(key: Any) -> None:
    """And signing the same thing twice gives the same bytes, so that nothing is pushed twice."""
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        private = read_private_key(pem(key, form), never)
        bundle = sign(SUBJECT, private)
        assert sign(SUBJECT, private) == bundle
        signer = Trust((private.public,)).judge([BundleBytes(bundle)], SUBJECT)
        assert signer.text == private.public.fingerprint


@pytest.mark.parametrize(
    "locked",
    [
        cosigns(EC),
        cosigns(EC, "COSIGN"),
        pem(EC, password=PASSWORD.encode()),
        pem(EC, PrivateFormat.TraditionalOpenSSL, PASSWORD.encode()),
    ],
    ids=["cosign", "cosign 1", "PKCS 8", "openssl"],
)
def test_a_password_opens_a_key(locked: bytes) -> None:
    """In each form; a wrong one is told as such, and nothing of either is."""
    opened = read_private_key(b"some words before\n" + locked, lambda: PASSWORD)
    assert opened == read_private_key(pem(EC), never)
    with pytest.raises(Refused) as refused:
        read_private_key(locked, lambda: "wrong")
    assert str(refused.value) == "the password is wrong, or the file is damaged"


def test_parameters_before_a_key_are_passed_over() -> None:
    """`openssl ecparam -genkey` writes them into the same file."""
    before = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    old = pem(EC, PrivateFormat.TraditionalOpenSSL)
    assert read_private_key(before + old, never) == read_private_key(pem(EC), never)


OPENSSH = pem(EC, PrivateFormat.OpenSSH)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no private key in PEM"),
        (b"\xff" * 100, "no private key in PEM"),
        (b"x" * (MAX_KEY_FILE + 1), "more than 65536 bytes"),
        (OPENSSH, "a key of OpenSSH's"),
        ((ASSETS / "keys" / "a.pub").read_bytes(), "a public key"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "an Ed25519 key"),
        (pem(rsa.generate_private_key(65537, 1024)), "RSA key of 1024 bits"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "on secp256k1"),
        (pem(EC).replace(b"\nM", b"\nA", 1), "no private key"),
        (cosigns(EC, n=3), "would take too much: N=3"),
        (cosigns(EC, n=2**30), "would take too much"),
        (cosigns(EC, n=0), "would take too much"),
        (cosigns(EC, p=17), "would take too much"),
        (cosigns(EC, n="1024"), "are no numbers"),
        (cosigns(EC, n=2.0), "are no numbers"),
        (cosigns(EC, cipher="rot13"), "encrypted with 'rot13'"),
        (cosigns(EC).replace(b"ey", b"AA", 1), "cannot be read"),
    ],
)
def test_what_cannot_sign_says_why(content: bytes, said: str) -> None:
    """In a sentence, with nothing of the file in it."""
    with pytest.raises(Refused) as refused:
        read_private_key(content, lambda: PASSWORD)
    assert said in str(refused.value)


def test_a_key_does_not_show_itself() -> None:
    """Not in a traceback either."""
    private = read_private_key(pem(EC), never)
    assert "PrivateKey object" not in repr(private)
    assert repr(private) == f"PrivateKey(public={private.public!r})"
