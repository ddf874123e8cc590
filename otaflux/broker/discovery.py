"""Home Assistant: a sensor for each device, an update entity for each unit that said what it runs.

Both are retained messages, kept as `retained.py` keeps them. A unit's state that another replica
said is left until something changes here, for units ask now this one, now that.

Trust: units are named by boards, or by whoever pretends to be one: `most` of them get an entity,
and what they say goes into JSON and nowhere else. On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from otaflux.boundedmap import BoundedMap
from otaflux.broker.account import Account
from otaflux.broker.defaultreleases import DefaultReleases
from otaflux.broker.entities import Entity, config, object_of, state
from otaflux.broker.retained import AGAIN, Retained
from otaflux.broker.session import Session
from otaflux.errors import BadName
from otaflux.events import Events
from otaflux.log import Event, log
from otaflux.model.names import Channel, Device
from otaflux.model.record import Record
from otaflux.model.version import Version
from otaflux.state.catalog import Catalog
from otaflux.units.units import Units

MOST = 10_000  # units with an entity; Home Assistant itself is slow long before
PAGE = 500  # units looked at, then polls get their turn


class Discovery:
    """Keeps the entities below `prefix`, of the devices of a catalog and of units."""

    def __init__(
        self,
        prefix: str,
        account: Account,
        catalog: Catalog,
        units: Units,
        *,
        channel: Channel,
        events: Events,
        most: int = MOST,
        again: float = AGAIN,
    ) -> None:
        self._prefix = prefix
        self._account = account
        self._units = units
        self._most = most
        self._releases = DefaultReleases(catalog, channel)
        self._shown: dict[Device, set[str]] = {}  # units that have an entity
        self._count = 0
        self._gone: BoundedMap[tuple[Device, str], None] = BoundedMap(most)
        self._is_loaded = False
        self._is_full = False
        self._retained: Retained[Entity] = Retained(
            "discovery",
            topic=self._topic,
            wanted=self._wanted,
            everything=self._everything,
            events=events,
            is_contested=lambda entity, held: entity.is_state and held.startswith(b"{"),
            again=again,
        )
        catalog.listen(self._hear_record)
        units.listen(self._hear_unit)

    @property
    def waiting(self) -> int:
        """How many messages wait to be seen to."""
        return self._retained.waiting

    async def begin(self, session: Session) -> None:
        """Find the units that were known before."""
        first: int | None = None if self._is_loaded else 0
        while first is not None:
            seen, first = self._units.page(first, PAGE)
            for each in seen:
                if each.device is not None and each.runs:
                    self._show(each.device, each.unit)
            await asyncio.sleep(0)
        self._is_loaded = True

    async def serve(self, session: Session) -> None:
        """Keep the messages as they should be; see `Retained.serve`."""
        await self._retained.begin(session)
        await self._retained.serve(session)

    def _everything(self) -> Iterator[Entity]:
        yield from map(Entity, self._releases.devices())
        for device, units in list(self._shown.items()):
            for unit in list(units):
                yield Entity(device, unit)
                yield Entity(device, unit, is_state=True)

    def _hear_record(self, device: Device, record: Record | None) -> None:
        self._retained.note(Entity(device))
        for unit in self._shown.get(device, ()):
            self._retained.note(Entity(device, unit, is_state=True))

    def _hear_unit(self, device: Device, unit: str, runs: str) -> None:
        """A unit runs something else, or is told it, or was forgotten (`runs` is empty)."""
        if runs and unit in self._shown.get(device, ()):
            self._retained.note(Entity(device, unit, is_state=True))
            return
        if runs:
            if not self._show(device, unit):
                return
        elif unit in self._shown.get(device, ()):
            self._shown[device].discard(unit)
            if not self._shown[device]:
                del self._shown[device]
            self._count -= 1
            self._gone.put((device, unit), None)
        else:
            return
        self._retained.note(Entity(device, unit))
        self._retained.note(Entity(device, unit, is_state=True))

    def _show(self, device: Device, unit: str) -> bool:
        """Whether a unit has an entity from now on."""
        if unit in self._shown.get(device, ()):
            return True
        if self._count >= self._most:
            if not self._is_full:
                self._is_full = True
                log.warning(
                    Event.DISCOVERY_FULL,
                    units=self._most,
                    hint="Home Assistant is told of no further unit; the devices' sensors stay",
                )
            return False
        self._shown.setdefault(device, set()).add(unit)
        self._count += 1
        self._gone.drop((device, unit))
        return True

    def _topic(self, entity: Entity) -> str:
        name = object_of(entity, self._account.topic)
        if entity.is_state:
            return self._account.own("state", name)
        return f"{self._prefix}/{'update' if entity.unit else 'sensor'}/{name}/config"

    def _wanted(self, entity: Entity) -> bytes | None:
        device, topic = entity.device, self._account.topic
        if not entity.unit:
            if self._releases.get(device) is not None:
                return config(entity, topic, f"{topic}/{device}")
            return b"" if self._releases.are_known(device) else None
        if entity.unit not in self._shown.get(device, ()):
            return b"" if (device, entity.unit) in self._gone else None
        if not entity.is_state:
            return config(entity, topic, self._topic(Entity(device, entity.unit, is_state=True)))
        seen = self._units.find(device, entity.unit) or self._units.find(None, entity.unit)
        if seen is None:
            return None
        release = self._releases.get(device)
        latest = _higher(seen.told, release.version if release else None)
        return state(entity, seen.runs, latest or seen.runs, release)


def _higher(told: str, current: Version | None) -> str:
    """What a unit was told, where that is higher: it may ask for another channel."""
    with suppress(BadName):
        version = Version.parse(told)
        if current is None or version.key > current.key:
            return version.text
    return current.text if current else ""
