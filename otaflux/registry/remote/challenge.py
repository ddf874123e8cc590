"""`WWW-Authenticate` into challenges: pure.

Grammar: RFC 9110, 11.6.1. One header may hold several challenges and one response several headers;
values in quotes hold commas; schemes and parameter names have no case. What cannot be read is
skipped, so that a challenge behind it is still found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

MAX_HEADER = 8 * 1024  # characters read of all challenges together; real ones have a few hundred

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAM = rf"""({_NAME})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=]+))(?=[\s,]|$)"""
_SCHEME = rf"({_NAME})(?=[\s,]|$)(?:[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$))?"  # with a token68
_PART = re.compile(rf"(?<![^\s,])(?:{_PARAM}|{_SCHEME})")


class Challenge(msgspec.Struct, frozen=True):
    """One way in: `scheme` and the names of `params` are lower-case."""

    scheme: str
    params: Mapping[str, str] = msgspec.field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of a response, in order; never raises."""
    text = ", ".join(headers)[:MAX_HEADER]
    found: list[tuple[str, dict[str, str]]] = []
    for part in _PART.finditer(text):
        name, quoted, bare, scheme = part.groups()
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
    return tuple(Challenge(scheme, params) for scheme, params in found)
