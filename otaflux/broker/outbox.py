"""Messages that wait to be sent and are not kept by the broker: one for each of many keys.

While the broker is away the newest are held, a bounded number. On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from otaflux.broker.session import Session
from otaflux.events import BrokerSent, Events

MOST = 10_000  # messages held; then the oldest goes


class Outbox:
    """Sends messages of one `kind`."""

    def __init__(self, kind: str, *, events: Events, most: int = MOST) -> None:
        self._kind = kind
        self._events = events
        self._most = most
        self._held: dict[Hashable, tuple[str, Callable[[], bytes]]] = {}
        self._sending = 0
        self._came = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait, or are on their way."""
        return len(self._held) + self._sending

    def put(self, key: Hashable, topic: str, make: Callable[[], bytes]) -> None:
        """Have a message sent, in the place of one of the same key that still waits.

        `make` is called when its turn comes, for a message may say when it was sent.
        """
        self._held.pop(key, None)
        self._held[key] = (topic, make)
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]
        self._came.set()

    async def serve(self, session: Session) -> None:
        """Send what comes, over one connection; raises `Undecided`."""
        while True:
            self._came.clear()
            batch, self._held = self._held, {}
            self._sending = len(batch)
            try:
                async with asyncio.TaskGroup() as sending:
                    for topic, make in batch.values():
                        sending.create_task(self._send(session, topic, make))
            except BaseException:
                self._held = {**batch, **self._held}
                raise
            finally:
                self._sending = 0
            if not self._held:
                await self._came.wait()

    async def _send(self, session: Session, topic: str, make: Callable[[], bytes]) -> None:
        await session.publish(topic, make())
        self._events.tell(BrokerSent(self._kind))
