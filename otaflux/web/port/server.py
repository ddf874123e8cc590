"""The port that devices and hooks reach: listens, owns its connections, ends them in good order.

One event loop and one way in: who answers is handed in as one function. A connection begins in a
`FastPath`, where there is a `RequestCache`, and else with aiohttp; both are in one set, which is
looked through every few seconds, so that an idle one costs no timer.
Where there are more than `max_connections`, each further one gets a small answer and is closed, for
past the limit on open files the kernel would leave it waiting without one.

At the end nothing new is accepted, idle connections close at once, and requests under way have
`shutdown_timeout` seconds.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, cast

from aiohttp import web

from otaflux.log import Event, log
from otaflux.web import answers
from otaflux.web.answers import http_date
from otaflux.web.devices.downloads import Downloads
from otaflux.web.port.acceptor import ACCEPT, Acceptor
from otaflux.web.port.addresses import Answers
from otaflux.web.port.connection import NOTHING, Begun, Connection
from otaflux.web.port.fastpath import FastPath
from otaflux.web.port.handler import KEEPALIVE, Handler
from otaflux.web.port.listening import BACKLOG, listen
from otaflux.web.port.requestcache import CachedAnswer, RequestCache
from otaflux.web.port.tls import GOODBYE, HANDSHAKE, Certificate

LAST = 1.0  # seconds for handlers that were cut off to notice
LOOK_EVERY = 5  # seconds between two looks at all connections and downloads


class Port:
    """One listening address, whose requests `answer` answers; an async context manager.

    `setting` is what an address that cannot be listened on is blamed on: entering raises
    `BadSetting`, or `Undecided` where the certificate cannot be read. Without a `cache` all goes to
    aiohttp, without a `certificate` there is no TLS, without a `sender` no firmware. `unreadable`
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
        sender: Downloads | None = None,
        certificate: Certificate | None = None,
        unreadable: Callable[[str, bytes], object] = lambda _client, _began: None,
        max_connections: int = 10_000,
        shutdown_timeout: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._wanted = port
        self._setting = setting
        self._answer = answer
        self._cache = cache
        self._sender = sender
        self._certificate = certificate
        self._unreadable = unreadable
        self._max_connections = max_connections
        self._shutdown_timeout = shutdown_timeout
        self._clock = clock
        self._sleep = sleep
        self._live: set[Connection] = set()
        self._crowded = False
        self._aiohttp: web.Server | None = None
        self._sockets: list[socket.socket] = []
        self._port = port
        self._servers: list[asyncio.Server] = []
        self._beat: asyncio.Task[None] | None = None
        self._arrivals: Acceptor | None = None
        if cache is not None and certificate is None:
            self._arrivals = Acceptor(
                cache, self._protocol, live=self._live, crowded=self._is_crowded
            )

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
        return len(self._live)

    async def __aenter__(self) -> Self:
        context = self._certificate.context() if self._certificate else None
        self._sockets = await listen(self._host, self._wanted, setting=self._setting)
        self._port = self._sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        try:
            self._aiohttp = web.Server(self._answer)
            for sock in self._sockets:
                if self._arrivals is not None:
                    self._arrivals.listen(sock)
                    continue
                server = await loop.create_server(
                    self._protocol,
                    sock=sock,
                    ssl=context,
                    backlog=ACCEPT,
                    ssl_handshake_timeout=HANDSHAKE if context else None,
                    ssl_shutdown_timeout=GOODBYE if context else None,
                )
                self._servers.append(server)
                # asyncio has one number for how many wait and for how many are accepted in one go.
                sock.listen(BACKLOG)
        except BaseException:
            await self._close()
            raise
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
            self._cache.report()

    def look(self) -> None:
        """End what is idle or stalled for too long."""
        now = self._clock()
        for live in list(self._live):
            live.check_idle(now)
        if self._sender is not None:
            self._sender.look()

    async def _look_after(self) -> None:
        seconds = 0
        while True:
            await self._sleep(1)
            seconds += 1
            try:
                if self._cache is not None:
                    self._cache.report()
                if seconds % LOOK_EVERY == 0:
                    self.look()
            except Exception:  # noqa: BLE001 - a bug in one look must not end all others
                log.error(Event.REQUEST_CRASHED, reason="looking after connections", exc_info=True)

    def _protocol(self, begun: Begun = NOTHING) -> asyncio.Protocol:
        """Whoever takes a new connection."""
        if self._is_crowded():
            return _TurnedAway(self._live, self._clock)
        if self._cache is None or begun.shared:
            return self._handler(begun)
        known = begun.found if isinstance(begun.found, CachedAnswer) else None
        if begun.data and known is None:
            return self._handler(begun)
        return FastPath(self._cache, live=self._live, to_aiohttp=self._handler, known=known)

    def _is_crowded(self) -> bool:
        crowded = len(self._live) >= self._max_connections
        if crowded is not self._crowded:
            self._crowded = crowded
            if crowded:
                log.warning(Event.CONNECTIONS_CROWDED, open=len(self._live))
        return crowded

    def _handler(self, begun: Begun = NOTHING) -> Handler:
        server = cast("web.Server", self._aiohttp)
        sends = self._sender.uses if self._sender is not None else _never
        return Handler(
            server,
            loop=asyncio.get_running_loop(),
            live=self._live,
            sends=sends,
            unreadable=self._unreadable,
            begun=begun,
        )

    async def _close(self) -> None:
        if self._arrivals is not None:
            await self._arrivals.close()
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        ours = self._aiohttp
        if ours is not None:
            await asyncio.sleep(0)  # what was read before now is begun, and so not idle
            for live in list(self._live):
                live.close_idle()
            ours.pre_shutdown()
            try:
                async with asyncio.timeout(self._shutdown_timeout):
                    await ours.shutdown(self._shutdown_timeout)
            except TimeoutError:
                log.warning(Event.DOWNLOADS_CUT, open=len(self._live))
        self._cut()
        if ours is not None:
            await ours.shutdown(LAST)

    def _cut(self) -> None:
        if self._sender is not None:
            self._sender.drop_all()
        for live in list(self._live):
            live.abort()


class _TurnedAway(asyncio.Protocol):
    """A connection too many: whatever it asks, the answer is that it may ask again soon.

    The answer waits for the question, for a client that reads only then would miss it.
    """

    _transport: asyncio.Transport

    def __init__(self, live: set[Connection], clock: Callable[[], float]) -> None:
        self._live = live
        self._since = clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._live.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer, and close."""
        date = http_date(int(time.time()))
        self._transport.write(answers.busy().render(date, keep_alive=False))
        self._transport.close()

    def check_idle(self, now: float) -> None:
        """End it when nothing was asked."""
        if now - self._since >= KEEPALIVE:
            self._transport.abort()

    def close_idle(self) -> None:
        """End it, for nothing was asked yet."""
        self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()


def _never(transport: asyncio.BaseTransport) -> bool:
    return False
