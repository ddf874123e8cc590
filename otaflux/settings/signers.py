"""What the settings about signatures can be: keys, identities, a trusted root. As `values`.

Files are read once here, so that what is wrong in them is said at the start, each flaw with its
line; who uses them reads them again when they change (`otaflux.app.trusted`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from otaflux.errors import Refused
from otaflux.secret import MAX_FILE
from otaflux.settings.values import Wrong, file
from otaflux.wording import plain

if TYPE_CHECKING:
    from otaflux.signature.identity import Name

MAX_SHOWN = 1000  # characters of all that is wrong in a file


def public_keys(value: str) -> Path:
    """A PEM file with public keys that may sign."""
    from otaflux.signature.keys import parse_keys

    return _read(value, parse_keys, "a PEM file with public keys: ECDSA P-256, P-384, P-521 or RSA")


def trusted_root(value: str) -> Path:
    """A file with Sigstore's trusted root."""
    from otaflux.signature.identity import check_root

    return _read(value, check_root, "a trusted_root.json of Sigstore")


def identities(value: str) -> tuple[Name, ...]:
    """Identities, white space between; each counts once."""
    return tuple(dict.fromkeys(_name(word) for word in value.split()))


def issuer(value: str) -> Name:
    """One issuer."""
    if len(value.split()) != 1:
        raise Wrong("one issuer, exact or a pattern between /…/, without white space")
    return _name(value)


def _name(text: str) -> Name:
    from otaflux.signature.identity import Name

    try:
        return Name.parse(text)
    except Refused as error:
        raise Wrong(
            f"exact names, or patterns between /…/ in Python's syntax ({plain(error, MAX_SHOWN)})"
        ) from None


def _read(value: str, check: Callable[[bytes], object], expected: str) -> Path:
    """The path of a file that `check` finds good."""
    where = file(value)
    try:
        with where.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
        _check_size(content)
        check(content)
    except OSError as error:
        raise Wrong(f"{expected} ({error.strerror or error})") from None
    except Refused as error:
        raise Wrong(f"{expected} ({plain(error, MAX_SHOWN)})") from None
    return where


def _check_size(content: bytes) -> None:
    if len(content) > MAX_FILE:
        raise Refused(f"it has more than {MAX_FILE} bytes")
