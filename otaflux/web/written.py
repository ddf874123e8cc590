"""An answer that aiohttp sends as the very bytes that it was rendered to.

aiohttp's own responses add `Server` and choose order, chunking and `Connection` for themselves.
This one writes ready bytes, once, and nothing else: what `answers.py` rendered is what goes out.
"""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from otaflux.web.answers import Answer, http_date


def rendered(answer: Answer, request: web.BaseRequest, *, keep_alive: bool | None = None) -> bytes:
    """The bytes of an answer to that request now; the head alone where firmware follows.

    Where `keep_alive` does not say whether the connection stays open, the request does.
    """
    stays = request.keep_alive if keep_alive is None else keep_alive
    return answer.render(http_date(int(time.time())), version=request.version, keep_alive=stays)


class Written(web.StreamResponse):
    """Sends `answer`, or `ready` bytes of it; closes the connection where the client wants that.

    With `sent` the bytes went out already, as a download's do, `is_cut` where not all
    of them could. `close` ends the connection whatever the client wants, and so does `is_cut`;
    `ready` and `sent` bytes must say so too.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        ready: bytes | None = None,
        sent: bool = False,
        is_cut: bool = False,
        close: bool = False,
    ) -> None:
        super().__init__(status=answer.status)
        self._answer = answer
        self._ready = ready
        self._sent = sent
        self.is_cut = is_cut
        self._stays_open: bool | None = False if close or is_cut else None

    @property
    def prepared(self) -> bool:
        """Whether it was sent."""
        return self._sent

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open after it."""
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it, in one write. Raises `ConnectionError` where the client is gone."""
        if self._stays_open is None:
            self._stays_open = request.keep_alive
        if not self._sent:
            self._sent = True
            ready = self._ready
            if ready is None:
                ready = rendered(self._answer, request, keep_alive=self._stays_open)
            await request.writer.write(ready)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""
