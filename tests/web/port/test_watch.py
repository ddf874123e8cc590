"""Sockets that are watched together, and one by one where the system has no epoll."""

from __future__ import annotations

import asyncio
import select
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import pytest

from otaflux.web.port.watch import AT_ONCE, OneByOne, Together, Watch

KINDS = [
    pytest.param(
        Together, marks=pytest.mark.skipif(not hasattr(select, "epoll"), reason="Linux has epoll")
    ),
    OneByOne,
]
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def pairs() -> Iterator[Callable[[int], list[tuple[socket.socket, socket.socket]]]]:
    """Makes pairs of sockets, the first of which is to be watched."""
    with ExitStack() as stack:

        def made(count: int) -> list[tuple[socket.socket, socket.socket]]:
            found = [socket.socketpair() for _ in range(count)]
            for sock in (sock for pair in found for sock in pair):
                stack.enter_context(sock)
                sock.setblocking(False)
            return found

        yield made


@each_kind
async def test_what_comes_is_heard_until_it_is_watched_no_more(
    kind: Callable[[], Watch], pairs: Any
) -> None:
    """Of the socket that it came on, also that the other side hung up; not after its removal."""
    heard: Counter[str] = Counter()
    (ours, theirs), (quiet, _) = pairs(2)
    with closing(kind()) as watch:
        watch.add(ours, lambda: heard.update({"ours": len(ours.recv(9))}))
        watch.add(quiet, lambda: heard.update(["quiet"]))
        theirs.send(b"abc")
        await asyncio.sleep(0.01)
        assert heard == {"ours": 3}
        watch.remove(ours)
        theirs.send(b"abc")
        await asyncio.sleep(0.01)
        assert heard == {"ours": 3}
        watch.add(ours, lambda: (heard.update(["end"]), watch.remove(ours)))
        theirs.close()
        await asyncio.sleep(0.01)
        assert heard == {"ours": 3, "end": 1}


@each_kind
async def test_one_may_remove_another_that_was_heard_in_the_same_moment(
    kind: Callable[[], Watch], pairs: Any
) -> None:
    """Whichever of the two comes first, the other is not called any more."""
    heard: list[socket.socket] = []
    both = pairs(2)
    with closing(kind()) as watch:

        def came(sock: socket.socket) -> None:
            heard.append(sock)
            for each, _ in both:
                watch.remove(each)
                each.close()

        for sock, other in both:
            watch.add(sock, partial(came, sock))
            other.send(b"x")
        await asyncio.sleep(0.01)
        assert len(heard) == 1


@each_kind
async def test_an_error_of_one_is_reported_and_the_others_are_heard(
    kind: Callable[[], Watch], pairs: Any
) -> None:
    """The loop hears of the error, and each of the other sockets is heard."""
    heard: set[int] = set()
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
    with closing(kind()) as watch:

        def came(number: int, sock: socket.socket) -> None:
            watch.remove(sock)
            heard.add(number)
            if number == 3:
                raise ValueError(number)

        for number, (sock, other) in enumerate(pairs(8)):
            watch.add(sock, partial(came, number, sock))
            other.send(b"x")
        await asyncio.sleep(0.02)
    assert heard == set(range(8))
    assert [str(error["exception"]) for error in errors] == ["3"]


async def test_sockets_that_are_always_ready_starve_nobody(pairs: Any) -> None:
    """Of more than are heard in one go each has its turn, and so have others of the loop."""
    count, passes = AT_ONCE * 5 // 2, 30
    heard: Counter[int] = Counter()
    with closing(Together()) as watch:
        for number, (sock, other) in enumerate(pairs(count)):
            watch.add(sock, partial(heard.update, [number]))
            other.send(b"x")
        loop = asyncio.get_running_loop()
        timer = loop.create_future()
        loop.call_later(0.001, timer.set_result, None)
        most, last = 0, 0
        for _ in range(passes):
            await asyncio.sleep(0)
            most, last = max(most, heard.total() - last), heard.total()
        await asyncio.wait_for(timer, 5)
    assert most <= AT_ONCE
    assert len(heard) == count
    assert max(heard.values()) - min(heard.values()) <= 1


@each_kind
async def test_nothing_is_heard_after_the_end(kind: Callable[[], Watch], pairs: Any) -> None:
    """Whoever still has a socket may remove it then as before."""
    heard: list[str] = []
    ((sock, other),) = pairs(1)
    watch = kind()
    watch.add(sock, lambda: heard.append("x"))
    watch.close()
    other.send(b"x")
    await asyncio.sleep(0.01)
    watch.remove(sock)
    assert heard == []
