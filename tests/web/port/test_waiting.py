"""Polls that wait until something else is told (`&wait=`)."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from waiting import until

from otaflux.model.names import Device
from otaflux.web.devices.longpolls import LongPolls
from otaflux.web.origin import Origins
from otaflux.web.port.parked import Parked


async def etag(server: PortServer) -> str:
    """What is told now, by its ETag."""
    return (await server.get("/version?device=lamp"))["ETag"]


@pytest.fixture(params=["from memory", "by aiohttp", "through a proxy"])
def kind(request: pytest.FixtureRequest) -> dict[str, object]:
    """Who answers."""
    return {
        "from memory": {},
        "by aiohttp": {"shortcut": False},
        "through a proxy": {"origins": Origins(trusted=(ip_network("127.0.0.0/8"),))},
    }[request.param]


async def test_the_answer_comes_when_something_else_is_told(
    tmp_path: Path, kind: dict[str, object]
) -> None:
    """At once where that is so already, else with the change, and 404 where nothing is left."""
    async with PortServer(tmp_path, **kind) as server:  # type: ignore[arg-type]
        server.publish(release("lamp", "1.0.0"))
        server.publish(release("pump", "1.0.0"), device="pump")
        first = {"If-None-Match": await etag(server)}
        target = "/version?device=lamp&wait=30"
        assert (await server.get(target)).status == 200
        assert (await server.get(target, {"If-None-Match": '"other"'})).status == 200
        polls = [asyncio.create_task(server.get(f"{target}&unit=u{n}", first)) for n in range(20)]
        polls.append(asyncio.create_task(server.get(target, {**first, "Connection": "close"})))
        await until(lambda: server.port_.connections == 21)
        await asyncio.sleep(0.02)
        server.publish(release("pump", "1.1.0"), device="pump")
        await asyncio.sleep(0.05)
        assert not any(poll.done() for poll in polls)
        server.publish(release("lamp", "1.1.0"))
        for reply in await asyncio.wait_for(asyncio.gather(*polls), 5):
            assert reply.status == 200
            assert reply.body.startswith(b"1.1.0\n")
        second = {"If-None-Match": await etag(server)}
        last = asyncio.create_task(server.get(target, second))
        await until(lambda: server.port_.connections == 1)
        await asyncio.sleep(0.02)
        server.publish(None, withdrawn=True)
        assert (await asyncio.wait_for(last, 5)).status == 404


async def test_a_wait_ends_with_304_and_the_connection_lives_on(
    tmp_path: Path, kind: dict[str, object]
) -> None:
    """What was sent meanwhile is answered behind it, in order; a client may hang up as well."""
    async with PortServer(tmp_path, **kind) as server:  # type: ignore[arg-type]
        server.publish(release("lamp", "1.0.0"))
        headers = f"Host: x\r\nIf-None-Match: {await etag(server)}\r\n\r\n".encode()
        poll = b"GET /version?device=lamp&wait=1 HTTP/1.1\r\n" + headers
        async with await server.connect() as connection, await server.connect() as another:
            began = time.monotonic()
            await another.send(poll)
            await connection.send(poll)
            await asyncio.sleep(0.02)
            await another.close()
            await connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.95)
            server.clock.value += 1
            assert (await connection.reply()).status == 304
            assert 0.9 < time.monotonic() - began < 2
            assert (await connection.reply()).body == b"ok"
            assert (await connection.get("/version?device=lamp")).status == 200
        half_closed = asyncio.create_task(server.raw(poll))
        await asyncio.sleep(0.95)
        server.clock.value += 1
        assert (await half_closed).startswith(b"HTTP/1.1 304")


@pytest.mark.parametrize("wait", ["0", "61", "-1", "1.5", "a", "", "999", "%31%30%30"])
async def test_a_wait_that_cannot_be_one_is_refused(tmp_path: Path, wait: str) -> None:
    """With what it may be."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        for _ in range(2):
            reply = await server.get(f"/version?device=lamp&wait={wait}")
            assert reply.status == 400
            assert b"1 to 60" in reply.body


async def test_an_end_answers_who_waits(tmp_path: Path) -> None:
    """The server does not wait for them."""
    server = PortServer(tmp_path, shutdown_timeout=20)
    await server.__aenter__()
    server.publish(release("lamp", "1.0.0"))
    headers = {"If-None-Match": await etag(server)}
    waits = asyncio.create_task(server.get("/version?device=lamp&wait=60", headers))
    await until(lambda: server.port_.connections == 1)
    await asyncio.sleep(0.02)
    began = time.monotonic()
    await server.__aexit__(None, None, None)
    assert time.monotonic() - began < 5
    assert (await waits).status == 304


class Again:
    """A poll behind which others wait in the same connection, of so many seconds each."""

    def __init__(self, parked: Parked, seconds: list[int]) -> None:
        self.parked, self.seconds = parked, seconds

    def changed(self) -> None:
        """Nothing changes here."""

    def waited(self) -> None:
        """The next one waits."""
        if self.seconds:
            self.parked.enter(self, Device("lamp"), self.seconds.pop())


async def test_polls_that_wait_again_cost_what_others_cost() -> None:
    """However many are sent behind each other: one look at the clock in each twentieth second."""
    wrong: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    now, looks = 0.0, 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now

    parked = Parked(clock)
    polls = [Again(parked, [60, 5 + number, 1]) for number in range(30)]
    for poll in polls:
        parked.enter(poll, Device("lamp"), 1)
    for now, left in ((1.0, 2), (2.0, 1), (40.0, 0)):  # noqa: B007 - what the clock says
        await until(lambda left=left: all(len(poll.seconds) == left for poll in polls))
    looks = 0
    await asyncio.sleep(0.3)
    assert not wrong
    assert len(parked) == 30
    assert looks <= 7


async def test_many_waits_that_end_at_once_let_others_go_first() -> None:
    """They end some at a time, all of them soon."""
    now, ended, between = 0.0, 0, []
    parked = Parked(lambda: now)

    class Ends:
        def changed(self) -> None:
            """Nothing changes here."""

        def waited(self) -> None:
            nonlocal ended
            ended += 1

    for _ in range(1000):
        parked.enter(Ends(), Device("lamp"), 1)
    now = 1.0
    while ended < 1000:
        await asyncio.sleep(0)
        between.append(ended)
    steps = [after - before for before, after in pairwise(between)]
    assert max(steps) <= 100
    assert not len(parked)


async def test_a_change_wakes_polls_that_aiohttp_has_some_at_a_time() -> None:
    """All of them soon; one that waits on is woken by the next change, and an end wakes all."""
    polls, looked, steps = LongPolls(), 0, []
    is_over = False

    async def is_other() -> bool:
        nonlocal looked
        looked += 1
        return is_over

    waiting = [asyncio.create_task(polls.until(Device("lamp"), 30, is_other)) for _ in range(500)]
    gone, stays = waiting.pop(), asyncio.create_task(polls.until(Device("pump"), 30, is_other))
    await asyncio.sleep(0)
    gone.cancel()
    for is_over in (False, True):  # noqa: B007 - what `is_other` says
        looked, before = 0, 0
        polls.hear(Device("lamp"), None)
        while looked < len(waiting):
            await asyncio.sleep(0)
            steps.append(looked - before)
            before = looked
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    assert max(steps) <= 20
    assert not stays.done()
    polls.close()
    await asyncio.wait_for(stays, 1)
    await asyncio.wait_for(polls.until(Device("lamp"), 30, is_other), 1)
