"""Versions: which tag is one, and which of two is higher.

SemVer 2.0.0 (semver.org), after one leading `v` or `V` is taken off and `_` is read as `+`, for
the OCI grammar has no `+` in a tag. Precedence is SemVer's; what SemVer leaves equal is settled
by build identifiers, so that every replica settles it the same way.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache

import msgspec
import semver

from otaflux.errors import BadName

MAX_VERSION = 128  # characters; a version comes from a tag

_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"
_VERSION = re.compile(
    r"[vV]?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    rf"(?:[+_ ]({_BUILD}(?:\.{_BUILD})*))?"
)
_MEANT = re.compile(r"[vV]?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-([^_+]*))?(?:[_+].*)?")


def _identifiers(text: str) -> tuple[tuple[int, int, str], ...]:
    """Dot-separated identifiers in SemVer's order: numbers by value and below words."""
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in text.split(".")
    )


@lru_cache(maxsize=1024)
def spelled(text: str) -> str | None:
    """A version as all write it, None for what is none; units say the same few again and again."""
    try:
        return Version.parse(text).text
    except BadName:
        return None


@dataclass(frozen=True)
class Version:
    """A SemVer 2.0.0 version; `text` is what devices are told, without `v` and with `+`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a tag or a query's version; raises `BadName` where it is not SemVer 2.0.0.

        A space is read as `+` too, for that is what `+` in a query decodes to.
        """
        if len(text) > MAX_VERSION:
            raise BadName(f"A version has at most {MAX_VERSION} characters")
        bare = text[1:] if text[:1] in {"v", "V"} else text
        bare = bare.replace("_", "+").replace(" ", "+")
        version = cls(bare)
        if bare.isascii():
            with suppress(ValueError):
                _ = version.key  # reads it, and keeps what it read
                return version
        raise BadName("A version is SemVer 2.0.0, such as 1.4.0 or 1.5.0-rc.1")

    @cached_property
    def _parts(self) -> semver.Version:
        return semver.Version.parse(self.text)

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Sorts as SemVer does, then by build identifiers: none is below any."""
        parts = self._parts
        pre = (0, _identifiers(parts.prerelease)) if parts.prerelease else (1, ())
        build = _identifiers(parts.build) if parts.build else ()
        return (parts.major, parts.minor, parts.patch, pre, build)

    @property
    def precedence(self) -> tuple[object, ...]:
        """SemVer's own precedence, which build identifiers do not count in."""
        return self.key[:4]

    @property
    def pre_release(self) -> str:
        """The first pre-release identifier; empty for a stable version."""
        return (self._parts.prerelease or "").split(".", 1)[0]

    def __str__(self) -> str:
        return self.text


class Rank(msgspec.Struct, frozen=True):
    """Where a text stands among versions, for less than a `Version` costs: of very many, say.

    `key` is that of the version, `pre_release` is its first pre-release identifier or empty.
    """

    key: tuple[object, ...]
    pre_release: str


def rank(text: str) -> Rank | None:
    """The rank of what `Version.parse` would read; None for what is no version."""
    match = _VERSION.fullmatch(text) if len(text) <= MAX_VERSION else None
    if match is None:
        return None
    major, minor, patch, pre, build = match.groups()
    key = (
        int(major),
        int(minor),
        int(patch),
        (0, _identifiers(pre)) if pre else (1, ()),
        _identifiers(build) if build else (),
    )
    return Rank(key, pre.partition(".")[0] if pre else "")


def meant(tag: str) -> Version | None:
    """The version that was probably meant by a tag that is none, such as 1.2 or 2025.08.01.

    A pre-release stays one, without the zeros that SemVer has at no number's beginning: 1.0.0-rc.1
    for 1.0.0-rc.01. None is guessed for what cannot be one, such as 1.0.0-.
    """
    match = _MEANT.fullmatch(tag)
    if match is None:
        return None
    *numbers, pre = match.groups()
    major, minor, patch = (int(part or 0) for part in numbers)
    dash = "" if pre is None else "-"
    pre = ".".join(map(_without_zeros, (pre or "").split(".")))
    with suppress(BadName):
        return Version.parse(f"{major}.{minor}.{patch}{dash}{pre}")
    return None


def _without_zeros(identifier: str) -> str:
    """An identifier as SemVer has it, whose numbers begin with no zero."""
    return (identifier.lstrip("0") or "0") if identifier.isdigit() else identifier
