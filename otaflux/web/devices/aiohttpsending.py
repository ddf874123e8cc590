"""A download that aiohttp's handler of its connection waits for, over TLS too.

On the event loop. The head goes through aiohttp's writer, the file past it wherever the kernel can
send it.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from otaflux.web.devices.sending import Sending, report

CHUNK = 64 << 10  # bytes for one write under TLS


async def send(
    sending: Sending, request: web.BaseRequest, transport: asyncio.Transport, head: bytes
) -> None:
    """Send a head, and the file behind it. Raises `ConnectionError` where that ends too early."""
    secure = transport.get_extra_info("sslcontext") is not None
    _check_open(transport)
    await request.writer.write(head)
    # No other bytes may overtake it.
    await _flushed(request, transport, secure=secure)
    _check_open(transport)
    sending.bound()
    try:
        if secure:
            await _by_writes(sending, request)
            await _flushed(request, transport, secure=secure)
        elif not sending.push():
            await _rest(sending)
    except ConnectionError:
        raise
    except OSError as error:
        report(error)
        sending.drop()
        raise ConnectionAbortedError from error


async def _rest(sending: Sending) -> None:
    """Wait until the kernel took what is left."""
    done = asyncio.get_running_loop().create_future()

    def ended(error: OSError | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    sending.go_on(ended)
    try:
        await done
    finally:
        sending.stop()


async def _by_writes(sending: Sending, request: web.BaseRequest) -> None:
    while not sending.is_whole:
        chunk = sending.read(CHUNK)
        await request.writer.write(chunk)
        await request.writer.drain()
        sending.took(len(chunk))


async def _flushed(request: web.BaseRequest, transport: asyncio.Transport, *, secure: bool) -> None:
    """Wait until the transport holds nothing; under TLS its inner one may hold 64 KiB."""
    if not transport.get_write_buffer_size():
        return
    # Over its limit is what counts for a plain transport, at its limit for TLS.
    transport.set_write_buffer_limits(1 if secure else 0)
    try:
        await request.writer.drain()
    finally:
        transport.set_write_buffer_limits()


def _check_open(transport: asyncio.Transport) -> None:
    if transport.is_closing():
        raise ConnectionResetError
