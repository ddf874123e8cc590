"""`/metrics`: Prometheus' text, with what is looked up at each scrape."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from device_server import release
from simulation.registry import Shape
from watched import Watched, run_watched

from otaflux.counters import PIECE, DeviceCounter
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device


def test_what_waits_and_runs_is_looked_up() -> None:
    """Devices, those that wait for a first look, the queue, and runs under way."""

    async def test(rig: Watched) -> None:
        assert await rig.metric("otaflux_devices") == 2
        assert await rig.metric("otaflux_devices_waiting") == 2
        await rig.look("lamp")
        assert await rig.metric("otaflux_devices_waiting") == 1
        _ = rig.program.queue.touch(Touch(Device("door"), Priority.RECHECK))
        assert await rig.metric("otaflux_queue_length") == 1
        rig.push("door", "1.0.0")
        run = asyncio.create_task(rig.program.queue.run())
        seen = set()
        for _ in range(500):
            await asyncio.sleep(0.005)
            seen.add(await rig.metric("otaflux_runs_under_way"))
        assert seen == {0, 1}
        assert await rig.metric("otaflux_devices_waiting") == 0
        run.cancel()

    run_watched(test, "lamp", "door", devices=("lamp", "door"))


def test_downloads_under_way_and_waiting_are_looked_up() -> None:
    """A place that is taken, and one who waits for it."""

    async def test(rig: Watched) -> None:
        downloads = rig.program.edge.downloads
        for _ in range(10):
            await downloads.take_place()
        waits = asyncio.create_task(downloads.take_place())
        await asyncio.sleep(0)
        assert await rig.metric("otaflux_downloads_waiting") == 1
        downloads.leave_place()
        await waits
        assert await rig.metric("otaflux_downloads_waiting") == 0
        assert await rig.metric("otaflux_downloads_under_way") == 0

    run_watched(test)


def test_a_registry_that_is_away_shows() -> None:
    """From the first run that does not reach it until one does; and devices that fail with it."""

    async def test(rig: Watched) -> None:
        async with rig.running():
            await asyncio.sleep(5)
            assert await rig.metric("otaflux_registry_away") == 0
            rig.registry.away = True
            _ = rig.program.touch(Touch(Device("lamp"), Priority.HOOK))
            await asyncio.sleep(3)
            assert await rig.metric("otaflux_registry_away") == 1
            assert await rig.metric("otaflux_devices_failing") == 1
            rig.registry.away = False
            await asyncio.sleep(120)
            assert await rig.metric("otaflux_registry_away") == 0
            assert await rig.metric("otaflux_devices_failing") == 0

    run_watched(test, devices=("lamp",))


def test_units_that_are_crowded_out_show() -> None:
    """Those that still ask; and in `/status`, by the same words."""

    async def test(rig: Watched) -> None:
        units = rig.program.edge.parts.units
        for number in range(len(units), 1003):
            units.heard(Device("lamp"), f"u{number}")
        assert await rig.metric("otaflux_units_remembered") == 1000
        assert await rig.metric("otaflux_units_crowded_out") == 3
        said = await rig.status()
        assert (said["units_remembered"], said["units_crowded_out"]) == (1000, 3)

    run_watched(test)


def test_pages_that_are_kept_live_are_looked_up() -> None:
    """One for each that watches."""

    async def test(rig: Watched) -> None:
        watching = asyncio.create_task(rig.get("/live"))
        await asyncio.sleep(0.1)
        assert await rig.metric("otaflux_watchers") == 1
        watching.cancel()

    run_watched(test)


def test_lines_of_the_log_that_were_lost_are_looked_up() -> None:
    """And said on the page, for the log cannot say it."""

    async def test(rig: Watched) -> None:
        rig.overheard.watch(lambda: 7)
        assert await rig.metric("otaflux_log_lines_lost") == 7
        page = (await rig.get("/")).body.decode()
        assert "7 lines of the log could not be written" in page
        assert "Look at where the log goes" in page

    run_watched(test)


def test_units_are_looked_up_by_the_version_that_they_run() -> None:
    """Of devices that have a record, and versions that it holds; what else is said is `other`."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        for device, unit, runs in (
            ("lamp", "a", "1.0.0"), ("lamp", "b", "1.0.0"), ("lamp", "c", 'x"}'), ("door", "d", "1")
        ):  # fmt: skip
            rig.program.edge.parts.units.heard(Device(device), unit, runs=runs)
        assert await rig.metric("otaflux_units", device_id="lamp", version="1.0.0") == 2
        assert await rig.metric("otaflux_units", device_id="lamp", version="other") == 1
        assert b"door" not in (await rig.get("/metrics")).body

    run_watched(test)


def test_devices_with_a_refused_release_above_their_current_one_are_counted() -> None:
    """Until a higher one can be served."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        rig.push("lamp", "2.0.0", Shape.BAD)
        await rig.look("lamp")
        assert await rig.metric("otaflux_devices_refused") == 1
        rig.push("lamp", "2.0.1")
        await rig.look("lamp")
        assert await rig.metric("otaflux_devices_refused") == 0

    run_watched(test)


def test_the_round_and_the_disk_are_looked_up() -> None:
    """How long a round of re-checks takes, and how much room is left."""

    async def test(rig: Watched) -> None:
        assert (
            await rig.metric("otaflux_recheck_round_seconds") == rig.program.policy.recheck_interval
        )
        assert await rig.metric("otaflux_disk_free_bytes") > 0

    run_watched(test)


@pytest.mark.real("promtool")
def test_promtool_takes_the_text() -> None:
    """What Prometheus' own linter says: nothing but names that the Rust program chose."""

    async def test(rig: Watched) -> None:
        rig.push("lamp", "1.0.0")
        await rig.look("lamp")
        rig.seen.meter.quick({(Device("lamp"), 200): 1})
        rig.seen.meter.said({(Device("lamp"), "1.0.0"): 1})
        rig.seen.meter.download(release(), "", whole=True, last=True)
        texts.append((await rig.get("/metrics")).body)

    texts: list[bytes] = []
    run_watched(test)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=texts[0], capture_output=True, check=False
    )
    assert done.stderr.decode() + done.stdout.decode() == ""
    assert done.returncode == 0


def test_many_devices_come_in_pieces() -> None:
    """So that polls have their turn, and none is left out."""
    counter = DeviceCounter("things", "Things.", "device_id")
    for number in range(3 * PIECE + 1):
        counter.add(f"d{number}")
    pieces = list(counter.render())
    assert len(pieces) == 5, "the head, and four pieces"
    assert "".join(pieces).count("\n") == 3 * PIECE + 3
