"""A port between a registry and OtaFlux, that is as bad as networks and deployments are.

async with HookPort(running.url) as port:       # port.url is what the registry gets
    port.does("errs")                           # each hook is answered 500
    port.does("hangs")                          # … is never answered
    await port.refuse()                         # nothing listens there
    await port.listen()                         # … and again, at the same port
    port.does("swallows")                       # … reaches OtaFlux, whose answer is lost
    port.does("passes")                         # … and its answer pass
    assert port.seen["hangs"] > 0               # how many hooks came while it did so
"""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Literal, Self

import aiohttp
from aiohttp import web

Doing = Literal["passes", "errs", "hangs", "swallows"]


class HookPort:
    """See the module. `upstream` is where hooks go; `passed` are the statuses that came back."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._does: Doing = "passes"
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._ends = asyncio.Event()
        self._news = asyncio.Event()
        self.seen: Counter[str] = Counter()
        self.passed: Counter[int] = Counter()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.refuse()

    @property
    def url(self) -> str:
        """Where the registry sends its hooks."""
        return f"http://127.0.0.1:{self._port}"

    def does(self, what: Doing) -> None:
        """What happens to hooks from now on; those that hang are let go."""
        self._does = what
        self._ends.set()
        self._ends = asyncio.Event()

    async def listen(self) -> None:
        """Take connections, at the same port each time."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._hook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Take no connections, and end those that there are."""
        self.does(self._does)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def came(self, what: Doing, number: int) -> None:
        """Return once so many hooks came while the port did that."""
        while self.seen[what] < number:
            self._news.clear()
            await self._news.wait()

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        doing, ends = self._does, self._ends
        self.seen[doing] += 1
        self._news.set()
        body = await request.read()
        answer = web.Response(status=500)
        if doing in {"passes", "swallows"}:
            headers = {
                name: value
                for name, value in request.headers.items()
                if name in {"Authorization", "Content-Type", "User-Agent"}
            }
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    self._upstream + request.path_qs, data=body, headers=headers
                ) as response,
            ):
                self.passed[response.status] += 1
                answer = web.Response(status=response.status, body=await response.read())
        if doing in {"hangs", "swallows"}:
            await ends.wait()
        return answer
