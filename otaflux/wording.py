"""Foreign text in messages: short, printable, and plainly somebody else's. Pure.

Registries, pushers, hooks, boards and settings choose this text. Whoever puts it into a message or
a log line passes it through here, so that it can neither flood nor imitate one. What must not be
repeated, such as a password, is no matter of form: see `otaflux.registry.remote.hiding`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_NAME = 80  # characters of a name, a code, an address in a message
MAX_SENTENCE = 300  # characters of what somebody says: a registry's error, a hook's sender
MAX_NAMES = 5  # names in a message
_MAX_READ = 64 * 1024  # characters that are looked at; a text may have megabytes

_USER = re.compile(r"(?<=//)[^/?#\s]*@")
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?/*")


def plain(text: object, most: int = MAX_NAME) -> str:
    """Text without quotes, at most `most` characters of it, everything unprintable escaped.

    What stands before an `@` in an address goes, for it may be a password. Bytes are read as
    UTF-8.
    """
    whole = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    if "@" in whole or len(whole) > _MAX_READ:
        whole = _USER.sub("", whole[:_MAX_READ])
    if len(whole) <= most and whole.isprintable():
        return whole
    escaped = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in whole[: most + 1]
    )
    return escaped[: most - 1] + "…" if len(escaped) > most else escaped


def quoted(text: object, most: int = MAX_NAME) -> str:
    """The same in quotes."""
    return f"'{plain(text, most)}'"


def quoted_names(several: Iterable[str | bytes]) -> str:
    """Names for a message, the first few of them."""
    listed = list(several)
    shown = ", ".join(quoted(name) for name in listed[:MAX_NAMES])
    return f"{shown} and {len(listed) - MAX_NAMES} more" if len(listed) > MAX_NAMES else shown


def quoted_address(text: str) -> str:
    """What should have been an address, in quotes, without what may prove somebody's identity.

    That is what stands before an `@`, and a query, which may be signed.
    """
    address, query, _ = text.partition("?")
    scheme = _SCHEME.match(address)
    start = scheme[0] if scheme else ""
    return quoted(start + address[len(start) :].rpartition("@")[2] + query)
