"""Bodies whose sender waits to be asked for them (RFC 9110 section 10.1.1)."""

from __future__ import annotations

import aiohttp
from aiohttp import hdrs, web


async def ask_for_body(request: web.BaseRequest) -> None:
    """Ask for the body of a request whose sender waits for that; for all others do nothing."""
    if (
        request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        and request.version == aiohttp.HttpVersion11
    ):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
