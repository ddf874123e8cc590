"""The last answer of a connection, which its client gets to read though it still sends."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from otaflux.web.answers import Answer, failed, http_date
from otaflux.web.written import Written

LAST_WORDS = 2.0  # seconds to read a refusal in; what is sent meanwhile is dropped

TOO_LONG = failed(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too long")
UNREADABLE = failed(HTTPStatus.BAD_REQUEST, "This is no HTTP request that can be read")


class LastWords(Written):
    """An answer after which the connection closes, but not before the client could read it.

    Closing while bytes of the client lie unread makes the kernel send a reset, and that may
    overtake the answer. So only our side closes, and the client has a moment for its own, until
    it is `heard_out`.
    """

    def __init__(self, answer: Answer, heard_out: asyncio.Event) -> None:
        super().__init__(answer, ready=closing(answer), close=True)
        self._heard_out = heard_out
        self._transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it."""
        self._transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Close our side, and wait for the client's."""
        transport = self._transport
        if transport is None or transport.is_closing() or not transport.can_write_eof():
            return
        transport.write_eof()
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._heard_out.wait()
        except TimeoutError:
            return


def closing(answer: Answer) -> bytes:
    """The bytes of an answer after which the connection closes."""
    return answer.render(http_date(int(time.time())), keep_alive=False)
