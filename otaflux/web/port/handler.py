"""One connection in the hands of aiohttp, with what its own handler leaves open.

aiohttp answers what it cannot parse by itself: over HTTP/1.0, with `Server`, an echo of the request
and in places a traceback. Here that is a short answer like all others. Besides, a whole head is
bounded (aiohttp bounds its lines), a client that is refused while it still sends gets to read why,
and one that takes nothing of an answer for minutes is dropped, as `sending.py` does it for
firmware.

While the server ends, a request whose head was read is read to its end and answered.

Requests are read one at a time. While one that came whole waits for its answer, what is behind it
is kept as it came, no more than one or two reads of it, and who closes the sending side gets all
answers first.

`KEEPALIVE` bounds slow heads too. A slow body is its reader's to bound; one that nobody reads is
waited for `lingering_time`, which is aiohttp's ten seconds.

Some attributes of the base class are not documented; tests/test_web_handler.py pins them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from aiohttp import web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import ERROR

from otaflux.web.port.connection import NOTHING, Begun, Connections, cut, send_away
from otaflux.web.port.lastwords import LAST_WORDS, TOO_LONG, UNREADABLE, LastWords, closing
from otaflux.web.port.parsing import BODY_BUFFER, MAX_HEAD, request_parser
from otaflux.web.port.reading import bound_reads
from otaflux.web.port.turnedaway import busy_answer
from otaflux.web.refusals import refuse

KEEPALIVE = 75.0  # seconds; above the 60 s of most load balancers, or requests meet a closing end
_END = b"\r\n\r\n"  # of a head
BEGINNING = 64  # bytes of a request that are kept until it is read, to say which it was
STALLED = 5 * 60.0  # seconds in which nothing of an answer was taken


class Handler(web.RequestHandler):
    """aiohttp's handler of one connection, from where it has `begun`; in `connections` meanwhile.

    `sends` says whether firmware goes out on a transport: that is judged elsewhere. `unreadable`
    hears of requests that are no HTTP: the client's address, and how the request began.
    """

    __slots__ = (
        "_answered",
        "_began",
        "_begun",
        "_behind",
        "_body",
        "_connections",
        "_drops",
        "_ended",
        "_head",
        "_heard_out",
        "_holds",
        "_is_alone",
        "_owed",
        "_owed_since",
        "_secure",
        "_sends",
        "_unreadable",
        "_wire",
    )

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        sends: Callable[[asyncio.BaseTransport], bool],
        unreadable: Callable[[str, bytes], object] = lambda _client, _began: None,
        begun: Begun = NOTHING,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE,
            access_log=None,  # type: ignore[arg-type] # aiohttp takes None, its types do not
            read_bufsize=BODY_BUFFER,
        )
        # One request at a time, see `parsing.py`; aiohttp takes no such number.
        self._parser = request_parser(self, loop)
        self._connections = connections
        self._sends = sends
        self._unreadable = unreadable
        self._began = b""
        self._begun = begun
        self._wire: asyncio.Transport | None = None
        self._heard_out = asyncio.Event()
        self._body: StreamReader = EMPTY_PAYLOAD
        self._answered = True
        self._is_alone = self._holds = False  # the parser, maybe, the beginning of a head
        self._behind = b""
        self._ended = self._secure = False
        self._drops = False  # whatever comes, once nothing more is answered
        self._head = self._owed = 0
        self._owed_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._wire = self.transport
        self._secure = transport.get_extra_info("sslcontext") is not None
        bound_reads(transport)
        begun, self._begun = self._begun, NOTHING
        self._connections.enter(self, asked=begun.asked)
        if isinstance(begun.found, RawRequestMessage):
            self._take(begun.found)
        elif begun.data:
            self.data_received(begun.data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._connections.leave(self)
        self._heard_out.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and count what belongs to a head that is not whole yet."""
        if self._close or self._force_close:
            self._feed_body(data)
            return
        if not self._answered and self._body.is_eof():
            self._behind += data
            if data and not self._buffer_paused:
                self._pause_reading_for_buffer()
            return
        if data and not self._head and self._body.is_eof():
            self._began = data[:BEGINNING]
        begins, self._holds = not (self._head or self._holds), False
        self._feed(data)
        if not self._answered:
            self._head = 0
            if begins and self._messages:
                # What is neither head nor body is behind it; chunks are more than their body.
                size = data.find(_END) + len(_END) + self._body.total_bytes
                self._is_alone = size == len(data) and self._body.is_eof()
            return
        if not self._messages and self._body.is_eof():
            self._feed(b"")  # a body that nobody wanted ended here, and more may be behind it
        waits = not self._messages and self._body.is_eof()
        self._head = self._head + len(data) if waits else 0
        if self._head > MAX_HEAD and self._wire is not None and not self._close:
            self._wire.write(closing(TOO_LONG))
            if self._wire.can_write_eof():
                self._wire.write_eof()
            self.close()
            self._loop.call_later(LAST_WORDS, self._wire.close)

    def _feed_body(self, data: bytes) -> None:
        """Take the rest of a request whose head was read before the server ended; drop all else."""
        if self._drops or self._answered or self._parser is None or self._body.is_eof():
            return
        try:
            self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._drops = True
            self._body.set_exception(web.RequestPayloadError(error.message))

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            message, self._body = self._messages[-1]
            if isinstance(message, RawRequestMessage) and message.upgrade:
                # Its sender may speak another protocol from here on; what is behind is no request.
                self._messages[-1] = message._replace(should_close=True), self._body
            self._begin_request()

    def _take(self, message: RawRequestMessage) -> None:
        """Take a whole request without a body that was parsed already, and nothing behind it."""
        self._begin_request()
        self._messages.append((message, EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin_request(self) -> None:
        self._answered = self._is_alone = False
        self._connections.note_asked(self)
        if self._secure and self._body.is_eof():
            # Under TLS it costs nothing, and asyncio can send no answer there after an end.
            self._pause_reading_for_buffer()

    def _resume_reading_if_drained(self) -> None:
        """Read on for a body; what is behind a whole request waits until that was answered."""
        if not self._body.is_eof():
            super()._resume_reading_if_drained()

    async def start(self) -> None:
        """Answer one request after the other, until the connection ends.

        aiohttp's own makes a task for each, so that none finds what another left in its context.
        Here whoever binds something there takes it back, and a task for each would cost as much as
        parsing it.
        """
        while not self._force_close:
            if not self._messages:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, body = self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused:
                self._resume_reading_if_drained()
            if not await self._answer(message, body):
                break
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _answer(self, message: object, body: StreamReader) -> bool:
        """Answer one request; returns whether the connection stays open."""
        answers = self._request_handler
        if not isinstance(message, RawRequestMessage):  # what was wrong with it
            answers, message = self._make_error_handler(message), ERROR  # type: ignore[arg-type]
        if answers is None or self._request_factory is None:
            return False  # the client is gone
        task = cast("asyncio.Task[None]", self._task_handler or asyncio.current_task())
        writer = StreamWriter(self, self._loop)
        request = self._request_factory(message, body, self, writer, task)
        try:
            resp, is_cut = await self._handle_request(request, None, answers)
            if is_cut:
                return False
            if not body.is_eof():
                await self._pass_over(body)
        except ConnectionError:
            return False  # the client is gone
        except asyncio.CancelledError:
            self.force_close()
            raise
        except Exception as error:  # noqa: BLE001 - a bug in sending an answer ends one connection
            self.log_exception("Unhandled exception", exc_info=error)
            self.force_close()
            return False
        self._keepalive = bool(resp.keep_alive)
        if not self._keepalive or self._close or self._force_close:
            return False
        ends = self._next_keepalive_close_time = self._loop.time() + KEEPALIVE
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(ends, self._process_keepalive)
        return True

    async def _pass_over(self, body: StreamReader) -> None:
        """Read what is left of a body that nobody wanted; close where that takes too long."""
        try:
            async with asyncio.timeout(self._lingering_time):
                while not body.is_eof() and not self._force_close:
                    await body.readany()
        except (TimeoutError, web.RequestPayloadError):
            self.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; then the next request's turn comes."""
        is_cut = False
        try:
            await resp.prepare(request)
            await resp.write_eof()
        except ConnectionError:
            is_cut = True
        self._answered = True
        if resp.keep_alive and self._parser is not None and self._body.is_eof():
            self._go_on()
        return resp, is_cut

    def _go_on(self) -> None:
        """Take what came behind a request that was answered, and read on where that was all."""
        if not self._is_alone:
            self._feed(b"")  # what the parser has
            self._holds = not self._messages
        if not self._messages and self._behind:
            behind, self._behind = self._behind, b""
            self.data_received(behind)
        if self._messages:
            return
        if self._ended:
            self.close()
        elif self._buffer_paused:
            self._resume_reading_for_buffer()

    def eof_received(self) -> bool | None:  # type: ignore[override] # asyncio's, aiohttp narrows it
        """Close, but not before every whole request was answered: the client only asks no more."""
        self._heard_out.set()
        if self._close or self._secure or self._answered or not self._body.is_eof():
            return None  # closes the connection
        self._ended = True
        return True

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
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or not isinstance(exc, Exception):
            answer = refuse(exc if isinstance(exc, Exception) else RuntimeError(message))
        else:
            answer = TOO_LONG if isinstance(exc, LineTooLong) else UNREADABLE
            self._unreadable(request.remote or "", self._began)
        if request.writer.output_size > 0:
            raise ConnectionAbortedError  # part of another answer is out, so nothing can be said
        self._drops = True
        self.close()
        self._resume_reading_for_buffer()  # what comes now is dropped, so that no reset is sent
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

    def turn_away(self) -> None:
        """Make way for another connection: no whole request came of this one."""
        if self._wire is not None:
            send_away(self._wire, busy_answer())
        self.close()

    def abort(self) -> None:
        """End it at once."""
        if self._wire is not None:
            cut(self._wire)
