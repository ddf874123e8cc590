"""Retained messages, kept as they should be: one topic for each of many keys.

Level-triggered, as runs are: a key is noted, and what its message should be is asked when its turn
comes. What the broker holds is the record of what was sent: it is read before anything is sent, and
only what differs is. So nothing is lost while the broker is away, nothing is sent twice after a
restart, and of two replicas with the same news one sends it. All keys are looked at when a
connection comes to be, and each `AGAIN` seconds. On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from otaflux.broker import failures
from otaflux.broker.session import BATCH, Session
from otaflux.events import BrokerFailed, BrokerSent, BrokerWaiting, Events

AT_ONCE = 500  # keys; then polls get their turn
AGAIN = 3600.0  # seconds: a broker may lose what it holds, and others may write there

K = TypeVar("K", bound=Hashable)


def _never(_key: object, _held: bytes) -> bool:
    return False


class Retained(Generic[K]):
    """Sends what `wanted` says, to `topic` of each key, as messages of one `kind`.

    `wanted` returns the message, empty where there should be none, or None where that is not known
    here. `everything` gives all keys, whatever changes while they are gone through.
    `is_contested(key, held)` says that what the broker holds, and somebody else sent, may be better
    than what is wanted: it is left, and the key may be noted again later.
    """

    def __init__(
        self,
        kind: str,
        *,
        topic: Callable[[K], str],
        wanted: Callable[[K], bytes | None],
        everything: Callable[[], Iterable[K]],
        events: Events,
        is_contested: Callable[[K, bytes], bool] = _never,
        again: float = AGAIN,
    ) -> None:
        self._kind = kind
        self._topic = topic
        self._wanted = wanted
        self._everything = everything
        self._events = events
        self._is_contested = is_contested
        self._again = again
        self._waiting: dict[K, bool] = {}  # whether nobody knows better
        self._sent: dict[str, int] = {}  # a hash of what was sent last to each topic
        self._sending = 0
        self._noted = asyncio.Event()
        # The topics that were sent to first over a connection, and what they held; None where
        # nothing was sent yet, empty once the broker was found to have it.
        self._unproven: dict[str, bytes] | None = None

    @property
    def waiting(self) -> int:
        """How many keys wait for their turn, or are being seen to."""
        return len(self._waiting) + self._sending

    def note(self, key: K, *, is_sure: bool = True) -> None:
        """What a key's message should be has changed; where that `is_sure`, nobody knows better."""
        self._waiting[key] = is_sure or self._waiting.get(key, False)
        self._noted.set()

    async def begin(self, session: Session) -> None:
        """See to the keys that changed while there was no connection, up to a batch of them."""
        self._unproven = None
        await self._note_all()
        await self._see_to_some(session)

    async def serve(self, session: Session) -> None:
        """Keep the messages as they should be, over one connection; raises `Undecided`."""
        while True:
            until = asyncio.get_running_loop().time() + self._again
            while await self._noted_by(until):
                if self._unproven:
                    if not await self._are_kept(session, self._unproven):
                        return
                    self._unproven = {}
                await self._see_to_some(session)
                self._events.tell(BrokerWaiting(self._kind, len(self._waiting)))
            await self._note_all()

    async def _note_all(self) -> None:
        """Have all keys looked at; there may be tens of thousands, so polls get their turn."""
        for number, key in enumerate(self._everything(), 1):
            self._waiting.setdefault(key, False)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _noted_by(self, until: float) -> bool:
        """Wait for a key that waits; whether there is one by that time of the loop."""
        self._noted.clear()
        if not (self._waiting or self._unproven):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._noted.wait()
        return bool(self._waiting or self._unproven)

    async def _see_to_some(self, session: Session) -> None:
        """See to the keys that wait longest, up to a batch of them."""
        keys = dict(zip(self._waiting, range(BATCH), strict=False))
        batch = {key: self._waiting.pop(key) for key in keys}
        if not batch:
            return
        self._sending = len(batch)
        self._events.tell(BrokerWaiting(self._kind, self.waiting))
        before: dict[str, bytes] = {}
        try:
            held = await session.read([self._topic(key) for key in batch])
            async with asyncio.TaskGroup() as sending:
                for key, is_sure in batch.items():
                    topic = self._topic(key)
                    message = self._to_send(key, topic, held.get(topic, b""), is_sure=is_sure)
                    if message is not None:
                        before[topic] = held.get(topic, b"")
                        sending.create_task(self._send(session, topic, message))
        except BaseException:
            # What was sent is found at the broker the next time, and not sent again.
            self._waiting = {**batch, **self._waiting}
            raise
        finally:
            self._sending = 0
        if before and self._unproven is None:
            self._unproven = before

    async def _send(self, session: Session, topic: str, message: bytes) -> None:
        await session.publish(topic, message, retain=True)
        if message:
            self._sent[topic] = hash(message)
        else:
            self._sent.pop(topic, None)
        self._events.tell(BrokerSent(self._kind))

    def _to_send(self, key: K, topic: str, held: bytes, *, is_sure: bool) -> bytes | None:
        message = self._wanted(key)
        if message is None or message == held:
            return None
        is_ours = self._sent.get(topic) == hash(held)
        if held and not (is_sure or is_ours) and self._is_contested(key, held):
            return None
        return message

    async def _are_kept(self, session: Session, before: dict[str, bytes]) -> bool:
        """Whether anything changed at the broker: accounts that may not write are not told so."""
        self._sending = len(before)
        try:
            held = await session.read(list(before))
        finally:
            self._sending = 0
        if any(held.get(topic, b"") != message for topic, message in before.items()):
            return True
        error = failures.not_kept(session.account, next(iter(before)))
        self._events.tell(BrokerFailed(str(error), error.hint, is_connected=True))
        return False
