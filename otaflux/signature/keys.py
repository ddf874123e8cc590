"""Public keys: PEM into keys that can verify, and what each kind of key signs with.

What cosign makes is what counts: ECDSA on P-256 with SHA-256; on P-384 and P-521 with the hash of
the curve, in both layouts, and with SHA-256 where somebody's tool does it so; RSA as PKCS #1 v1.5
with SHA-256. Ed25519 is refused: cosign signs with Ed25519ph, which neither `cryptography` nor
`cosign verify` takes.

`cryptography` is imported where a key is read, for that takes a moment.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otaflux.errors import Refused
from otaflux.wording import quoted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

MAX_KEYS = 32  # in one file; each signature that is found is tried with each
MIN_RSA = 2048  # bits

# The second form is a file that somebody is still writing, cut off within a block's first line.
_BEGIN = re.compile(r"-----BEGIN ([^\n-]*)-----|-----BEGIN[^\n]*|-----B(?:E(?:GI?)?)?\Z")
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s([A-Za-z0-9+/=\s]*)-----END \1-----")
_PUBLIC = frozenset({"PUBLIC KEY", "RSA PUBLIC KEY"})
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may sign. `spki` is it in DER, `kind` what it is, such as "ECDSA P-256"."""

    spki: bytes
    kind: str
    _key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(compare=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the SPKI."""
        return f"sha256:{hashlib.sha256(self.spki).hexdigest()}"

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message is by this key. Takes some 0.1 ms."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        if isinstance(self._key, ec.EllipticCurvePublicKey):
            digests: tuple[hashes.HashAlgorithm, ...]
            match self._key.curve.name:
                case "secp384r1":
                    digests = (hashes.SHA384(), hashes.SHA256())
                case "secp521r1":
                    digests = (hashes.SHA512(), hashes.SHA256())
                case _:
                    digests = (hashes.SHA256(),)
            return any(_verifies(self._key, signature, message, each) for each in digests)
        try:
            self._key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def _verifies(
    key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, digest: hashes.HashAlgorithm
) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key.verify(signature, message, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def parse_keys(pem: bytes) -> tuple[PublicKey, ...]:
    """The keys of a PEM file, each once, in their order; text between the blocks is left alone.

    Raises `Refused` with everything that is wrong and the lines where it begins.
    """
    try:
        text = pem.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("it is no text: PEM begins with -----BEGIN PUBLIC KEY-----") from None
    text = text.replace("\r\n", "\n")
    keys: dict[bytes, PublicKey] = {}
    wrong: list[str] = []
    blocks = {block.start(): block for block in _BLOCK.finditer(text)}
    for begin in _BEGIN.finditer(text):
        line = text.count("\n", 0, begin.start()) + 1
        try:
            key = _key(begin[1], blocks.get(begin.start()))
        except Refused as error:
            wrong.append(f"line {line}: {error}")
        else:
            keys.setdefault(key.spki, key)
    if not wrong and not keys:
        wrong.append("there is no PEM block in it" if text.strip() else "it is empty")
    if len(keys) > MAX_KEYS:
        wrong.append(f"it has {len(keys)} keys, and {MAX_KEYS} are the most")
    if wrong:
        raise Refused("; ".join(wrong))
    return tuple(keys.values())


def _key(label: str | None, block: re.Match[str] | None) -> PublicKey:
    if label is None:
        raise Refused("a PEM block whose first line is cut off")
    if "PRIVATE KEY" in label:
        raise Refused(
            "a private key, which belongs to whoever signs and not here; its public half is what"
            " `cosign public-key --key FILE` or `openssl pkey -in FILE -pubout` prints"
        )
    if label == "CERTIFICATE":
        raise Refused(
            "a certificate, and a public key is needed: `openssl x509 -in FILE -noout -pubkey`"
        )
    if label not in _PUBLIC:
        raise Refused(f"a PEM block {quoted(label)}, which is no public key")
    if block is None:
        raise Refused("a PEM block that has no end or other characters in it than base64")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return usable(load_pem_public_key(block[0].encode()))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Refused("a public key that cannot be read: its bytes are no such key") from None


def usable(key: PublicKeyTypes) -> PublicKey:
    """A key of the library as one of ours; raises `Refused` where such a key is not taken."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in _CURVES:
            return PublicKey(spki, f"ECDSA {_CURVES[key.curve.name]}", key)
        raise Refused(f"an ECDSA key on {key.curve.name}; P-256, P-384 and P-521 are taken")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= MIN_RSA:
            return PublicKey(spki, f"RSA {key.key_size}", key)
        raise Refused(f"an RSA key of {key.key_size} bits; {MIN_RSA} are the least")
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        name = "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448"
        raise Refused(
            f"an {name} key, whose signatures by cosign cannot be verified, not by cosign either:"
            " make an ECDSA key with `cosign generate-key-pair`"
        )
    raise Refused("a key of a kind that cannot sign for cosign; ECDSA and RSA can")


def from_base64(text: object, *, most: int) -> bytes:
    """Bytes from standard base64, written in the one way there is; raises `ValueError`.

    At most `most` characters. Other spellings of the same bytes (white space, spare bits, no
    padding) are none: who changes a signature has changed it.
    """
    if not isinstance(text, str) or not text.isascii() or len(text) > most:
        raise ValueError("it is no base64, or too long")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("it is no base64") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("it is no base64 as the standard writes it")
    return data
