"""Private keys in the forms in which people have them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from nacl.secret import SecretBox

EC = ec.generate_private_key(ec.SECP256R1())
PASSWORD = "o pen"


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    """A private key as PEM."""
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, lock)


def cosigns(
    key: Any, label: str = "SIGSTORE", *, n: Any = 1024, cipher: str = "nacl/secretbox", p: int = 1
) -> bytes:
    """A key as `cosign generate-key-pair` writes it, with little work for the password."""
    salt, nonce = b"s" * 32, b"n" * 24
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    made = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    document = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": p}, "salt": b64(salt)},
        "cipher": {"name": cipher, "nonce": b64(nonce)},
        "ciphertext": b64(SecretBox(made).encrypt(der, nonce).ciphertext),
    }
    body = base64.encodebytes(json.dumps(document).encode()).decode()
    name = f"ENCRYPTED {label} PRIVATE KEY"
    return f"-----BEGIN {name}-----\n{body}-----END {name}-----\n".encode()


def b64(data: bytes) -> str:
    """Base64 as JSON has it."""
    return base64.b64encode(data).decode()
