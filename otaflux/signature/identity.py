"""Identities that may sign, named by certificates: what is trusted, and who judges it.

A certificate is judged with its chain, its log entries and its time stamps, by Sigstore's own
library, which is large and slow to import and lives outside of this room (`otaflux.keyless`). Here
is only what is asked of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import msgspec

from otaflux.errors import Refused
from otaflux.model.signer import IdentitySigner
from otaflux.signature.strictjson import NotStrict, read_object
from otaflux.wording import quoted

ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot"
MAX_PATTERN = 1024  # characters of an identity or a pattern as set
MAX_IDENTITY = 1024  # characters of an identity in a certificate


class Name(msgspec.Struct, frozen=True):
    """What an identity or an issuer has to be: exactly `text`, or a pattern between `/…/`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Name:
        """Read a name as set; raises `Refused` where it is none, or a pattern that is none."""
        name = cls(text)
        if not text or len(text) > MAX_PATTERN:
            raise Refused(f"a name has 1 to {MAX_PATTERN} characters")
        if name.pattern is None:
            return name
        if not name.pattern:
            raise Refused("a pattern between // that is empty")
        try:
            re.compile(name.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise Refused(f"a pattern that cannot be read: {error}") from None
        return name

    @property
    def pattern(self) -> str | None:
        """The regular expression, without its slashes; None for an exact name."""
        text = self.text
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "/" else None

    def takes(self, found: str) -> bool:
        """Whether that is it, whole. A bad pattern can take for ever: for a process of its own."""
        if len(found) > MAX_IDENTITY:
            return False
        if self.pattern is None:
            return found == self.text
        return re.fullmatch(self.pattern, found) is not None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Identities:
    """Identities that may sign, each with that issuer.

    `root` is Sigstore's trusted root (JSON), empty for that of the public instance as the sigstore
    package has it.
    """

    names: tuple[Name, ...]
    issuer: Name
    root: bytes = b""


def check_root(content: bytes) -> None:
    """Raise `Refused` where that is plainly no trusted root; who judges with it reads it all."""
    try:
        read = read_object(content)
    except NotStrict as error:
        raise Refused(str(error)) from None
    kind = read.get("mediaType")
    if not (isinstance(kind, str) and kind.startswith(ROOT_TYPE)):
        raise Refused(f"its mediaType is {quoted(kind)}, and begins with {ROOT_TYPE}")


class Vouched(msgspec.Struct, frozen=True):
    """Who signed a bundle by a trusted certificate, and what exactly was signed."""

    signer: IdentitySigner
    payload_type: str
    payload: bytes


class Notary(Protocol):
    """Judges bundles with certificates."""

    def vouch(self, bundle: bytes, identities: Identities, payload: bytes | None = None) -> Vouched:
        """Whoever of `identities` signed that bundle, with certificate, log and time verified.

        `payload` is what was signed where that is not in the bundle: the old layout's. Blocks.
        Raises `Unsigned` where nobody of them did, `Undecided` where it cannot be told.
        """
        ...
