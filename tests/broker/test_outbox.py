"""Messages that are sent once more, since others may not have been there when they were sent."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from otaflux.broker.outbox import Outbox
from otaflux.events import Events


class Sent:
    """A connection: what was sent over it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.came = asyncio.Event()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send."""
        self.messages.append(payload)
        self.came.set()


async def over_one_connection(box: Outbox) -> list[bytes]:
    """What is sent until there is something, and then the connection is lost."""
    sent = Sent()
    serving = asyncio.create_task(box.serve(sent))
    await asyncio.wait_for(sent.came.wait(), 5)
    serving.cancel()
    await asyncio.wait({serving})
    return sent.messages


@pytest.mark.parametrize(
    ("fresh", "again"), [(60.0, b"message 2"), (-1.0, b"message 3")], ids=["soon", "later"]
)
async def test_what_could_not_be_said_again_in_time_is_made_anew(
    fresh: float, again: bytes
) -> None:
    """The same bytes, or, where nobody would take them any more, new ones that say when."""
    box = Outbox("hook", events=Events(), settled=0.2, fresh=fresh)
    number = count(1)

    def put(key: str) -> None:
        box.put(key, "topic", lambda: b"message %d" % next(number))

    put("one")
    assert await over_one_connection(box) == [b"message 1"]  # the first one: nothing to repeat
    put("two")
    assert await over_one_connection(box) == [b"message 2"]  # and lost before it was repeated
    assert await over_one_connection(box) == [again]
