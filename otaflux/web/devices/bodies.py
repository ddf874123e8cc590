"""Bodies that units send, such as feedback: small, in time, and read to their end.

Trust: anybody may send one. What a connection can have read without an answer is bounded, and
nothing is unpacked. On the event loop.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import hdrs, web

from otaflux.errors import BadBody, TimedOut, TooLarge
from otaflux.web.continuing import ask_for_body

MAX_BODY = 64 << 10  # bytes; swupdate sends some four thousand of its log at once
WITHIN = 10.0  # seconds from the end of the head to the end of the body


async def read_body(request: web.BaseRequest, *, within: float = WITHIN) -> bytes:
    """The body of a request, whole, within so many seconds.

    Raises `TooLarge`, `TimedOut`, and `BadBody` where it breaks off or is compressed.
    """
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise BadBody("The body is compressed: send it as it is")
    body = bytearray()
    try:
        async with asyncio.timeout(within):
            await ask_for_body(request)
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise TimedOut(f"The body did not come within {within:g} s") from None
    except (aiohttp.ClientError, web.RequestPayloadError) as error:
        raise BadBody(f"The body broke off: {type(error).__name__}") from None
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"A body has at most {MAX_BODY} bytes here")
