"""The parameters of clients whose query is not ours: their names, their duplicates, their units.

Pure. What is not asked for is left alone: such clients send whatever their users configured.
"""

from __future__ import annotations

from collections.abc import Collection

from otaflux.errors import BadName
from otaflux.units.seen import can_be_unit, can_be_word
from otaflux.web.target import decoded


def parameters(query: str, names: Collection[str]) -> dict[str, str]:
    """The named parameters of a query, decoded as HTML forms are; raises `BadName` for a double."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = decoded(name.replace("+", " "))
        if name not in names:
            continue
        if name in found:
            raise BadName(f"The query parameter '{name}' is given more than once")
        found[name] = decoded(value.replace("+", " "))
    return found


def version_said(text: str) -> str:
    """What a unit says it runs, or nothing where that is odd: it is answered all the same.

    A space was a plus, which many clients do not encode, before what a build is called.
    """
    text = text.strip().replace(" ", "+")
    return text if can_be_word(text) else ""


def unit_named(text: str) -> str:
    """A unit's name, or nothing where it cannot be one: the client is answered all the same."""
    return text if can_be_unit(text) else ""
