"""`/live`: pages hear of changes, within bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from waiting import until

from otaflux.errors import Busy
from otaflux.model.names import Device
from otaflux.web.ops.live import MOST_NAMES, Live
from otaflux.web.port.server import Port
from otaflux.web.refusals import refuse
from otaflux.web.written import Written


class Watching:
    """One connection to `/live`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def line(self) -> str:
        """The next line that is not empty."""
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 5)).decode().strip()
            if line or self.reader.at_eof():
                return line

    async def event(self) -> dict[str, object]:
        """The next event."""
        while not (line := await self.line()).startswith("data: "):
            assert line
        return dict(json.loads(line.removeprefix("data: ")))


class Hall:
    """A port where only `live` is answered, and who watches there."""

    def __init__(self, live: Live, port: Port, open_: AsyncExitStack) -> None:
        self.live, self._port, self._open = live, port, open_

    async def watch(self, method: str = "GET") -> Watching:
        """Begin to watch."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port.port)
        self._open.callback(writer.close)
        writer.write(f"{method} /live HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return Watching(reader, writer)

    async def begun(self) -> Watching:
        """The same, from its first comment on."""
        watching = await self.watch()
        assert await watching.line() == "HTTP/1.1 200 OK"
        while await watching.line() != ": otaflux":
            pass
        return watching


@asynccontextmanager
async def served(live: Live) -> AsyncIterator[Hall]:
    """See `Hall`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await live.answer(request)
        except Busy as error:
            return Written(refuse(error))

    async with (
        AsyncExitStack() as open_,
        Port(answer, "127.0.0.1", 0, shutdown_timeout=0.1) as port,
    ):
        yield Hall(live, port, open_)


async def test_what_happens_is_told_to_all_who_watch() -> None:
    """What happens together is one event."""
    live = Live(gathered=0.05)
    async with served(live) as hall:
        both = [await hall.begun(), await hall.begun()]
        assert len(live) == 2
        for name in ("lamp", "door", "lamp"):
            live.changed(Device(name))
        for each in both:
            assert await each.event() == {"devices": ["lamp", "door"], "more": False}


async def test_who_is_slow_hears_that_there_was_more() -> None:
    """Each holds so many names."""
    live = Live(gathered=0.05)
    async with served(live) as hall:
        watching = await hall.begun()
        for number in range(MOST_NAMES + 10):
            live.changed(Device(f"d{number}"))
        event = await watching.event()
        assert event["more"] is True
        assert isinstance(event["devices"], list)
        assert len(event["devices"]) == MOST_NAMES


async def test_too_many_do_not_watch() -> None:
    """The next is told to come again; a place is free once somebody left."""
    live = Live(most=2, gathered=0.0, silent=0.05)
    async with served(live) as hall:
        first, _ = await hall.begun(), await hall.begun()
        refused = await hall.watch()
        assert "503" in await refused.line()
        first.writer.close()
        await until(lambda: len(live) < 2)
        await hall.begun()


async def test_a_silent_watch_shows_that_it_is_there_and_ends_with_the_server() -> None:
    """By a comment now and then."""
    live = Live(silent=0.02)
    async with served(live) as hall:
        watching = await hall.begun()
        assert await watching.line() == ":"
    assert await watching.reader.read() is not None
    assert len(live) == 0


async def test_the_server_s_end_is_the_end_of_watching() -> None:
    """At once, and nobody begins to watch any more."""
    live = Live()
    async with served(live) as hall:
        watching = await hall.begun()
        live.end()
        assert await asyncio.wait_for(watching.reader.read(), 5) == b"\n"
        assert "503" in await (await hall.watch()).line()


async def test_head_of_it_ends_at_once() -> None:
    """There is nothing to wait for."""
    live = Live()
    async with served(live) as hall:
        watching = await hall.watch("HEAD")
        assert await watching.line() == "HTTP/1.1 200 OK"
        assert b"text/event-stream" in await asyncio.wait_for(watching.reader.read(), 5)
        assert len(live) == 0


async def test_nobody_keeps_a_place_for_ever() -> None:
    """Who reads nothing loses it, and a page that is there begins to watch again."""
    live = Live(most=1, longest=0.1)
    async with served(live) as hall:
        watching = await hall.begun()
        assert "503" in await (await hall.watch()).line()
        await until(lambda: len(live) == 0)
        await hall.begun()
        assert await asyncio.wait_for(watching.reader.read(), 5) == b"\n"
