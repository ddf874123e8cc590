"""One connection in the hands of aiohttp, with what its own handler leaves open.

aiohttp answers what it cannot parse by itself: over HTTP/1.0, with `Server`, an echo of the request
and in places a traceback. Here that is a short answer like all others. Besides, a whole head is
bounded (aiohttp bounds its lines), a client that is refused while it still sends gets to read why,
one that shuts down its sending side gets its answer, and one that takes nothing of an answer for
minutes is dropped, as `sending.py` does it for firmware.

`KEEPALIVE` bounds slow heads too. A slow body is its reader's to bound; one that nobody reads is
waited for `lingering_time`, which is aiohttp's ten seconds.

Some attributes of the base class are not documented; tests/test_web_handler.py pins them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader

from otaflux.web.answers import Answer, failed, http_date
from otaflux.web.port.connection import Connection
from otaflux.web.refusals import refuse
from otaflux.web.written import Written

KEEPALIVE = 75.0  # seconds; above the 60 s of most load balancers, or requests meet a closing end
MAX_LINE = 8190  # bytes of the request's line, and of each field
MAX_FIELDS = 64
MAX_HEAD = 32 << 10  # bytes of a whole head
BEGINNING = 64  # bytes of a request that are kept until it is read, to say which it was
STALLED = 5 * 60.0  # seconds in which nothing of an answer was taken
LAST_WORDS = 2.0  # seconds to read a refusal in; what is sent meanwhile is dropped

TOO_LONG = failed(431, "The request's head is too long")
UNREADABLE = failed(400, "This is no HTTP request that can be read")


class Handler(web.RequestHandler):
    """aiohttp's handler of one connection; while that is open it is in `live`.

    `sends` says whether firmware goes out on a transport: that is judged elsewhere. `unreadable`
    hears of requests that are no HTTP: the client's address, and how the request began.
    """

    __slots__ = (
        "_began",
        "_body",
        "_head",
        "_heard_out",
        "_live",
        "_owed",
        "_owed_since",
        "_sends",
        "_unreadable",
        "_wire",
    )

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        live: set[Connection],
        sends: Callable[[asyncio.BaseTransport], bool],
        unreadable: Callable[[str, bytes], object] = lambda _client, _began: None,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE,
            access_log=None,  # type: ignore[arg-type] # aiohttp takes None, its types do not
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_FIELDS,
            # Nobody's body is unpacked on the event loop: a stranger's few bytes may be gigabytes.
            auto_decompress=False,
        )
        self._live = live
        self._sends = sends
        self._unreadable = unreadable
        self._began = b""
        self._wire: asyncio.Transport | None = None
        self._heard_out = asyncio.Event()
        self._body: StreamReader | None = None
        self._head = 0
        self._owed = 0
        self._owed_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._wire = self.transport
        self._live.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._live.discard(self)
        self._heard_out.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and count what belongs to a head that is not whole yet."""
        waits = self._waiter is not None
        if not self._head and (self._body is None or self._body.is_eof()):
            self._began = data[:BEGINNING]
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]
        if not waits or self._messages:
            self._head = 0
            return
        self._head += len(data)
        if self._head > MAX_HEAD and self._wire is not None and not self._close:
            self._wire.write(_closing(TOO_LONG))
            if self._wire.can_write_eof():
                self._wire.write_eof()
            self.close()
            self._loop.call_later(LAST_WORDS, self._wire.close)

    def eof_received(self) -> bool | None:  # type: ignore[override] # asyncio's, aiohttp narrows it
        """Keep the way out open while an answer is owed: the client only said that it is done."""
        self._heard_out.set()
        if self._close or not self._owes_answer():
            return None  # closes the connection
        if self._wire is not None and self._wire.get_extra_info("sslcontext") is not None:
            # asyncio's TLS cannot do that, and would take what is written on and throw it away.
            self._wire.abort()
            return None
        self.close()
        return True

    def _owes_answer(self) -> bool:
        """Whether a request that came whole waits for its answer."""
        waits = self._waiter is not None and not self._messages
        return not waits and self._body is not None and self._body.is_eof()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be parsed, or to a bug; the connection ends with it."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone
        if status >= 500 or not isinstance(exc, Exception):  # noqa: PLR2004 - HTTP's classes
            answer = refuse(exc if isinstance(exc, Exception) else RuntimeError(message))
        else:
            answer = TOO_LONG if isinstance(exc, LineTooLong) else UNREADABLE
            self._unreadable(request.remote or "", self._began)
        if request.writer.output_size > 0:
            raise ConnectionAbortedError  # part of another answer is out, so nothing can be said
        self.close()
        return LastWords(answer, self._heard_out)

    def check_idle(self, now: float) -> None:
        """End it if nothing of an answer was taken for `STALLED` seconds."""
        if self._wire is None or self._sends(self._wire):
            self._owed = 0
            return
        owed = self._wire.get_write_buffer_size()
        if owed == 0 or owed != self._owed:
            self._owed, self._owed_since = owed, now
        elif now - self._owed_since >= STALLED:
            self.abort()

    def close_idle(self) -> None:
        """Nothing: aiohttp itself ends what is idle, and waits for the rest."""

    def abort(self) -> None:
        """End it at once."""
        if self._wire is not None:
            self._wire.abort()


class LastWords(Written):
    """An answer after which the connection closes, but not before the client could read it.

    Closing while bytes of the client lie unread makes the kernel send a reset, and that may
    overtake the answer. So only our side closes, and the client has a moment for its own, until
    it is `heard_out`.
    """

    def __init__(self, answer: Answer, heard_out: asyncio.Event) -> None:
        super().__init__(answer, ready=_closing(answer), close=True)
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


def _closing(answer: Answer) -> bytes:
    return answer.render(http_date(int(time.time())), keep_alive=False)
