"""Where a request goes: its target as it is meant, for devices and hooks alike.

Pure. Targets are those of RFC 9112 section 3.2 (origin and absolute form); empty parts of a path
count for nothing, as with nginx.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import msgspec

from otaflux.errors import NotFound

_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: the decoded `path`, without empty parts, and the `query` as it came.

    `host` is that of the absolute form, which counts instead of the header's; else empty.
    """

    path: str
    query: str = ""
    host: str = ""

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a request target as it came; raises `NotFound` for one that is no address."""
        host, form = _origin_form(text)
        path, _, query = form.partition("?")
        if "%" not in path and "//" not in path and path.isascii() and path[-1] != "/":
            return cls(path, query, host)
        parts = (part for part in decoded(path).split("/") if part)
        return cls("/" + "/".join(parts), query, host)


def decoded(text: str) -> str:
    """Percent-decoded; bytes that are no UTF-8 become U+FFFD, which no name allows."""
    if "%" in text or not text.isascii():
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")
    return text


def _origin_form(target: str) -> tuple[str, str]:
    """The host, and the path and query; servers accept both forms (RFC 9112 section 3.2.2)."""
    if target.startswith("/"):
        return "", target
    authority = _AUTHORITY.match(target)
    if authority is None:
        raise NotFound("Nothing is at this address")
    rest = target[authority.end() :]
    return authority[1], rest if rest.startswith("/") else f"/{rest}"
