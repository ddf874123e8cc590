"""The port that devices and hooks reach: listens, owns its connections, ends them in good order.

One event loop and one way in: who answers is handed in as one function. Connections are counted
from accept on, whatever becomes of them, and looked through every few seconds, so that an idle one
costs no timer. Where there are `max_connections`, the one that was silent longest makes way for the
next; where none was silent, the next gets a small answer and is closed, for past the limit on open
files the kernel would leave it waiting without one.

At the end nothing new is accepted, idle connections close at once, and requests under way have
`shutdown_timeout` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, cast

from aiohttp import web

from otaflux.log import Event, log
from otaflux.web.devices.downloads import Downloads
from otaflux.web.port.acceptor import Acceptor
from otaflux.web.port.addresses import Answers
from otaflux.web.port.connection import Begun, Connections
from otaflux.web.port.expiry import Expiry
from otaflux.web.port.fastpath import FastPath
from otaflux.web.port.handler import Handler
from otaflux.web.port.listening import listen
from otaflux.web.port.requestcache import RequestCache
from otaflux.web.port.secure import Secure
from otaflux.web.port.tls import Certificate
from otaflux.web.port.watch import watch

LAST = 1.0  # seconds for handlers that were cut off to notice
LOOK_EVERY = 5  # seconds between two looks at all connections and downloads


class Port:
    """One listening address, whose requests `answer` answers; an async context manager.

    `setting` is what an address that cannot be listened on is blamed on: entering raises
    `BadSetting`, or `Undecided` where the certificate cannot be read. Without a `cache` all goes to
    aiohttp, without a `certificate` there is no TLS, without `downloads` no firmware. `unreadable`
    hears of requests that are no HTTP, see `Handler`.
    """

    def __init__(
        self,
        answer: Answers,
        host: str,
        port: int,
        *,
        setting: str = "LISTEN_ADDR",
        cache: RequestCache | None = None,
        downloads: Downloads | None = None,
        certificate: Certificate | None = None,
        unreadable: Callable[[str, bytes], object] = lambda _client, _began: None,
        max_connections: int = 10_000,
        shutdown_timeout: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._wanted = port
        self._setting = setting
        self._answer = answer
        self._cache = cache
        self._downloads = downloads
        self._certificate = certificate
        self._unreadable = unreadable
        self._shutdown_timeout = shutdown_timeout
        self._clock = clock
        self._expiry = Expiry(certificate, clock=clock, now=now) if certificate else None
        self._sleep = sleep
        self._open = Connections(max_connections)
        self._aiohttp: web.Server | None = None
        self._acceptor: Acceptor | None = None
        self._port = port
        self._beat: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens, as a URL without a slash at the end."""
        scheme = "https" if self._certificate else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        secure = Secure(self._certificate, self._clock) if self._certificate else None
        sockets = await listen(self._host, self._wanted, setting=self._setting)
        self._port = sockets[0].getsockname()[1]
        self._aiohttp = web.Server(self._answer)
        self._acceptor = Acceptor(
            self._protocol,
            connections=self._open,
            watch=watch(),
            cache=self._cache,
            secure=secure,
            clock=self._clock,
        )
        for sock in sockets:
            self._acceptor.listen(sock)
        self.look()
        self._beat = asyncio.create_task(self._look_after())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._beat is not None:
            self._beat.cancel()
        await self._close()
        if self._cache is not None:
            self._cache.close()

    def look(self) -> None:
        """End what is idle or stalled for too long, and warn of a certificate's end."""
        now = self._clock()
        for connection in self._open:
            connection.check_idle(now)
        if self._downloads is not None:
            self._downloads.look()
        if self._expiry is not None:
            self._expiry.look()

    async def _look_after(self) -> None:
        seconds = 0
        while True:
            await self._sleep(1)
            seconds += 1
            try:
                if self._cache is not None:
                    self._cache.forget_tokens()
                    self._cache.counts.gather()
                    while self._cache.counts.tell_some():
                        await self._sleep(0)  # others have their turn
                if self._downloads is not None:
                    self._downloads.make_way()
                if seconds % LOOK_EVERY == 0:
                    self.look()
            except Exception:  # noqa: BLE001 - a bug in one look must not end all others
                log.exception(Event.TASK_CRASHED, task="looking after connections")

    def _protocol(self, begun: Begun) -> asyncio.BaseProtocol:
        """Whoever takes a new connection."""
        if self._cache is None:
            return self._handler(begun)
        cache = self._cache.behind if begun.shared else self._cache
        return FastPath(cache, connections=self._open, to_aiohttp=self._handler, begun=begun)

    def _handler(self, begun: Begun) -> Handler:
        server = cast("web.Server", self._aiohttp)
        sends = self._downloads.uses if self._downloads is not None else _never
        return Handler(
            server,
            loop=asyncio.get_running_loop(),
            connections=self._open,
            sends=sends,
            unreadable=self._unreadable,
            begun=begun,
        )

    async def _close(self) -> None:
        if self._acceptor is None or self._aiohttp is None:
            return
        await self._acceptor.close()
        await asyncio.sleep(0)  # what was read before now is begun, and so not idle
        for connection in self._open:
            connection.close_idle()
        self._aiohttp.pre_shutdown()
        try:
            async with asyncio.timeout(self._shutdown_timeout):
                await self._aiohttp.shutdown(self._shutdown_timeout)
                if self._downloads is not None:
                    await self._downloads.over()
        except TimeoutError:
            log.warning(Event.DOWNLOADS_CUT, open=len(self._open))
        if self._downloads is not None:
            self._downloads.drop_all()
        for connection in self._open:
            connection.abort()
        await self._aiohttp.shutdown(LAST)


def _never(transport: asyncio.BaseTransport) -> bool:
    return False
