"""Private keys, to sign with at `otaflux push`: plain PEM, and `cosign generate-key-pair`'s.

cosign's file is a PEM block around JSON: the PKCS #8 key in NaCl's secretbox, under a key that
scrypt makes of the password (go-securesystemslib `encrypted`). The file is the pusher's own; its
scrypt parameters are bounded all the same, for they say how much memory it takes.

No message says anything of a key or a password.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otaflux.errors import Refused
from otaflux.signature.keys import PublicKey, from_base64, usable
from otaflux.signature.strictjson import NotStrict, read_object
from otaflux.wording import quoted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

MAX_KEY_FILE = 64 * 1024  # bytes; an RSA key of 16,384 bits has 13,000
MAX_SCRYPT_MEMORY = 256 * 1024 * 1024  # bytes; cosign's parameters take 64 MiB
MAX_SCRYPT_P = 16  # times that this is done; cosign's is 1

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\s:,.-]*?)-----END \1-----")
_COSIGN = frozenset({b"ENCRYPTED SIGSTORE PRIVATE KEY", b"ENCRYPTED COSIGN PRIVATE KEY"})
_PLAIN = frozenset({b"PRIVATE KEY", b"EC PRIVATE KEY", b"RSA PRIVATE KEY"})
_WITH_PASSWORD = frozenset({b"ENCRYPTED PRIVATE KEY"})
_WRONG = "the password is wrong, or the file is damaged"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs; `public` is its other half."""

    public: PublicKey
    _key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(compare=False, repr=False)

    def sign(self, message: bytes) -> bytes:
        """The signature over a message, as cosign makes it with such a key.

        The same message gives the same signature, where the library of cryptography can do that
        (RFC 6979), so that who signs a release twice does not sign it differently.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        if not isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        digest: hashes.HashAlgorithm
        match self._key.curve.name:
            case "secp384r1":
                digest = hashes.SHA384()
            case "secp521r1":
                digest = hashes.SHA512()
            case _:
                digest = hashes.SHA256()
        try:
            return self._key.sign(message, ec.ECDSA(digest, deterministic_signing=True))
        except UnsupportedAlgorithm:
            return self._key.sign(message, ec.ECDSA(digest))


def read_private_key(pem: bytes, password: Callable[[], str]) -> PrivateKey:
    """The private key of a PEM file; `password` is asked only where it is encrypted.

    Raises `Refused` where there is none, it cannot sign for cosign, or the password is wrong.
    Takes half a second for a key of cosign's. What stands before the key, such as the parameters
    that `openssl ecparam` writes, is left alone.
    """
    if len(pem) > MAX_KEY_FILE:
        raise Refused(f"it has more than {MAX_KEY_FILE} bytes, which no key has")
    for block in _BLOCK.finditer(pem):
        label = block[1]
        if label in _COSIGN:
            return _loaded(_decrypted(block[2], password), is_der=True)
        if label in _PLAIN:
            is_locked = b"ENCRYPTED" in block[2]
            return _loaded(block[0], password=password() if is_locked else None)
        if label in _WITH_PASSWORD:
            return _loaded(block[0], password=password())
        if label == b"OPENSSH PRIVATE KEY":
            raise Refused("a key of OpenSSH's; `ssh-keygen -p -m PKCS8 -f FILE` makes it PEM")
        if b"PUBLIC KEY" in label:
            raise Refused("a public key, and signing takes the private one")
    raise Refused("there is no private key in PEM in it")


def _loaded(data: bytes, *, is_der: bool = False, password: str | None = None) -> PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import (
        load_der_private_key,
        load_pem_private_key,
    )

    secret = password.encode() if password is not None else None
    try:
        key = load_der_private_key(data, None) if is_der else load_pem_private_key(data, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = _WRONG if password is not None or is_der else "its bytes are no private key"
        raise Refused(reason) from None
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return PrivateKey(usable(key.public_key()), key)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        usable(key.public_key())  # says why not
    raise Refused("a key of a kind that cannot sign for cosign; ECDSA and RSA can")


def _decrypted(body: bytes, password: Callable[[], str]) -> bytes:
    """The key inside a block of cosign's, as DER."""
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        read = read_object(base64.b64decode(b"".join(body.split()), validate=True))
        kdf, cipher = _member(read, "kdf"), _member(read, "cipher")
        if kdf.get("name") != "scrypt" or cipher.get("name") != "nacl/secretbox":
            raise NotStrict(f"it is encrypted with {quoted(cipher.get('name'))}")
        n, r, p = _parameters(_member(kdf, "params"))
        salt = from_base64(kdf.get("salt"), most=1024)
        nonce = from_base64(cipher.get("nonce"), most=1024)
        sealed = from_base64(read.get("ciphertext"), most=MAX_KEY_FILE)
        made = hashlib.scrypt(
            password().encode(), salt=salt, n=n, r=r, p=p, dklen=32, maxmem=MAX_SCRYPT_MEMORY * 2
        )
        return SecretBox(made).decrypt(sealed, nonce)
    except CryptoError:
        raise Refused(_WRONG) from None
    except (ValueError, TypeError) as error:  # NotStrict is one
        raise Refused(f"a key of cosign's that cannot be read: {error}") from None


def _member(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise NotStrict(f"it has no '{name}'")
    return value


def _parameters(params: dict[str, Any]) -> tuple[int, int, int]:
    """Scrypt's parameters within bounds: they come from the file."""
    n, r, p = (params.get(name) for name in ("N", "r", "p"))
    if not (isinstance(n, int) and isinstance(r, int) and isinstance(p, int)):
        raise NotStrict("scrypt's parameters are no numbers")
    sane = n > 1 and n & (n - 1) == 0 and r >= 1 and 1 <= p <= MAX_SCRYPT_P
    if not sane or 128 * n * r > MAX_SCRYPT_MEMORY:
        raise NotStrict(f"scrypt's parameters would take too much: N={n}, r={r}, p={p}")
    return n, r, p
