"""The connections that are open, from the moment in which they were accepted.

Each is one open file, and there are only so many. Where another one comes, the one that was silent
longest makes way for it; who asked for something stays. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

import msgspec
from aiohttp.http import RawRequestMessage

from otaflux.web.port.cachedanswer import CachedAnswer, CachedDownload

PROMPT = 1  # seconds in which a connection that gets no place is closed, whatever it does


class Connection(Protocol):
    """One open connection, in whoever's hands it is."""

    def check_idle(self, now: float) -> None:
        """End it if it is idle or stalled for too long; `now` is of the port's clock."""
        ...

    def close_idle(self) -> None:
        """End it if it is idle, for the server ends."""
        ...

    def turn_away(self) -> None:
        """End it within `PROMPT` seconds, with a small answer where it can get one."""
        ...

    def abort(self) -> None:
        """End it at once, whatever is still to be sent."""
        ...


class Connections:
    """All that are open, at most `most`.

    A connection `enter`s before the one whose place it takes over `leave`s, so that it is counted
    at each moment. While it is silent, it may have to make way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Connection, None] = {}
        self._silent: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._open

    @property
    def are_full(self) -> bool:
        """Whether there is no place for one more."""
        return len(self._open) >= self._most

    def enter(self, connection: Connection, *, asked: bool = False) -> None:
        """A connection is open."""
        self._open[connection] = None
        if not asked:
            self._silent[connection] = None

    def note_asked(self, connection: Connection) -> None:
        """A whole request came of it: from now on it need not make way."""
        self._silent.pop(connection, None)

    def leave(self, connection: Connection) -> None:
        """It is closed, or in other hands."""
        self._open.pop(connection, None)
        self._silent.pop(connection, None)

    def make_way(self) -> bool:
        """Have the one that was silent longest end; returns whether there was one."""
        longest = next(iter(self._silent), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.turn_away()
        return True


class Begun(msgspec.Struct, frozen=True):
    """What is known of a connection that is handed over.

    `data` was read of it, and `found` is what the cache of requests knows that to be. A `shared`
    one is a trusted proxy's: many clients may use it. One that `asked` for something before need
    not make way; it was `told` that last, at `told_at`, and is `owed` the rest of the answer.
    """

    data: bytes = b""
    found: CachedAnswer | CachedDownload | RawRequestMessage | None = None
    shared: bool = False
    asked: bool = False
    told: CachedAnswer | None = None
    told_at: float = 0.0
    owed: bytes = b""


NOTHING = Begun()


def close(transport: asyncio.Transport) -> None:
    """Close a connection once what was written went; a second call does nothing.

    A TLS transport of asyncio that is closed twice forgets its connection: nothing could end it
    then while its client says nothing more.
    """
    if not transport.is_closing():
        transport.close()


def cut(transport: asyncio.Transport) -> None:
    """End a connection at once, whatever is still to be sent."""
    # Python 3.11 up to 3.11.4 raises over a TLS transport that somebody else closed twice.
    with suppress(AttributeError):
        transport.abort()


def send_away(transport: asyncio.Transport, answer: bytes) -> None:
    """Write the last answer of a connection and close it, within `PROMPT` seconds."""
    transport.write(answer)
    close(transport)
    # Closing waits for a client that takes nothing, and TLS for one that says nothing more.
    asyncio.get_running_loop().call_later(PROMPT, cut, transport)
