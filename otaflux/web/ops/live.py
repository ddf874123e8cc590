"""`/live`: which devices something happened to, as server-sent events, for pages that are open.

At most `most` watch at once, each with a queue of its own: who is slow loses names, and is told
that there were more. Nobody watches longer than `longest` in one go: who reads nothing would keep
a place for days, for small comments fit the kernel's buffers. What happens within a second is one
event. The source of the format is the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from otaflux.errors import Busy
from otaflux.model.names import Device
from otaflux.web.answers import Answer, http_date
from otaflux.web.ops.pages.frame import SAFE
from otaflux.web.written import Written

MOST = 100  # watchers
MOST_NAMES = 50  # devices that wait to be told to one of them
GATHERED = 1.0  # seconds that an event may wait for more to happen
SILENT = 15.0  # seconds after which a comment shows that the connection is still there
LONGEST = 600.0  # seconds that one may watch; pages begin again by themselves
RETRY_AFTER = 60.0

HEAD = Answer(
    200,
    (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), *SAFE),
)


class _Watcher:
    """One page: the devices that it was not told of yet."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.more = False
        self.woken = asyncio.Event()

    def note(self, name: str) -> None:
        if name not in self.names and len(self.names) >= MOST_NAMES:
            self.more = True
        else:
            self.names[name] = None
        self.woken.set()

    def take(self) -> bytes:
        """The event of all that was noted."""
        data = msgspec.json.encode({"devices": list(self.names), "more": self.more})
        self.names, self.more = {}, False
        self.woken.clear()
        return b"data: " + data + b"\n\n"


class Live:
    """Tells watchers; `changed` is for the journal."""

    def __init__(
        self,
        *,
        most: int = MOST,
        gathered: float = GATHERED,
        silent: float = SILENT,
        longest: float = LONGEST,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._most = most
        self._gathered = gathered
        self._silent = silent
        self._longest = longest
        self._sleep = sleep
        self._watchers: set[_Watcher] = set()
        self._is_over = False

    def end(self) -> None:
        """The server stops: end with everybody who watches, and begin with nobody."""
        self._is_over = True
        for watcher in self._watchers:
            watcher.woken.set()

    def __len__(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def changed(self, device: Device) -> None:
        """Something happened to a device."""
        for watcher in self._watchers:
            watcher.note(device.name)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send events until the client leaves; raises `Busy` where too many watch."""
        if request.method == "HEAD":
            return Written(HEAD, close=True)
        if self._is_over or len(self._watchers) >= self._most:
            raise Busy("Too many watch", retry_after=RETRY_AFTER)
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            date = http_date(int(time.time()))
            await request.writer.write(HEAD.render(date, version=request.version, keep_alive=False))
            async with asyncio.timeout(self._longest):
                await self._send(request, watcher)
        except ConnectionError:
            pass  # it left
        except TimeoutError:
            self._end(request.transport)
        finally:
            self._watchers.discard(watcher)
        return Written(HEAD, sent=True, close=True)

    def _end(self, transport: asyncio.BaseTransport | None) -> None:
        """End one that watched long; at once where it reads nothing."""
        if isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size():
            transport.abort()

    async def _send(self, request: web.BaseRequest, watcher: _Watcher) -> None:
        await request.writer.write(b": otaflux\n\n")
        while request.transport is not None and not request.transport.is_closing():
            try:
                async with asyncio.timeout(self._silent):
                    await watcher.woken.wait()
            except TimeoutError:
                await request.writer.write(b":\n\n")
                continue
            if self._is_over:
                return
            await self._sleep(self._gathered)
            await request.writer.write(watcher.take())
            await request.writer.drain()
