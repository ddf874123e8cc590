"""How long a request may take until its response's head is there.

aiohttp bounds the pauses between bytes, and a server that sends a byte of its head now and then, or
one early hint after another, or a proxy that takes a CONNECT and says nothing, keeps within that
for ever. A limit in all would end a long upload as well, so it moves on with each piece that is
sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp

from otaflux.registry.remote.retries import RetryPolicy

MAX_UNDER_WAY = 4 * 1024 * 1024  # bytes that the kernel may have taken and not sent yet


class HeadLimit:
    """The limit of one request, `size` bytes of which are sent; each of its tries has it anew."""

    def __init__(self, policy: RetryPolicy, size: int = 0) -> None:
        self._policy = policy
        self._sent = size
        self._limit: asyncio.Timeout | None = None

    async def bounded(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A try, as a middleware of aiohttp: connecting, sending, and reading the head.

        Raises `TimeoutError` above the limit.
        """
        try:
            async with asyncio.timeout(self._seconds()) as self._limit:
                return await handler(request)
        finally:
            self._limit = None

    async def of(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same pieces; each that is taken leaves the time that it needs at the least rate."""
        async for piece in pieces:
            self._sent += len(piece)
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds())
            yield piece

    def _seconds(self) -> float:
        under_way = min(self._sent, MAX_UNDER_WAY) / self._policy.min_rate
        return self._policy.head_timeout + under_way
