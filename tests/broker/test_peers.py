"""Replicas tell each other of hooks and closed actions, and strangers cause nothing much."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from broker_parts import Home, account, running
from held_releases import record, release
from mosquitto import Mosquitto, mosquitto
from mqtt_client import Onlooker, onlooker

from otaflux.broker.outbox import SETTLED
from otaflux.broker.peers import Peers
from otaflux.events import BrokerHeard, HookAccepted
from otaflux.model.event import Action, Priority, Touch
from otaflux.model.names import Device, Namespace
from otaflux.roster.roster import Roster
from otaflux.units.seen import Protocol
from otaflux.units.units import Units

pytestmark = pytest.mark.real("mosquitto")

LAMP, DOOR = Device("lamp"), Device("acme/door")
SECRET = "secret-of-replicas"


class Replica(Home):
    """A home with peers: what they made of what they heard."""

    def __init__(
        self,
        folder: Path,
        broker: Mosquitto,
        topic: str,
        name: str,
        *secrets: str,
        settled: float = SETTLED,
    ) -> None:
        who = account(broker, topic)
        super().__init__(folder / name, who, held=[record(release("1.0.0", b"lamp"))])
        self.roster = Roster(self.catalog)
        self.units = Units(events=self.events)
        served = Namespace("", frozenset({LAMP, DOOR}), lambda: True)
        self.peers = Peers(
            who,
            name,
            namespace=served,
            roster=self.roster,
            units=self.units,
            touch=self.touches.append,
            events=self.events,
            secrets=lambda: secrets,
            settled=settled,
        )
        self.link = self.linked(who, [self.peers], replica=name)

    def accept(self, device: Device, action: Action = Action.PUSH) -> None:
        """A hook is accepted here."""
        self.events.tell(HookAccepted("h1", "generic", device, None, action))

    def heard(self, outcome: str) -> int:
        """How many messages of others came to that."""
        return sum(
            each in {BrokerHeard("hook", outcome), BrokerHeard("unit", outcome)}
            for each in self.told
        )


@asynccontextmanager
async def two(
    broker: Mosquitto, topic: str, folder: Path, *secrets: str
) -> AsyncIterator[tuple[Replica, Replica, Onlooker]]:
    """Two replicas that are connected, and somebody who looks on."""
    one, other = (Replica(folder, broker, topic, name, *secrets) for name in ("one", "other"))
    async with running(one), running(other), onlooker(broker.url, f"{topic}/$otaflux/#") as seen:
        await seen.until(lambda: one.is_idle and other.is_idle)
        for replica in (one, other):  # until it hears: it sends itself nothing
            await hears(replica, topic, seen)
        yield one, other, seen


async def hears(replica: Replica, topic: str, seen: Onlooker) -> None:
    """Wait until a replica hears of hooks."""
    while not replica.heard("ignored"):
        await seen.send(f"{topic}/$otaflux/units", b"?")
        await asyncio.sleep(0.01)


async def test_a_hook_reaches_the_others_once_and_goes_no_further(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """The other looks as for a hook of its own; who accepted it and the other say no more of it."""
    async with two(broker, topic, tmp_path, SECRET) as (one, other, seen):
        one.accept(LAMP)
        await seen.until(lambda: len(other.touches) == 1)
        one.accept(DOOR)
        one.accept(DOOR, Action.DELETE)
        await seen.until(lambda: len(other.touches) == 3)
        await asyncio.sleep(0.05)
        first, *more = other.touches
        second = more[0] + more[1]  # as the work queue adds them up
        assert (first.device, first.priority, first.deletion) == (LAMP, Priority.HOOK, False)
        assert (second.device, second.deletion) == (DOOR, True)
        assert first.first_hook_at is not None
        assert len(first.hooks) == 1
        assert one.touches == []
        assert other.roster.is_known(DOOR), "a device that only the other heard of"
        assert seen.of(f"{topic}/$otaflux/hooks") == [
            {"replica": "one", "device": "lamp"},
            {"replica": "one", "device": "acme/door"},
        ]
        (deleted,) = seen.of(f"{topic}/$otaflux/deletions")
        assert (deleted["replica"], deleted["device"]) == ("one", "acme/door")
        assert SECRET not in str(seen.all)
    async with onlooker(broker.url, f"{topic}/$otaflux/#") as late:
        await asyncio.sleep(0.05)
        assert late.all == [], "nothing of it is retained"


async def test_a_closed_action_reaches_the_others(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """What went well is not offered again by the other, and failures count there too."""
    async with two(broker, topic, tmp_path, SECRET) as (one, other, seen):
        one.units.closed(LAMP, "lamp-1", 77, "1.0.0", well=True)
        one.units.closed(LAMP, "lamp-2", 77, "1.0.0", well=False)
        await seen.until(lambda: len(other.units) == 2)
        first, second = other.units.find(LAMP, "lamp-1"), other.units.find(LAMP, "lamp-2")
        assert first is not None
        assert second is not None
        assert (first.closed, first.runs, first.protocol) == (77, "1.0.0", Protocol.REPLICA)
        assert (second.closed, second.failed, second.failures) == (0, "1.0.0", 1)
        await asyncio.sleep(0.05)
        assert len(seen.of(f"{topic}/$otaflux/units")) - _probes(seen, topic) == 2


async def test_who_comes_back_later_hears_what_was_said_meanwhile(
    topic: str, tmp_path: Path
) -> None:
    """A broker that restarts has its replicas back one after the other; nothing counts twice."""
    with mosquitto(tmp_path) as broker:
        one, other, late = (
            Replica(tmp_path, broker, topic, name, SECRET, settled=1.5)
            for name in ("one", "other", "late")
        )
        async with running(one), running(other):
            async with onlooker(broker.url, f"{topic}/$otaflux/#") as seen:
                for replica in (one, other):
                    await hears(replica, topic, seen)
            broker.kill()
            one.units.closed(LAMP, "lamp-1", 77, "1.0.0", well=False)
            one.accept(DOOR, Action.DELETE)
            broker.start()
            async with onlooker(broker.url, f"{topic}/none") as seen:
                await seen.until(lambda: one.connections == 2 and not one.link.waiting)
                async with running(late):
                    for replica in (other, late):
                        await seen.until(lambda: len(replica.units) == 1)  # noqa: B023 - at once
                        await seen.until(lambda: bool(_deletions(replica)))  # noqa: B023 - at once
                    await asyncio.sleep(0.05)
        for replica in (other, late):
            unit = replica.units.find(LAMP, "lamp-1")
            assert unit is not None
            assert (unit.failures, len(_deletions(replica))) == (1, 1)


def _deletions(replica: Replica) -> list[Touch]:
    return [touch for touch in replica.touches if touch.deletion]


def _probes(seen: Onlooker, topic: str) -> int:
    return seen.of(f"{topic}/$otaflux/units").count(b"?")


def hook(device: object = "lamp", replica: object = "stranger", **more: Any) -> bytes:
    """A message as replicas send it."""
    return json.dumps({"replica": replica, "device": device, **more}).encode()


RUBBISH = [
    b"",
    b"lamp",
    b"\xff",
    b"[" * 2000,
    b"{}",
    hook(7),
    hook(["lamp"]),
    hook("Lamp"),
    hook("../lamp"),
    hook("lamp\n"),
    hook("a" * 201),
    hook("x" * 5000),
    hook("lamp", None),
    hook("elsewhere"),
    b"x" * 200_000,
]


def closed(
    device: str = "lamp", unit: str = "u", action: int = 1, version: str = "1", **more: Any
) -> bytes:
    """A closed action, as replicas send it."""
    return hook(device, unit=unit, action=action, version=version, well=True, **more)


ODD_ACTIONS = [closed("acme/door"), closed(unit="ü"), closed(action=-1), closed(version="ü")]


async def test_what_is_no_message_of_a_replica_does_nothing(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """Rubbish, names that cannot be devices and devices that are not served are one folded line."""
    async with two(broker, topic, tmp_path) as (one, _, seen):
        before = one.heard("ignored")
        for where in ("hooks", "deletions", "units"):
            await seen.send_all(f"{topic}/$otaflux/{where}", RUBBISH)
        await seen.send_all(f"{topic}/$otaflux/units", ODD_ACTIONS)
        await seen.send(f"{topic}/$otaflux/hooks", hook(replica="one"))
        await seen.send(f"{topic}/$otaflux/hooks", hook(), retain=True)
        await seen.until(lambda: bool(one.touches))
        await seen.send(f"{topic}/$otaflux/hooks", b"", retain=True)
        # An empty one is heard, the largest one no broker that speaks MQTT 5 gives us.
        await seen.until(lambda: one.heard("ignored") - before >= 3 * (len(RUBBISH) - 1) + 1)
        assert [touch.device for touch in one.touches] == [LAMP]
        assert len(one.units) == 0
        assert one.roster.devices() == {LAMP}
        assert one.connections == 1


@pytest.mark.parametrize("secrets", [(), (SECRET,)], ids=["no secret", "a secret"])
async def test_a_forged_message_moves_no_unit_and_closes_nothing(
    broker: Mosquitto, topic: str, tmp_path: Path, secrets: tuple[str, ...]
) -> None:
    """Nor is a deletion believed, nor what a replica sent before, when somebody sends it again."""
    async with two(broker, topic, tmp_path, *secrets) as (one, other, seen):
        where = f"{topic}/$otaflux"
        one.units.described(None, "mine", runs="1.0.0", belongs_to=LAMP)
        other.units.closed(LAMP, "true", 7, "2.0.0", well=False)

        def true() -> list[Any]:
            return [each for each in seen.of(f"{where}/units") if each != b"?"]

        await seen.until(lambda: bool(true()) and one.heard("accepted") == len(secrets))
        forged = [
            closed(unit=unit, action=5, version="9.9.9", by_attribute=by_attribute, **more)
            for unit in ("mine", "true", "made-up")
            for by_attribute in (False, True)
            for more in ({}, {"at": int(time.time()), "proof": "0" * 64})
        ]
        before = one.heard("ignored") + one.heard("unproven")
        again = [json.dumps(each).encode() for each in true()]
        await seen.send_all(f"{where}/units", [*forged, *again])
        await seen.send(f"{where}/deletions", hook())
        await seen.send(f"{where}/hooks", hook())  # comes last
        await seen.until(lambda: bool(one.touches))
        assert one.heard("ignored") + one.heard("unproven") - before >= len(forged) + 1
        mine, heard = one.units.find(None, "mine"), one.units.find(LAMP, "true")
        assert mine is not None
        assert (mine.device, mine.runs, mine.closed, mine.is_amid) == (LAMP, "1.0.0", 0, False)
        assert one.units.find(None, "made-up") is one.units.find(LAMP, "made-up") is None
        assert (heard.failures if heard else 0) == len(secrets), "once, though it came twice"
        assert [touch.deletion for touch in one.touches] == [False], "the hook alone"


async def test_a_retained_message_is_no_hook(broker: Mosquitto, topic: str, tmp_path: Path) -> None:
    """Somebody else put it there, and it would come again at each connection."""
    async with onlooker(broker.url, f"{topic}/#") as seen:
        await seen.send(f"{topic}/$otaflux/hooks", hook(), retain=True)
        one = Replica(tmp_path, broker, topic, "one")
        async with running(one):
            await hears(one, topic, seen)
        assert one.touches == []


async def test_strangers_cause_looks_at_a_bounded_rate(
    broker: Mosquitto, topic: str, tmp_path: Path
) -> None:
    """The same device again and again is one look at a time; made-up names are few."""
    one = Replica(tmp_path, broker, topic, "one")
    one.peers = Peers(
        account(broker, topic),
        "one",
        namespace=Namespace(),
        roster=one.roster,
        units=one.units,
        touch=one.touches.append,
        events=one.events,
        secrets=list,
    )
    one.link = one.linked(account(broker, topic), [one.peers], replica="one")
    async with running(one), onlooker(broker.url, f"{topic}/none") as seen:
        await hears(one, topic, seen)
        made_up = [hook(f"made-up-{number}") for number in range(400)]
        await seen.send_all(f"{topic}/$otaflux/hooks", made_up)
        await seen.send(f"{topic}/$otaflux/hooks", hook())
        await seen.until(lambda: Device("lamp") in {touch.device for touch in one.touches})
        looked = [touch for touch in one.touches if touch.device != LAMP]
        assert 90 <= len(looked) <= 110, "a burst, and then one a second"
        assert one.heard("ignored") >= 150
