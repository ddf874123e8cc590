"""Messages that wait to be sent and are not kept by the broker: one for each of many keys.

While the broker is away the newest are held, a bounded number. When it is back, others who are to
hear them may be connected again later than we are: what is sent within `SETTLED` seconds of such a
connection is sent once more at their end, the same bytes, so that who heard them knows. Where that
connection was lost too, and for so long that nobody takes those bytes any more, it is made anew. On
one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

from otaflux.broker.seal import FRESH
from otaflux.events import BrokerSent, Events

MOST = 10_000  # messages held; then the oldest goes
SETTLED = 15.0  # seconds: the longest wait between two connections, its jitter and the greeting

_Make = Callable[[], bytes]
_Held = dict[Hashable, tuple[str, _Make]]


class Publishes(Protocol):
    """What is needed of a connection to the broker; see `session.py`."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send a message; raises `Undecided`."""
        ...


class Outbox:
    """Sends messages of one `kind`.

    After the first of two connections all is sent once more `settled` seconds later; what was made
    more than `fresh` seconds before is made anew then.
    """

    def __init__(
        self,
        kind: str,
        *,
        events: Events,
        most: int = MOST,
        settled: float = SETTLED,
        fresh: float = FRESH / 2,
    ) -> None:
        self._kind = kind
        self._events = events
        self._most = most
        self._settled = settled
        self._fresh = fresh
        self._held: _Held = {}
        # What was sent and is to be once more: as it was made, and when.
        self._again: dict[Hashable, tuple[str, _Make, bytes, float]] = {}
        self._was_connected = False
        self._sending = 0
        self._came = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait, or are on their way, for the first time."""
        return len(self._held) + self._sending

    def put(self, key: Hashable, topic: str, make: _Make) -> None:
        """Have a message sent, in the place of one of the same key that still waits.

        `make` is called when its turn comes, for a message may say when it was sent.
        """
        self._held.pop(key, None)
        self._held[key] = (topic, make)
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]
        self._came.set()

    async def serve(self, session: Publishes) -> None:
        """Send what comes, over one connection; raises `Undecided`."""
        until = asyncio.get_running_loop().time() + self._settled
        is_again, self._was_connected = self._was_connected, True
        while True:
            self._came.clear()
            await self._send_held(session, repeat=is_again)
            if is_again and not await self._came_by(until):
                is_again = False
                await self._send_again(session)
            if not self._held:
                await self._came.wait()

    async def _came_by(self, until: float) -> bool:
        """Wait for a message, until that time of the loop; whether there is one."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._came.wait()
        return bool(self._held) and asyncio.get_running_loop().time() < until

    async def _send_held(self, session: Publishes, *, repeat: bool) -> None:
        batch, self._held = self._held, {}
        self._sending = len(batch)
        try:
            async with asyncio.TaskGroup() as sending:
                for key, (topic, make) in tuple(batch.items()):
                    message = make()
                    sending.create_task(self._send_one(session, batch, key, topic, message))
                    if repeat and len(self._again) < self._most:
                        now = asyncio.get_running_loop().time()
                        self._again[key] = (topic, make, message, now)
        except BaseException:
            self._held = {**batch, **self._held}
            raise
        finally:
            self._sending = 0

    async def _send_one(
        self, session: Publishes, batch: _Held, key: Hashable, topic: str, message: bytes
    ) -> None:
        """Send one of a batch, of which what the broker has is left out."""
        await self._send(session, topic, message)
        del batch[key]

    async def _send_again(self, session: Publishes) -> None:
        """What was sent before others may have been there; kept where the connection is lost."""
        oldest = asyncio.get_running_loop().time() - self._fresh
        async with asyncio.TaskGroup() as sending:
            for topic, make, message, at in self._again.values():
                again = message if at >= oldest else make()
                sending.create_task(self._send(session, topic, again))
        self._again = {}

    async def _send(self, session: Publishes, topic: str, message: bytes) -> None:
        await session.publish(topic, message)
        self._events.tell(BrokerSent(self._kind))
