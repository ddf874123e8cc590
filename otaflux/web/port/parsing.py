"""How a request is read: aiohttp's parser, with our bounds, and one request at a time.

Trust: nothing that came is believed before this parser took it. What a client sends behind a
request that waits for its answer is kept as it came, unread, so that it holds no more memory than
one read.

`HttpRequestParser` is exported by aiohttp without being documented; tests pin what is used of it.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

MAX_LINE = 8190  # bytes of the request's line, and of each field
MAX_FIELDS = 64
MAX_HEAD = 16 << 10  # bytes of a whole head
BODY_BUFFER = 4 << 10  # bytes of a body that wait to be read; twice that pauses its sender


def request_parser(protocol: BaseProtocol, loop: asyncio.AbstractEventLoop) -> HttpRequestParser:
    """A parser for one connection, which stops behind each request."""
    return HttpRequestParser(
        protocol,
        loop,
        BODY_BUFFER,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_FIELDS,
        payload_exception=web.RequestPayloadError,
        # Nobody's body is unpacked on the event loop: a stranger's few bytes may be gigabytes.
        auto_decompress=False,
        max_msg_queue_size=1,
    )


def whole_request(data: bytes) -> RawRequestMessage | None:
    """The one request over HTTP/1.1 that `data` is, without a body and wanting no other protocol.

    Whole is a matter of bytes, for the parser keeps the beginning of a next request without a
    word. None for all else, also for what cannot be read.
    """
    if data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    loop = asyncio.get_running_loop()
    try:
        messages, upgraded, _ = request_parser(BaseProtocol(loop), loop).feed_data(data)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or upgraded:
        return None
    message, body = messages[0]
    if message.version != HttpVersion11 or message.upgrade or "Expect" in message.headers:
        return None
    return message if body.is_eof() else None
