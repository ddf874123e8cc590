"""A mapping of bounded size, for what is cheap to learn again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class BoundedMap(Generic[_Key, _Value]):
    """Remembers the `most` keys that were kept last, and forgets the one kept longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[_Key, _Value] = OrderedDict()

    def __iter__(self) -> Iterator[_Key]:
        """The keys, that kept longest ago first."""
        return iter(self._held)

    def __contains__(self, key: object) -> bool:
        """Whether it is remembered."""
        return key in self._held

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._held)

    def get(self, key: _Key) -> _Value | None:
        """What was kept; None where nothing was, or it is forgotten."""
        return self._held.get(key)

    def put(self, key: _Key, value: _Value) -> None:
        """Remember, and forget what is too much."""
        self._held[key] = value
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    def drop(self, key: _Key) -> None:
        """Forget a key, if it is there."""
        self._held.pop(key, None)
