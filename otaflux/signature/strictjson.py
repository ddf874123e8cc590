"""JSON that can be read in one way only: what two tools could read differently is refused.

JSON leaves open which of two equal keys counts, and Go's `encoding/json`, which cosign uses, reads
keys without regard to case and takes the last. Whoever gets a signer to sign such a text could show
one digest to the signer's tools and another to ours.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 32  # objects and lists in each other; a bundle with a certificate has 8

Object = dict[str, Any]


class NotStrict(ValueError):
    """Why a text is no JSON object that every tool reads alike; never leaves this room."""


def read_object(text: bytes) -> Object:
    """The object that a text is; raises `NotStrict`."""
    try:
        read = json.loads(
            text.decode(),
            object_pairs_hook=_object,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise NotStrict("it is not UTF-8") from None
    except NotStrict:
        raise
    except (ValueError, RecursionError):
        raise NotStrict("it is no JSON") from None
    if not isinstance(read, dict):
        raise NotStrict("it is no JSON object")
    _check_depth(read)
    return read


def _object(pairs: list[tuple[str, Any]]) -> Object:
    if len({key.casefold() for key, _ in pairs}) != len(pairs):
        raise NotStrict("a key in it comes twice, so that tools would read it differently")
    return dict(pairs)


def _constant(name: str) -> Any:
    raise NotStrict(f"{name} is no JSON")


def _check_depth(read: Object) -> None:
    level: list[Any] = [read]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise NotStrict(f"it is more than {MAX_DEPTH} levels deep")
