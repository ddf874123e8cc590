"""Which keys a file may hold, and what is said of those that it may not."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from signature_cases import ASSETS

from otaflux.errors import Refused
from otaflux.signature.keys import MAX_KEYS, parse_keys

P256, P384, P521 = (
    ec.generate_private_key(c()) for c in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
)
RSA = rsa.generate_private_key(65537, 2048)


def pem(key: object) -> bytes:
    """A public key as PEM."""
    public = key.public_key() if hasattr(key, "public_key") else key
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_keys_of_a_file_come_in_their_order_each_once() -> None:
    """Comments, line ends of Windows and a mark at the beginning are no matter."""
    text = (
        b"\xef\xbb\xbf# the old one\r\n" + pem(P256) + b"\n\nthe new ones:\n" + pem(P384) + pem(RSA)
    )
    text += pem(P521) + pem(P256)
    keys = parse_keys(text.replace(b"\n", b"\r\n"))
    assert [key.kind for key in keys] == ["ECDSA P-256", "ECDSA P-384", "RSA 2048", "ECDSA P-521"]


def test_a_fingerprint_is_the_sum_of_the_spki() -> None:
    """As `openssl pkey -pubin -outform DER | sha256sum` prints it."""
    (key,) = parse_keys(pem(P256))
    der = P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.fingerprint == f"sha256:{hashlib.sha256(der).hexdigest()}"


def test_a_key_in_the_old_form_of_rsa_is_the_same_key() -> None:
    """`BEGIN RSA PUBLIC KEY` is what cosign takes as well."""
    old = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert parse_keys(old) == parse_keys(pem(RSA))


@pytest.mark.parametrize(
    ("key", "digests"),
    [
        (P256, [hashes.SHA256]),
        (P384, [hashes.SHA384, hashes.SHA256]),
        (P521, [hashes.SHA512, hashes.SHA256]),
    ],
)
def test_a_curve_signs_with_its_own_hash(
    key: ec.EllipticCurvePrivateKey, digests: list[type[hashes.HashAlgorithm]]
) -> None:
    """And with SHA-256, which other tools take for every curve; with no other."""
    (public,) = parse_keys(pem(key))
    for digest in (hashes.SHA256, hashes.SHA384, hashes.SHA512, hashes.SHA224):
        signature = key.sign(b"message", ec.ECDSA(digest()))
        assert public.holds(signature, b"message") == (digest in digests)
        assert not public.holds(signature, b"massage")
    assert not public.holds(b"", b"message")


def test_rsa_signs_as_pkcs1_with_sha256() -> None:
    """Not with PSS, which cosign does not make."""
    (public,) = parse_keys(pem(RSA))
    assert public.holds(RSA.sign(b"message", padding.PKCS1v15(), hashes.SHA256()), b"message")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    assert not public.holds(RSA.sign(b"message", pss, hashes.SHA256()), b"message")


PRIVATE = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LOCKED = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
OFF_CURVE = pem(P256).replace(pem(P256)[60:64], b"AAAA")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b"<html>login</html>", "there is no PEM block in it"),
        (b"\xff\xfe\x00", "it is no text"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "line 1: an Ed25519 key"),
        (pem(ed448.Ed448PrivateKey.generate()), "line 1: an Ed448 key"),
        (pem(rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits; 2048 are the least"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "an ECDSA key on secp256k1"),
        (pem(dsa.generate_private_key(1024)), "a key of a kind that cannot sign for cosign"),
        (PRIVATE, "line 1: a private key"),
        (LOCKED, "line 1: a private key"),
        (pem(P256).replace(b"PUBLIC", b"CERTIFIED"), "no public key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "a certificate"),
        (pem(P256)[:-30], "line 1: a PEM block that has no end"),
        (pem(P256).replace(b"\n", b"\n!", 1), "other characters in it than base64"),
        (OFF_CURVE, "line 1: a public key that cannot be read"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
    ],
)
def test_what_is_no_key_that_can_sign_is_said(content: bytes, said: str) -> None:
    """With its line, and no word of what is in it."""
    with pytest.raises(Refused) as refused:
        parse_keys(content)
    assert said in str(refused.value)


def test_a_file_cut_off_within_its_second_key_is_not_a_file_with_one_key() -> None:
    """Wherever it ends: read while it is being written, it would take the second key away."""
    first, second = pem(P256), pem(P384).rstrip()
    for end in range(len(b"-----B"), len(second)):
        with pytest.raises(Refused, match="line 5: a PEM block"):
            parse_keys(first + second[:end])


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Each with its own line, also where good keys are between."""
    ed = (ASSETS / "keys" / "ed.pub").read_bytes()
    with pytest.raises(Refused) as refused:
        parse_keys(b"# ours\n" + ed + pem(P256) + PRIVATE)
    first, second = str(refused.value).split("; line")
    assert first.startswith("line 2: an Ed25519 key")
    assert second.startswith(" 9: a private key")


def test_there_is_an_end_to_keys() -> None:
    """Each signature is tried with each of them."""
    keys = [pem(ec.generate_private_key(ec.SECP256R1())) for _ in range(MAX_KEYS + 1)]
    assert len(parse_keys(b"".join(keys[:MAX_KEYS]))) == MAX_KEYS
    with pytest.raises(Refused, match="33 keys"):
        parse_keys(b"".join(keys))
