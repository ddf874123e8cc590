"""Everything that a registry can do wrong, by name.

A fault takes the right reply and sends something else. `registry.fail("blob", Cut(at=1000))` makes
the next blob request fail so; see `tests/fake_registry.py`. New ones are a class with `send`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Reply:
    """What the registry would answer: whole, in memory."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    whole: bytes | None = None  # what the body is a part of

    def response(self) -> web.Response:
        """As aiohttp sends it; a HEAD loses its body there and keeps its length."""
        return web.Response(status=self.status, body=self.body, headers=self.headers)

    def cached(self, tag: str, wanted: str | None) -> Reply:
        """This reply with an ETag, or 304 where the client has it."""
        headers = {**self.headers, "ETag": tag}
        return Reply(304, headers=headers) if wanted == tag else Reply(200, self.body, headers)

    def ranged(self, wanted: str | None) -> Reply:
        """The part that `Range: bytes=N-` or `bytes=N-M` asks for, as docker-registry gives it."""
        headers = {**self.headers, "Accept-Ranges": "bytes"}
        if not wanted or not wanted.startswith("bytes="):
            return Reply(self.status, self.body, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) if last else len(self.body) - 1
        if start >= len(self.body):
            return Reply(416, b"range not satisfiable", headers)
        span = f"bytes {start}-{end}/{len(self.body)}"
        part = self.body[start : end + 1]
        return Reply(206, part, {**headers, "Content-Range": span}, whole=self.body)


class Fault:
    """The base of all faults: sends the reply as it should be."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Answer the request; `reply` is what would have been right."""
        return reply.response()


async def _begin(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send the head, with the whole length announced."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """The connection ends after `at` bytes of the body; `politely` without a reset."""

    at: int
    politely: bool = False

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Announce all, send some, hang up."""
        response = await _begin(request, reply)
        await response.write(reply.body[: self.at])
        # The client shall have read these bytes before the reset makes its kernel drop them.
        await asyncio.sleep(0.05)
        if self.politely and request.transport is not None:
            request.transport.close()
        else:
            _hang_up(request)
        return response


@dataclass(frozen=True, slots=True)
class Short(Fault):
    """A body that ends after `at` bytes with its length never told, as HTTP/1.0 does."""

    at: int

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send some bytes, and end as if that were all."""
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        response.force_close()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(reply.body[: self.at])
        await response.write_eof()
        return response


@dataclass(frozen=True, slots=True)
class WrongByte(Fault):
    """One bit of the body, at `at`, is not as it was."""

    at: int

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send the same number of bytes, one of them wrong."""
        body = bytearray(reply.body)
        body[self.at] ^= 1
        return Reply(reply.status, bytes(body), reply.headers).response()


@dataclass(frozen=True, slots=True)
class TooMuch(Fault):
    """More bytes than there are, with no length announced."""

    extra: int = 1000

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send all, and then zeros, in chunks."""
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(reply.body + bytes(self.extra))
        await response.write_eof()
        return response


@dataclass(frozen=True, slots=True)
class Hang(Fault):
    """Nothing comes for `seconds`, before the head or `after` that many bytes of the body."""

    seconds: float = 60
    after: int | None = None

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Wait, then hang up; the client hanging up first ends the wait."""
        response: web.StreamResponse | None = None
        if self.after is not None:
            response = await _begin(request, reply)
            await response.write(reply.body[: self.after])
        deadline = asyncio.get_running_loop().time() + self.seconds
        while asyncio.get_running_loop().time() < deadline:
            if request.transport is None or request.transport.is_closing():
                break
            await asyncio.sleep(0.02)
        _hang_up(request)
        return response or reply.response()


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The body comes in pieces of `size` bytes with `pause` seconds between them."""

    size: int = 1
    pause: float = 0.01

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send everything, slowly."""
        response = await _begin(request, reply)
        for at in range(0, len(reply.body), self.size):
            if request.transport is None or request.transport.is_closing():
                return response
            await response.write(reply.body[at : at + self.size])
            await asyncio.sleep(self.pause)
        await response.write_eof()
        return response


@dataclass(frozen=True, slots=True)
class Disconnect(Fault):
    """The connection ends with no answer at all."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Hang up at once."""
        _hang_up(request)
        return reply.response()


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """Another status, with an OCI error body where a `code` is given, else with `body`."""

    status: int = 500
    code: str = ""
    body: bytes = b"oops"
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Answer that status instead."""
        body = (
            b'{"errors":[{"code":"%s","message":"as told"}]}' % self.code.encode()
            if self.code
            else self.body
        )
        return Reply(self.status, body, self.headers).response()


@dataclass(frozen=True, slots=True)
class Throttled(Fault):
    """429 with `Retry-After` in `seconds`, as a number or `as_date`; None sends none."""

    seconds: float | None = 1
    as_date: bool = False

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Ask the client to wait."""
        headers = {}
        if self.seconds is not None:
            headers["Retry-After"] = (
                formatdate(time() + self.seconds, usegmt=True)
                if self.as_date
                else f"{self.seconds:g}"
            )
        body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}'
        return Reply(429, body, headers).response()


@dataclass(frozen=True, slots=True)
class Page(Fault):
    """A page for people with status 200, as proxies and log-in portals send it."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Answer HTML."""
        page = b"<!doctype html><title>Sign in</title><p>Please sign in."
        return Reply(200, page, {"Content-Type": "text/html"}).response()


@dataclass(frozen=True, slots=True)
class Redirect(Fault):
    """Elsewhere: `to` is the whole address."""

    to: str
    status: int = 307

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Answer with the address."""
        return Reply(self.status, b"", {"Location": self.to}).response()


@dataclass(frozen=True, slots=True)
class Expired(Fault):
    """What object storage says to a signed address that is too old."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """403 in XML."""
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        return Reply(403, body, {"Content-Type": "application/xml"}).response()


@dataclass(frozen=True, slots=True)
class IgnoreRange(Fault):
    """200 with everything, whatever `Range` asked for."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send the whole."""
        body = reply.body if reply.whole is None else reply.whole
        return Reply(200, body, {"Content-Type": "application/octet-stream"}).response()


@dataclass(frozen=True, slots=True)
class Lying416(Fault):
    """416 whose length is the whole blob's and whose body is 33 bytes (docker-registry 2.8)."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Announce much, send little, keep the connection open."""
        response = web.StreamResponse(status=416)
        response.content_length = 120_000
        await response.prepare(request)
        await response.write(b"x" * 33)
        for _ in range(100):
            if request.transport is None or request.transport.is_closing():
                break
            await asyncio.sleep(0.02)
        return response


@dataclass(frozen=True, slots=True)
class Headers(Fault):
    """The right body with headers changed; None takes one away."""

    changes: dict[str, str | None]
    status: int | None = None

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send the reply with other headers."""
        merged: dict[str, str | None] = {**reply.headers, **self.changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return Reply(self.status or reply.status, reply.body, kept).response()


@dataclass(frozen=True, slots=True)
class Body(Fault):
    """Another body with the right status and headers: a stale listing, another manifest."""

    body: bytes

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send other bytes."""
        return Reply(reply.status, self.body, reply.headers).response()


@dataclass(frozen=True, slots=True)
class Echo(Fault):
    """An error whose text repeats the credentials that the request carried, or a part of them."""

    status: int = 403
    part: int | None = None

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Tell the client, and its log, what it sent."""
        said = request.headers.get("Authorization", "")[: self.part]
        document = {"errors": [{"code": said or "DENIED", "message": f"not good: {said}"}]}
        return Reply(self.status, json.dumps(document).encode(), reply.headers).response()
