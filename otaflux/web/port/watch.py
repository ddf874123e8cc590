"""Sockets that are watched together, as one reader of the event loop.

For each socket of which something came asyncio does as much in Python as an answer to a poll takes
here. So the loop hears only that something came on any of them, and an epoll of our own says on
which. Where the system has none (macOS), each is a reader of the loop. On the event loop.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Protocol

AT_ONCE = 128  # sockets heard in one go, in a millisecond or two; others have their turn in between

Came = Callable[[], object]


class Watch(Protocol):
    """Calls `came` of a socket while something can be read of it, or its other side is gone.

    An error of `came` is the loop's to report; others are heard in the next go.
    """

    def add(self, sock: socket.socket, came: Came) -> None:
        """Watch a socket that is not watched yet."""
        ...

    def remove(self, sock: socket.socket) -> None:
        """Watch it no more; to be called before it is closed or in other hands."""
        ...

    def close(self) -> None:
        """Hear of none any more."""
        ...


def watch() -> Watch:
    """The one that suits the system."""
    return Together() if hasattr(select, "epoll") else OneByOne()


class Together:
    """An epoll, level-triggered like the loop's; the kernel says in turns which sockets are ready.

    It is one open file more.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._came: dict[int, Came] = {}
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._hear)

    def add(self, sock: socket.socket, came: Came) -> None:
        """See `Watch`."""
        number = sock.fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._came[number] = came

    def remove(self, sock: socket.socket) -> None:
        """See `Watch`."""
        number = sock.fileno()
        del self._came[number]
        if not self._epoll.closed:
            self._epoll.unregister(number)

    def close(self) -> None:
        """See `Watch`."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _hear(self) -> None:
        for number, _ in self._epoll.poll(0, AT_ONCE):
            # None where one that was heard before it removed it.
            came = self._came.get(number)
            if came is not None:
                came()


class OneByOne:
    """Each socket is a reader of the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched: set[socket.socket] = set()

    def add(self, sock: socket.socket, came: Came) -> None:
        """See `Watch`."""
        self._watched.add(sock)
        self._loop.add_reader(sock, came)

    def remove(self, sock: socket.socket) -> None:
        """See `Watch`."""
        self._watched.discard(sock)
        self._loop.remove_reader(sock)

    def close(self) -> None:
        """See `Watch`."""
        for sock in list(self._watched):
            self.remove(sock)
