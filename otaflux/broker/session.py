"""One connection to the broker: what can be sent, read and heard while it lasts.

Trust: whoever may publish at the broker writes what comes here. A message is handed on as bytes,
in the step in which it came, with nothing in between that could grow; who hears it looks at its
size first. On one event loop.

Retained messages are read by exact topics, at most `BATCH` at once and with QoS 0: a broker gives
a subscription to thousands of them at QoS 1 only as many as its queue takes. A message to a topic
of our own, sent after the subscription, comes after all of them and so marks their end.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from otaflux.broker import failures
from otaflux.broker.account import Account

BATCH = 250  # topics of one subscription; packing them keeps polls waiting for some 4 ms
AT_ONCE = 8  # publishes whose acknowledgement is awaited; above ten the library complains
_FAILURE = 0x80  # codes of subscriptions from here on are refusals

Hear = Callable[[bytes], None]


class Session:
    """A connection that is open; its methods raise `Undecided` where it is not any more.

    `patience` is how many seconds a message to ourselves may take.
    """

    def __init__(
        self,
        client: aiomqtt.Client,
        version: ProtocolVersion,
        account: Account,
        replica: str,
        *,
        patience: float,
    ) -> None:
        self.account = account
        self.replica = replica
        self._client = client
        self._version = version
        self._patience = patience
        self._places = asyncio.Semaphore(AT_ONCE)
        self._reading = asyncio.Lock()
        self._mark = account.own("replicas", replica)
        self._awaited = b""
        self._marked = asyncio.Event()
        self._hears: dict[str, Hear] = {self._mark: self._hear_mark}
        self._read: dict[str, bytes] = {}
        self._wanted: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Make sure that what is sent can be read: the mark of our own comes back."""
        with self._losing():
            await self._subscribe([self._mark])
            await self._mark_end()

    async def listen(self, topic: str, hear: Hear) -> None:
        """Have `hear` called with each message to a topic that is sent from now on."""
        self._hears[topic] = hear
        with self._losing():
            await self._subscribe([topic], qos=1)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message, with QoS 1; returns once the broker has it. An empty one removes."""
        async with self._places:
            with self._losing():
                await self._client.publish(topic, payload, qos=1, retain=retain)

    async def read(self, topics: Sequence[str]) -> dict[str, bytes]:
        """The retained messages of at most `BATCH` topics; those that have none are left out."""
        async with self._reading:
            self._wanted, self._read = frozenset(topics), {}
            try:
                with self._losing():
                    await self._subscribe(topics)
                    await self._mark_end()
                    await self._client.unsubscribe(list(topics))
                return self._read
            finally:
                self._wanted, self._read = frozenset(), {}

    async def end(self) -> None:
        """Return never, but raise once the connection is lost."""
        with self._losing():
            async for _ in self._client.messages:
                pass  # `hear` was called before; nothing lies in the queue
        raise failures.lost(self.account, MqttError("the broker closed it"))

    def hear(self, message: aiomqtt.Message) -> None:
        """A message came. Never raises."""
        topic, payload = str(message.topic), message.payload
        if not isinstance(payload, bytes | bytearray):
            payload = b""
        if topic in self._wanted:
            self._read[topic] = bytes(payload)
        elif topic in self._hears and not message.retain:
            # What is retained there was put there by somebody else, and would come again and again.
            self._hears[topic](bytes(payload))

    async def _subscribe(self, topics: Sequence[str], *, qos: int = 0) -> None:
        granted: Sequence[Any] = await self._client.subscribe(
            [(topic, self._options(qos)) for topic in topics]
        )
        for topic, code in zip(topics, granted, strict=False):
            if (code if isinstance(code, int) else code.value) >= _FAILURE:
                raise failures.subscription_refused(self.account, topic)

    def _options(self, qos: int) -> Any:
        """The form that the library wants for this version of the protocol."""
        return SubscribeOptions(qos=qos) if self._version is ProtocolVersion.V5 else qos

    async def _mark_end(self) -> None:
        """Return once all is here that the broker had for us."""
        self._awaited = secrets.token_hex(8).encode()  # that nobody sends before us
        self._marked.clear()
        await self._client.publish(self._mark, self._awaited)
        try:
            async with asyncio.timeout(self._patience):
                await self._marked.wait()
        except TimeoutError:
            raise failures.not_heard(self.account, self._mark) from None

    def _hear_mark(self, payload: bytes) -> None:
        if payload == self._awaited:
            self._marked.set()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Make the library's errors ours, and let nobody be cancelled in vain."""
        try:
            yield
        except MqttError as error:
            raise failures.lost(self.account, error) from error
        # Python 3.11's `wait_for`, which the library uses, may lose a cancellation that comes in
        # the step in which it ends.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
