"""The broker's parts in one process with a test: a catalog in memory, a link, and what it told.

home = Home(tmp_path, account(broker, topic))
async with running(home):
home.publish(release("1.0.0", b"firmware"))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from held_releases import record
from mosquitto import Mosquitto

from otaflux.broker.account import Account
from otaflux.broker.announcer import Announcer
from otaflux.broker.link import Link, Participant
from otaflux.events import BrokerConnected, BrokerFailed, BrokerSent, Events, Happening
from otaflux.model.event import Touch
from otaflux.model.names import STABLE, Channel
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.catalog import Catalog
from otaflux.work.backoff import Backoff

FAST = Backoff(first=0.02, most=0.05)


def account(broker: Mosquitto, topic: str) -> Account:
    """Who OtaFlux is at the broker's first port."""
    return Account(host="127.0.0.1", port=broker.port, secure=False, topic=topic)


class Home:
    """One replica: its catalog, its link, and what happened."""

    def __init__(
        self,
        folder: Path,
        who: Account,
        *,
        held: Sequence[Record] = (),
        channel: Channel = STABLE,
        public_url: str | None = "https://ota.example",
        again: float = 3600.0,
        patience: float = 5.0,
    ) -> None:
        self.told: list[Happening] = []
        self.events = Events(self.told.append)
        self.catalog = Catalog(folder)
        for each in held:  # as a server finds them on its disk
            self.catalog.load(each)
        self.touches: list[Touch] = []
        self.announcer = Announcer(
            who.topic,
            self.catalog,
            channel=channel,
            public_url=public_url,
            touch=self.touches.append,
            events=self.events,
            again=again,
        )
        self.link = self.linked(who, patience=patience)

    def linked(
        self,
        who: Account,
        parts: Sequence[Participant] = (),
        *,
        replica: str | None = None,
        patience: float = 5.0,
    ) -> Link:
        """A link of its announcer and of more."""
        return Link(
            who,
            [self.announcer, *parts],
            events=self.events,
            backoff=FAST,
            patience=patience,
            replica=replica,
        )

    def publish(self, *releases: Release) -> None:
        """Tell devices of releases, as a run does."""
        for each in releases:
            self.catalog.load(record(each))

    @property
    def sent(self) -> int:
        """How many messages the broker took."""
        return sum(isinstance(each, BrokerSent) for each in self.told)

    @property
    def connections(self) -> int:
        """How many connections came to be."""
        return sum(isinstance(each, BrokerConnected) for each in self.told)

    @property
    def failures(self) -> list[BrokerFailed]:
        """What was wrong, in its order."""
        return [each for each in self.told if isinstance(each, BrokerFailed)]

    @property
    def is_idle(self) -> bool:
        """Whether it is connected and nothing waits."""
        return bool(self.connections) and not self.link.waiting


@asynccontextmanager
async def running(home: Home) -> AsyncIterator[Home]:
    """Let its link run."""
    task = asyncio.create_task(home.link.run())
    try:
        yield home
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
