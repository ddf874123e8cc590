"""Each metric moves when what it counts happens, in the server's own wiring."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from simulation import senders
from simulation.disk import MemoryDisk
from simulation.loop import run_virtually
from simulation.program import Program
from simulation.registry import Content, Shape, SimulatedRegistry

from otaflux.errors import Unreachable
from otaflux.events import (
    BrokerConnected,
    BrokerFailed,
    BrokerSent,
    BrokerWaiting,
    RequestSent,
)
from otaflux.journal import Journal
from otaflux.machine import Machine
from otaflux.metrics import Metrics
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag

LAMP = Device("lamp")
V1, V2 = Tag("1.0.0"), Tag("2.0.0")


class Counted:
    """A simulated server that has one device, and what its journal counts."""

    def __init__(self) -> None:
        clock = asyncio.get_running_loop().time
        chance = random.Random(1)
        self.metrics = CollectorRegistry()
        self.journal = Journal(Metrics(self.metrics), machine=Machine(clock=clock))
        self.registry = SimulatedRegistry((LAMP,), chance, clock)
        self.program = Program(self.registry, MemoryDisk(chance), chance, journal=self.journal)
        self.chance = chance

    def __call__(self, metric: str, **labels: str) -> float:
        """What a metric says now; 0 where it never moved."""
        return self.metrics.get_sample_value(metric, labels) or 0.0

    async def begin(self) -> None:
        """Start it, without its timer."""
        await self.program.restore()
        await self.program.load()
        await self.program.wire.open()

    def push(self, tag: Tag, shape: Shape = Shape.PLAIN) -> None:
        """Push a release."""
        self.registry.put(LAMP, tag, Content(int(tag.text[0]), shape))

    async def look(self, priority: Priority = Priority.RECHECK, since: float | None = None) -> None:
        """One run."""
        await self.program.bring_up_to_date(Touch(LAMP, priority, first_hook_at=since))


def counted(test: Callable[[Counted], Awaitable[None]]) -> None:
    """Run a test over such a server."""

    async def main() -> None:
        rig = Counted()
        await rig.begin()
        await test(rig)

    run_virtually(main())


def test_pulls_are_counted_by_what_came_of_them() -> None:
    """Usable, unusable, and those of which nothing was learnt."""

    async def test(rig: Counted) -> None:
        rig.push(V1)
        rig.push(V2, Shape.BAD)
        await rig.look()
        assert rig("otaflux_pulls_total", outcome="usable") == 1
        assert rig("otaflux_pulls_total", outcome="unusable") == 1

    counted(test)


def test_devices_that_a_release_is_told_for_are_counted() -> None:
    """One more with its first release, one less when it is forgotten."""

    async def test(rig: Counted) -> None:
        await rig.look()
        assert rig("otaflux_releases_current") == 0
        rig.push(V1)
        await rig.look()
        assert rig("otaflux_releases_current") == 1
        await rig.program.catalog.forget(LAMP)
        assert rig("otaflux_releases_current") == 0

    counted(test)


def test_what_a_hook_caused_is_timed_and_what_none_caused_is_not() -> None:
    """From the first hook's arrival to the publish."""

    async def test(rig: Counted) -> None:
        rig.push(V1)
        await rig.look()
        assert rig("otaflux_hook_to_publish_seconds_count") == 0
        rig.push(V2)
        await rig.look(Priority.HOOK, asyncio.get_running_loop().time() - 3)
        assert rig("otaflux_hook_to_publish_seconds_count") == 2, "one for each channel"
        assert rig("otaflux_hook_to_publish_seconds_sum") >= 6

    counted(test)


def test_runs_that_the_registry_left_undecided_are_counted() -> None:
    """Once for each run."""

    async def test(rig: Counted) -> None:
        rig.registry.away = True
        for number in (1, 2):
            with pytest.raises(Unreachable):
                await rig.look()
            assert rig("otaflux_registry_errors_total") == number

    counted(test)


def test_the_age_of_the_last_good_recheck_grows_until_the_next() -> None:
    """A look for a hook is none, and one that fails is none either."""

    async def test(rig: Counted) -> None:
        await asyncio.sleep(50)
        await rig.look(Priority.HOOK)
        assert rig("otaflux_recheck_age_seconds") >= 50
        await rig.look()
        assert rig("otaflux_recheck_age_seconds") < 1
        await asyncio.sleep(30)
        assert 30 <= rig("otaflux_recheck_age_seconds") < 31

    counted(test)


def test_hooks_are_counted_by_source_and_answer() -> None:
    """Through the address that registries send them to."""

    async def test(rig: Counted) -> None:
        hook = senders.somewhere(LAMP)
        await rig.program.wire.post(hook.path, hook.headers, hook.body)
        assert rig("otaflux_hooks_total", source="generic", outcome="accepted") == 1

    counted(test)


def test_requests_are_counted_by_address_and_status() -> None:
    """A poll that finds its answer at hand is a hit; one that a first look is for is a miss."""

    async def test(rig: Counted) -> None:
        rig.push(V1)
        await rig.look()
        await rig.program.wire.get("/firmware?device=lamp", method="HEAD")
        assert rig("http_requests_total", route="/firmware", status="200") == 1
        assert rig("http_request_duration_seconds_count", route="/firmware") == 1
        assert rig("firmware_cache_hit_total") == 1
        await rig.program.wire.get("/version?device=nobody")
        assert rig("firmware_cache_miss_total") == 1

    counted(test)


def test_requests_to_the_registry_are_counted() -> None:
    """Each that the client tells of."""

    async def test(rig: Counted) -> None:
        rig.program.events.tell(RequestSent("tags", "ok"))
        assert rig("otaflux_registry_requests_total") == 1

    counted(test)


def test_the_broker_is_counted() -> None:
    """Whether there is a connection, what it took, and what waits."""

    async def test(rig: Counted) -> None:
        tell = rig.program.events.tell
        tell(BrokerConnected("mqtt://broker:1883", "otaflux"))
        tell(BrokerFailed("one topic is refused", "", is_connected=True))
        assert rig("otaflux_broker_connected") == 1
        tell(BrokerWaiting("announcement", 3))
        tell(BrokerSent("announcement"))
        assert rig("otaflux_broker_waiting", kind="announcement") == 3
        assert rig("otaflux_broker_messages_total", kind="announcement") == 1
        tell(BrokerFailed("it is away", ""))
        assert rig("otaflux_broker_connected") == 0

    counted(test)


def test_each_metric_that_is_declared_moves_here() -> None:
    """No metric is declared that no test above sees move."""
    named = {family.name for family in _declared().collect()}
    text = Path(__file__).read_text()
    assert not {name for name in named if f'rig("{name}' not in text}


def _declared() -> CollectorRegistry:
    registry = CollectorRegistry()
    Metrics(registry)
    return registry
