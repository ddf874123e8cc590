"""`/ready`: once each known device was tried, for good."""

from __future__ import annotations

import asyncio
import json

from watched import Watched, run_watched

from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device


def test_ready_once_each_known_device_was_tried() -> None:
    """Until then 503, and who waits is named."""

    async def test(rig: Watched) -> None:
        before = await rig.get("/ready")
        assert before.status == 503
        said = json.loads(before.body)
        assert (said["ready"], said["waiting_for_first_look"]) == (False, ["door", "lamp"])
        async with rig.running():
            await asyncio.sleep(10)
            after = await rig.get("/ready")
            assert after.status == 200
            assert json.loads(after.body)["waiting"] == 0

    run_watched(test, "lamp", "door", devices=("lamp", "door"))


def test_a_registry_that_is_away_at_the_start_keeps_nobody_from_being_ready() -> None:
    """It was tried; and it is said."""

    async def test(rig: Watched) -> None:
        rig.registry.away = True
        async with rig.running():
            await asyncio.sleep(600)
            said = json.loads((await rig.get("/ready")).body)
            assert said["ready"]
            assert said["registry_away"]

    run_watched(test, "lamp", "door", devices=("lamp", "door"))


def test_a_registry_that_only_its_listing_was_asked_of_is_away_too() -> None:
    """While no device is known, nothing else is asked for; the page says once that none is."""

    async def test(rig: Watched) -> None:
        rig.registry.away = True
        async with rig.running():
            await asyncio.sleep(60)
            assert json.loads((await rig.get("/ready")).body)["registry_away"]
            assert (await rig.status())["registry_away"]
            assert await rig.metric("otaflux_registry_away") == 1
            page = (await rig.get("/")).body.decode()
            assert page.lower().count("no device is known") == 1
            rig.registry.away = False
            await asyncio.sleep(900)
            assert not (await rig.status())["registry_away"]

    run_watched(test)


def test_ready_stays_so_when_the_registry_goes_and_devices_come() -> None:
    """Who took the server out for that would make an outage of it."""

    async def test(rig: Watched) -> None:
        async with rig.running():
            await asyncio.sleep(10)
            assert (await rig.get("/ready")).status == 200
            rig.registry.away = True
            rig.program.roster.name(Device("door"))
            _ = rig.program.touch(Touch(Device("lamp"), Priority.HOOK))
            await asyncio.sleep(3)
            answer = await rig.get("/ready")
            assert answer.status == 200
            assert json.loads(answer.body)["waiting_for_first_look"] == ["door"]

    run_watched(test, "lamp", "door", devices=("lamp",))


def test_before_the_listing_was_asked_for_nobody_is_ready() -> None:
    """Whom it names is not known yet."""

    async def test(rig: Watched) -> None:
        assert (await rig.get("/ready")).status == 503

    run_watched(test)
