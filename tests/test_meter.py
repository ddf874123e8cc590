"""Each metric moves when what it counts happens, in the server's own wiring."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from device_server import Clock, release
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from simulation import senders
from simulation.loop import run_virtually
from simulation.registry import Shape
from watched import Watched

from otaflux.errors import Unreachable
from otaflux.events import (
    BrokerConnected,
    BrokerFailed,
    BrokerHeard,
    BrokerSent,
    BrokerWaiting,
    Events,
    Happening,
    RequestSent,
    UnitLooping,
)
from otaflux.machine import Machine
from otaflux.metrics import Metrics
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.takes import Takes

LAMP = Device("lamp")


class Counted(Watched):
    """A simulated server that has one device; called, it says what a metric is now."""

    def __call__(self, metric: str, **labels: str) -> float:
        """What a metric says; 0 where it never moved."""
        text = b"".join(self.seen.metrics.render()).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == metric and sample.labels == labels:
                    return float(sample.value)
        return 0.0


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
        rig.push("lamp", "1.0.0")
        rig.push("lamp", "2.0.0", Shape.BAD)
        await rig.look("lamp")
        assert rig("otaflux_pulls_total", outcome="usable") == 1
        assert rig("otaflux_pulls_total", outcome="unusable") == 1
        assert rig("otaflux_pull_seconds_count") == 2
        assert rig("otaflux_events_total", event="release_published") == 2, "one for each channel"
        assert rig("otaflux_events_total", event="release_refused") == 1

    counted(test)


def test_devices_that_a_release_is_told_for_are_counted() -> None:
    """One more with its first release, one less when it is forgotten."""

    async def test(rig: Counted) -> None:
        await rig.look("lamp")
        assert rig("otaflux_releases_current") == 0
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        assert rig("otaflux_releases_current") == 1
        assert rig("firmware_cache_entries") == 1
        assert rig("otaflux_firmware_bytes") > 10
        await rig.program.catalog.forget(LAMP)
        assert rig("otaflux_releases_current") == 0
        assert rig("firmware_cache_entries") == 0
        assert rig("otaflux_firmware_bytes") == 0

    counted(test)


def test_what_a_hook_caused_is_timed_and_what_none_caused_is_not() -> None:
    """From the first hook's arrival to the publish."""

    async def test(rig: Counted) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        assert rig("otaflux_hook_to_publish_seconds_count") == 0
        rig.push("lamp", "2.0.0")
        await rig.look("lamp", Priority.HOOK, asyncio.get_running_loop().time() - 3)
        assert rig("otaflux_hook_to_publish_seconds_count") == 2, "one for each channel"
        assert rig("otaflux_hook_to_publish_seconds_sum") >= 6

    counted(test)


def test_runs_that_the_registry_left_undecided_are_counted() -> None:
    """Once for each run."""

    async def test(rig: Counted) -> None:
        rig.registry.away = True
        for number in (1, 2):
            with pytest.raises(Unreachable):
                await rig.look("lamp")
            assert rig("otaflux_registry_errors_total") == number

    counted(test)


def test_the_age_of_the_last_good_recheck_grows_until_the_next() -> None:
    """A look for a hook is none, and one that fails is none either."""

    async def test(rig: Counted) -> None:
        await asyncio.sleep(50)
        await rig.look("lamp", Priority.HOOK)
        assert rig("otaflux_recheck_age_seconds") >= 50
        await rig.look("lamp")
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
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        await rig.program.wire.get("/firmware?device=lamp", method="HEAD")
        head = {"method": "HEAD", "path": "/firmware", "status": "200"}
        assert rig("http_requests_total", **head) == 1
        assert rig("http_requests_duration_seconds_count", **head) == 1
        assert rig("firmware_cache_hit_total", device_id="lamp") == 1
        await rig.program.wire.get("/version?device=nobody")
        assert rig("firmware_cache_miss_total", device_id="") == 1, "no name of a stranger's"
        await rig.program.catalog.forget(LAMP)
        assert rig("firmware_cache_hit_total", device_id="lamp") == 0, "it went with its device"

    counted(test)


def test_requests_to_the_registry_are_counted() -> None:
    """Each that the client tells of."""

    async def test(rig: Counted) -> None:
        rig.program.events.tell(RequestSent("tags", "ok"))
        assert rig("otaflux_registry_requests_total", kind="tags", outcome="ok") == 1

    counted(test)


