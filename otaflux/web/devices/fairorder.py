"""Who goes first where a memory is full: of the holder that has most, the longest idle.

Anybody can make up names, so that the oldest of all would be whoever is patient. Of one holder,
such as an address, names are cheap; what one holds costs the others nothing. Pure.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
NETWORK = 64  # bits of an IPv6 address that one host cannot make up (RFC 6177)


def holder_of(address: str) -> str:
    """Who an address belongs to: of IPv6 the network, for its hosts have as many as they like."""
    if ":" not in address:
        return address
    try:
        inside = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.IPv6Network((inside, NETWORK), strict=False))


class FairOrder(Generic[_Key]):
    """Keys in the order in which they were touched, by their holders."""

    def __init__(self) -> None:
        self._holders: dict[_Key, str] = {}
        self._held: dict[str, OrderedDict[_Key, None]] = {}
        self._largest = ""

    def __len__(self) -> int:
        return len(self._holders)

    def touch(self, key: _Key, holder: str) -> None:
        """Put a key last, for that holder."""
        if self._holders.get(key) == holder:
            del self._holders[key]
            self._holders[key] = holder
            self._held[holder].move_to_end(key)
            return
        self.drop(key)
        self._holders[key] = holder
        held = self._held.setdefault(holder, OrderedDict())
        held[key] = None
        # Who was largest and shrank is overtaken by the next that grows: near enough.
        if len(held) > len(self._held.get(self._largest, ())):
            self._largest = holder

    def drop(self, key: _Key) -> None:
        """Forget a key, if it is there."""
        holder = self._holders.pop(key, None)
        if holder is None:
            return
        held = self._held[holder]
        del held[key]
        if not held:
            del self._held[holder]

    def first(self) -> _Key:
        """Who goes first; there has to be one."""
        held = self._held.get(self._largest, ())
        # Where nobody has more than others it is the turn of who was touched longest ago.
        return next(iter(held if len(held) > 1 else self._holders))
