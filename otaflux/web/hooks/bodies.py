"""Bodies of hooks as they are read, and places for those whose sender is not proven yet.

Trust: an HMAC proves its sender only once the body is there, so strangers can have bodies read.
What they hold is bounded. Few large bodies are read at once, and fewer of one address. Small ones,
as GitHub and Gitea send, have room for hundreds; where that is taken, the oldest of the address
that holds most gives way, and that is a stalled one, for an honest body is there within
milliseconds. Each body has to come within its time. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import web

from otaflux.errors import BadHook, Busy, TimedOut, TooLarge
from otaflux.web.continuing import ask_for_body

MAX_BODY = 8 << 20  # bytes; zot puts a manifest of up to 4 MiB into its hooks
BODY_TIMEOUT = 10.0  # seconds from the end of the head to the end of the body
SMALL = 64 << 10  # bytes; larger bodies are few, and hooks that are signed are smaller
MAX_LARGE = 16  # larger ones that are read at once whose sender is not proven yet
MAX_LARGE_EACH = 2  # … of them from one address
MAX_SMALL = 512  # others that are read at once whose sender is not proven yet

_LATER = "Too many hooks wait for their proof at once"


class Place:
    """One body's among those that are not proven yet; `grow` it before more is read."""

    def __init__(self, places: UnprovenBodies, sender: str) -> None:
        self._places = places
        self._large = False
        self.sender = sender
        self.limit: asyncio.Timeout | None = None
        self.gave_way = False

    @property
    def is_large(self) -> bool:
        """Whether it is one of the few large ones."""
        return self._large

    def grow(self, size: int) -> None:
        """The body has so many bytes at least; raises `Busy` where that is too much now."""
        if size > SMALL and not self._large:
            self._places.take_large(self.sender)
            self._large = True

    def give_way(self) -> None:
        """End the reading, at once; it may be ending by itself in this very step."""
        self.gave_way = True
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time())


class UnprovenBodies:
    """The places. An address may hold `large_each` of the `large` ones, and any of the `small`."""

    def __init__(
        self,
        *,
        small: int = MAX_SMALL,
        large: int = MAX_LARGE,
        large_each: int = MAX_LARGE_EACH,
    ) -> None:
        self._most_small = small
        self._most_large = large
        self._large_each = large_each
        self._places: dict[Place, None] = {}
        self._large: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    @contextmanager
    def place(self, sender: str) -> Iterator[Place]:
        """A place for a body of that address, while it is read."""
        if len(self._places) - self._large.total() >= self._most_small:
            self._make_way()
        place = Place(self, sender)
        self._places[place] = None
        try:
            yield place
        finally:
            self._places.pop(place, None)
            if place.is_large:
                self._large -= Counter([sender])

    def take_large(self, sender: str) -> None:
        """One more of an address is large; raises `Busy` where there are enough."""
        if self._large.total() >= self._most_large or self._large[sender] >= self._large_each:
            raise Busy(_LATER, retry_after=1)
        self._large[sender] += 1

    def _make_way(self) -> None:
        """Have the oldest small body of the address with most of them give way."""
        small = [place for place in self._places if not place.is_large]
        ((crowd, _),) = Counter(place.sender for place in small).most_common(1)
        oldest = next(place for place in small if place.sender == crowd)
        del self._places[oldest]
        oldest.give_way()


async def read_body(
    request: web.BaseRequest, *, within: float, place: Place | None = None
) -> bytes:
    """The body, whole, `within` so many seconds and `MAX_BODY`.

    Raises `TooLarge`, `TimedOut`, `BadHook` where it breaks off, and, for one with a `place`,
    `Busy` where it has to give way.
    """
    check_size(request)
    body = bytearray()
    if place is not None:
        place.grow(request.content_length or 0)
    try:
        if request.content.is_eof() and request.content.exception() is None:
            return request.content.read_nowait()  # small, and all there: nothing to wait for
        async with asyncio.timeout(within) as limit:
            if place is not None:
                place.limit = limit
            await ask_for_body(request)
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TooLarge(f"A hook's body has at most {MAX_BODY} bytes")
                if place is not None:
                    place.grow(len(body))
    except TimeoutError:
        if place is not None and place.gave_way:
            raise Busy(_LATER, retry_after=1) from None
        raise TimedOut(f"The body did not come within {within:g} s") from None
    except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError) as error:
        raise BadHook(f"The body broke off: {type(error).__name__}") from None
    return bytes(body)


def check_size(request: web.BaseRequest) -> None:
    """Raise `TooLarge` where the head says so already."""
    if (request.content_length or 0) > MAX_BODY:
        raise TooLarge(f"A hook's body has at most {MAX_BODY} bytes")