def test_plain_polls_are_counted_by_device_status_and_what_units_run() -> None:
    """A version that the catalog has is a label; whatever else a unit says is `other`."""

    async def test(rig: Counted) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        gone = Device("gone")
        rig.seen.meter.quick({(LAMP, 200): 5, (LAMP, 503): 1, (gone, 200): 1})
        rig.seen.meter.said(
            {(LAMP, "1.0.0"): 3, (LAMP, 'v"1'): 2, (LAMP, "9.9.9"): 1, (gone, "1.0.0"): 1}
        )
        polls = {"method": "GET", "path": "/version"}
        assert rig("http_requests_total", **polls, status="200") == 6
        assert rig("http_requests_duration_seconds_sum", **polls, status="200") == 0
        assert rig("firmware_cache_hit_total", device_id="lamp") == 6
        assert rig("otaflux_polls_by_version_total", device_id="lamp", version="1.0.0") == 3
        assert rig("otaflux_polls_by_version_total", device_id="lamp", version="other") == 3
        assert rig("otaflux_polls_by_version_total", device_id="gone", version="1.0.0") == 0

    counted(test)


def test_polls_of_a_real_fast_path_reach_metrics_and_notes() -> None:
    """What the request cache answers is told once a second, with what units say they run."""

    async def test(rig: Counted) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        for query in ("", "", "&current=1.0.0&unit=a"):
            assert (await rig.program.wire.get(f"/version?device=lamp{query}")).status == 200
        rig.program.edge.cache.report()
        polls = {"method": "GET", "path": "/version", "status": "200"}
        assert rig("http_requests_total", **polls) == 3
        assert rig("firmware_cache_hit_total", device_id="lamp") == 3
        assert rig("otaflux_polls_by_version_total", device_id="lamp", version="1.0.0") == 1
        notes = rig.seen.journal.of(LAMP)
        assert (notes.polls, notes.runs) == (3, {"1.0.0": 1})

    counted(test)


def test_downloads_are_counted_by_how_they_ended() -> None:
    """A board that hangs up is no error, and counted."""

    async def test(rig: Counted) -> None:
        told = release("lamp", "1.0.0")
        rig.seen.meter.download(told, "", whole=True, last=True)
        rig.seen.meter.download(told, "", whole=False, last=False)
        assert rig("otaflux_downloads_total", outcome="finished") == 1
        assert rig("otaflux_downloads_total", outcome="broken_off") == 1

    counted(test)


def test_a_unit_that_takes_one_release_three_times_a_day_is_counted_and_told() -> None:
    """Twice is no news, nor parts that do not end the file, nor units without a name."""

    async def test(rig: Counted) -> None:
        told, clock = release("lamp", "1.0.0"), Clock()
        rig.program.events.listen(rig.seen.meter.hear)
        events = Events(rig.seen.meter.hear)
        heard: list[Happening] = []
        events.listen(heard.append)
        takes = Takes(events, machine=Machine(clock=clock))
        for _ in range(9):
            takes.download(told, "", whole=True, last=True)
            takes.download(told, "a", whole=False, last=True)
            takes.download(told, "a", whole=True, last=False)
        for hours in (0, 13, 13):
            clock.value += hours * 3600
            takes.download(told, "a", whole=True, last=True)
        assert heard == [], "the first was more than a day ago"
        takes.download(told, "a", whole=True, last=True)
        assert heard == [UnitLooping(told, "a", 3)]
        assert rig("otaflux_units_looping_total") == 1

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
        tell(BrokerHeard("hook", "ignored"))
        assert rig("otaflux_broker_heard_total", kind="hook", outcome="ignored") == 1
        assert rig("otaflux_broker_waiting", kind="announcement") == 3
        assert rig("otaflux_broker_messages_total", kind="announcement") == 1
        tell(BrokerFailed("it is away", ""))
        assert rig("otaflux_broker_connected") == 0

    counted(test)


def test_each_metric_that_is_declared_moves_here() -> None:
    """No metric is declared that no test here, or of the exposition, sees move."""
    here = Path(__file__)
    text = here.read_text() + (here.parent / "web/ops/test_exposition.py").read_text()
    names = Metrics(CollectorRegistry()).names
    assert len(names) > 25
    assert not {name for name in names if f'("{name}' not in text}
