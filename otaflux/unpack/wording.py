"""Names that strangers chose, made fit for a message: bounded, printable, quoted."""

from __future__ import annotations

from collections.abc import Iterable

MAX_NAME = 80  # characters of a name in a message
MAX_NAMES = 5  # names in a message


def named(name: str | bytes) -> str:
    """A name in quotes, at most `MAX_NAME` characters of it, everything unprintable escaped."""
    text = name.decode(errors="replace") if isinstance(name, bytes) else name
    shown = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text[:MAX_NAME]
    )
    return f"'{shown[:MAX_NAME]}{'…' if max(len(text), len(shown)) > MAX_NAME else ''}'"


def names(several: Iterable[str | bytes]) -> str:
    """Names for a message, the first few of them."""
    listed = list(several)
    shown = ", ".join(named(name) for name in listed[:MAX_NAMES])
    return f"{shown} and {len(listed) - MAX_NAMES} more" if len(listed) > MAX_NAMES else shown
