"""HTTP without a network: a request's bytes go to a protocol, and what it writes comes back.

Each request has a connection of its own, which ends with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from otaflux.web.port.addresses import Answers
from otaflux.web.port.connection import NOTHING, Begun, Connections
from otaflux.web.port.fastpath import FastPath
from otaflux.web.port.handler import Handler
from otaflux.web.port.requestcache import RequestCache


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.body!r}"


class _Pipe(asyncio.Transport):
    """One connection, seen from the server; `ended` once it is closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 40000), "sockname": ("192.0.2.1", 8080)})
        self._protocol: asyncio.BaseProtocol
        self._closing = False
        self.sent = bytearray()
        self.ended = asyncio.get_running_loop().create_future()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Whom bytes go to from now on."""
        self._protocol = protocol

    def write(self, data: Any) -> None:
        """The client takes all, at once."""
        self.sent += data

    def get_write_buffer_size(self) -> int:
        """Nothing ever waits."""
        return 0

    def is_closing(self) -> bool:
        """Whether it is."""
        return self._closing

    def can_write_eof(self) -> bool:
        """Closing one side would need a client that waits for it."""
        return False

    def pause_reading(self) -> None:
        """Nothing more will come."""

    def resume_reading(self) -> None:
        """Nothing more will come."""

    def close(self) -> None:
        """End it."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._over)

    abort = close

    def _over(self) -> None:
        if isinstance(self._protocol, asyncio.Protocol):
            self._protocol.connection_lost(None)
        if not self.ended.done():
            self.ended.set_result(None)


class Front(Protocol):
    """Who answers: an `Edge`, or operators, who have no cache."""

    @property
    def answer(self) -> Answers:
        """What aiohttp calls."""
        ...

    @property
    def cache(self) -> RequestCache | None:
        """What the shortcut knows."""
        ...


class Wire:
    """The way to one `Front`."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._open = Connections(1000)
        self._server: web.Server

    async def open(self) -> None:
        """To be awaited first."""
        self._server = web.Server(self._front.answer)

    async def post(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send a hook."""
        head = {"Host": "otaflux", "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"POST {path} HTTP/1.1", *(f"{n}: {v}" for n, v in {**head, **headers}.items())]
        return await self._ask(self._handler(NOTHING), "\r\n".join(lines).encode(), body)

    async def get(self, path: str, headers: str = "", method: str = "GET") -> Answer:
        """Ask as a device does: the shortcut has the first look."""
        lines = f"{method} {path} HTTP/1.1\r\nHost: otaflux\r\n{headers}Connection: close"
        cache = self._front.cache
        if cache is None:
            return await self._ask(self._handler(NOTHING), lines.encode())
        shortcut = FastPath(cache, connections=self._open, to_aiohttp=self._handler)
        return await self._ask(shortcut, lines.encode())

    def _handler(self, begun: Begun) -> Handler:
        loop = asyncio.get_running_loop()
        return Handler(
            self._server, loop=loop, connections=self._open, sends=lambda _: False, begun=begun
        )

    async def _ask(self, protocol: asyncio.Protocol, head: bytes, body: bytes = b"") -> Answer:
        pipe = _Pipe()
        pipe.set_protocol(protocol)
        protocol.connection_made(pipe)
        protocol.data_received(head + b"\r\n\r\n" + body)
        await pipe.ended
        top, _, rest = bytes(pipe.sent).partition(b"\r\n\r\n")
        status, *fields = top.decode().split("\r\n")
        named = (field.split(": ", 1) for field in fields)
        return Answer(int(status.split()[1]), {name.lower(): value for name, value in named}, rest)
