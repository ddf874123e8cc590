"""Requests that were seen before, and what is remembered of each, in bounded memory.

On one event loop. The oldest go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from otaflux.model.names import Device

ENTRY = 600  # bytes that an entry takes besides its own


class _Sized(Protocol):
    """What is remembered of a request."""

    @property
    def device(self) -> Device | None:
        """Whose answer it is."""
        ...

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        ...


_V = TypeVar("_V", bound=_Sized)


class Remembered(Generic[_V]):
    """By the bytes of a request, at most `most` bytes of them and of what they are answered.

    `get` gives what is remembered of a request, or None.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        # Ordered, since the first key of a plain dict is found behind all that went before it.
        self._known: OrderedDict[bytes, _V] = OrderedDict()
        # As keys of a dict: the cyclic collector passes over one that holds nothing but bytes.
        self._of: dict[Device | None, dict[bytes, None]] = {}
        # Looked up for each poll: with nothing in between.
        self.get: Callable[[bytes], _V | None] = self._known.get

    def put(self, request: bytes, value: _V) -> None:
        """Remember a request that is not, and forget what is too much."""
        self._size += _size(request, value)
        while self._size > self._most and self._known:
            oldest, gone = self._known.popitem(last=False)
            self._size -= _size(oldest, gone)
            del self._of[gone.device][oldest]
            if not self._of[gone.device]:
                del self._of[gone.device]
        self._known[request] = value
        self._of.setdefault(value.device, {})[request] = None

    def forget(self, device: Device) -> None:
        """Forget all requests about a device."""
        for request in self._of.pop(device, ()):
            self._size -= _size(request, self._known.pop(request))

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._of.clear()
        self._size = 0


def _size(request: bytes, value: _Sized) -> int:
    return len(request) + value.size + ENTRY
