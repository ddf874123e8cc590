"""Secrets that a request shows, held against those that count: in constant time, as bytes. Pure.

Trust: nothing of a request is believed. A proof is compared with every secret, so that one can be
rotated, and by its SHA-256, so that neither its length nor how much of it is right can be timed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence


def holds(proof: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether a proof is one of the secrets; looks at each, so that nothing can be timed."""
    digest = hashlib.sha256(proof).digest()
    same = [hmac.compare_digest(digest, hashlib.sha256(secret).digest()) for secret in secrets]
    return any(same)


def basic_password(credentials: str) -> bytes:
    """The password of Basic credentials (RFC 7617); empty where they are none."""
    try:
        decoded = base64.b64decode(as_sent(credentials), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return decoded.partition(b":")[2]


def as_sent(text: str) -> bytes:
    """The bytes that a text was: what is no UTF-8, in the environment too, became surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, which no bytes become
        return text.encode("utf-8", "surrogatepass")
