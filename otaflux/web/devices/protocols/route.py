"""A row of the table of protocols: an address, the methods that it takes, and who answers there.

An address is written as OpenAPI writes it. `{device}` and `{rest}` may hold slashes, `{rest}` may
be empty, `{hex}` is a SHA-256, and any other name is one part of the path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from multidict import MultiMapping

from otaflux.units.seen import Protocol
from otaflux.web.devices.request import Handle

_NAMED = re.compile(r"\{(\w+)\}")
_PATTERNS = {"device": ".+", "hex": "[0-9a-f]{64}", "rest": ".*"}
_SHOWN = {"device": "D"}
_NOTHING: Mapping[str, str] = {}


def _anybody(_headers: MultiMapping[str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """`handle` answers requests to `address` from clients whose headers are `spoken`.

    `name` is the address as metrics and docs have it: /firmware/sha256/HEX, /esphome/D/….
    `protocol` is what is remembered of units that ask there.
    """

    address: str
    handle: Handle
    methods: tuple[str, ...] = ("GET", "HEAD")
    spoken: Callable[[MultiMapping[str]], bool] = _anybody
    protocol: Protocol = Protocol.HTTP
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _is_literal: bool = field(init=False, repr=False, compare=False)
    name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the address."""
        literal, *named = _NAMED.split(self.address)
        pattern = re.escape(literal)
        for name, after in zip(named[::2], named[1::2], strict=True):
            pattern += f"(?P<{name}>{_PATTERNS.get(name, '[^/]+')}){re.escape(after)}"
        object.__setattr__(self, "_pattern", re.compile(pattern, re.DOTALL))
        object.__setattr__(self, "_is_literal", not named)
        name = _NAMED.sub(lambda match: _SHOWN.get(match[1], match[1].upper()), self.address)
        object.__setattr__(self, "name", name)

    def match(self, path: str) -> Mapping[str, str] | None:
        """What a path names, where it is one of this address; None where it is not."""
        if self._is_literal:
            return _NOTHING if path == self.address else None
        found = self._pattern.fullmatch(path)
        return found.groupdict() if found else None
