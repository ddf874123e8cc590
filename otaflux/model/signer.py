"""Who signed a release, as records, log lines and people have it."""

from __future__ import annotations

import msgspec


class KeySigner(msgspec.Struct, frozen=True):
    """A key; `fingerprint` is `sha256:` and the hexadecimal SHA-256 of its SPKI in DER."""

    fingerprint: str

    @property
    def text(self) -> str:
        """For people: the fingerprint."""
        return self.fingerprint


class IdentitySigner(msgspec.Struct, frozen=True):
    """An identity that a certificate names, such as a CI workflow, and who said that it is one."""

    identity: str
    issuer: str

    @property
    def text(self) -> str:
        """For people: the identity, and its issuer."""
        return f"{self.identity} (issuer {self.issuer})"


Signer = KeySigner | IdentitySigner
