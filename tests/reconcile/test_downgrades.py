"""`DOWNGRADES=never`: what a channel tells never falls, whatever becomes of registry and server.

In virtual time; that no history makes a channel fall is asked of the simulation.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import structlog
from lamp import KEEPS, LAMP, RC, V1, V2, V3, Lamp, lamp
from simulation.program import PREFIX
from simulation.registry import Shape

from otaflux.model.event import Priority
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.record import Record
from otaflux.reconcile.withdrawals import BETWEEN_LOOKS
from otaflux.roster.roster import MOST_FOUND
from otaflux.state.restore import with_releases
from otaflux.work.outcome import Again, Done

NEVER = replace(KEEPS, never_fall=True)
RC_CHANNEL = Channel("rc")


async def withdraw(rig: Lamp, *tags: Tag) -> None:
    """Delete tags, and have both looks made that see it."""
    for tag in tags:
        rig.registry.delete(LAMP, tag)
    await rig.look(deletion=True)
    await asyncio.sleep(BETWEEN_LOOKS)
    await rig.look(deletion=True)


def record(rig: Lamp) -> Record:
    """What is known of the lamp."""
    found = rig.program.catalog.get(LAMP)
    assert found is not None
    return found


def is_withdrawn(rig: Lamp) -> bool:
    """Whether the stable channel is told what its source has no more."""
    standing = record(rig).standing()
    return standing is not None and standing.withdrawn


def test_a_withdrawn_release_is_told_on_until_a_higher_one_can_be() -> None:
    """From its file, across restarts and for ever; said once in the log."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        high = rig.push(V2)
        await rig.look()
        with structlog.testing.capture_logs() as lines:
            await withdraw(rig, V2)
            assert (rig.told(), is_withdrawn(rig)) == ("2.0.0", True)
            for _ in range(3):
                await rig.restart(NEVER)
                await asyncio.sleep(30 * 24 * 3600.0)
                await rig.look()
                await rig.look()
                assert (rig.told(), is_withdrawn(rig)) == ("2.0.0", True)
                assert rig.has(high)
        (said,) = [line for line in lines if line["event"] == "release_withdrawn"]
        assert said["reason"].endswith("told on, from its file, because DOWNGRADES=never")
        rig.push(V3)
        await rig.look()
        assert rig.told() == "3.0.0"
        assert rig.heard == ["2.0.0", "3.0.0"]
        assert "2.0.0" not in rig.kept()

    lamp(test, NEVER)


def test_what_comes_back_is_withdrawn_no_more() -> None:
    """The same tag with the same bytes is what it was."""

    async def test(rig: Lamp) -> None:
        content = rig.push(V2)
        await rig.look()
        await withdraw(rig, V2)
        rig.registry.put(LAMP, V2, content)
        await rig.look()
        assert (rig.told(), is_withdrawn(rig)) == ("2.0.0", False)

    lamp(test, NEVER)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_moved_tag_is_followed_and_falls_no_lower(*, is_there: bool) -> None:
    """Other bytes of the same version are neither higher nor lower; useless ones are not taken."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(V2)
        await rig.look()
        if not is_there:
            await withdraw(rig, V2)
        new = rig.push(V2)
        await rig.look(V2)
        told = record(rig).current()
        assert told is not None
        assert told.firmware.firmware_digest == new.firmware_digest
        rig.push(V2, Shape.BAD)
        await rig.look(V2)
        assert record(rig).current() == told

    lamp(test, NEVER)


def test_of_equal_versions_the_build_and_the_tag_do_not_fall_either() -> None:
    """The order is that in which releases are settled."""

    async def test(rig: Lamp) -> None:
        tags = [Tag("1.0.0"), Tag("v1.0.0"), Tag("1.0.0_2"), Tag("1.0.0_10")]
        for tag in tags:
            rig.push(tag)
            await rig.look()
        await withdraw(rig, tags[3])
        assert rig.told() == "1.0.0_10"
        await withdraw(rig, *tags[:3])
        assert rig.told() == "1.0.0_10"

    lamp(test, NEVER)


def test_each_channel_has_its_own_floor() -> None:
    """A pre-release that went is told on in its channel, and a stable release above it is taken."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(RC)
        await rig.look()
        await withdraw(rig, RC)
        assert (rig.told(), rig.told("rc")) == ("1.0.0", "4.0.0-rc.1")
        rig.push(Tag("4.0.0-rc.0"))
        rig.push(V2)
        await rig.look()
        assert (rig.told(), rig.told("rc")) == ("2.0.0", "4.0.0-rc.1")
        rig.push(Tag("4.0.0"))
        await rig.look()
        assert (rig.told(), rig.told("rc")) == ("4.0.0", "4.0.0")

    lamp(test, NEVER)


def test_a_channel_that_is_not_set_for_a_while_has_its_floor_when_it_is_again() -> None:
    """Its release goes with it, and nothing lower is told after."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(RC)
        await rig.look()
        await rig.restart(replace(NEVER, channels=()))
        await rig.look()
        await withdraw(rig, RC)
        rig.push(Tag("3.0.0-rc.1"))
        await rig.restart(NEVER)
        await rig.look()
        assert (rig.told(), rig.told("rc")) == ("1.0.0", None)
        rig.push(Tag("4.0.0-rc.2"))
        await rig.look()
        assert rig.told("rc") == "4.0.0-rc.2"

    lamp(test, NEVER)


def test_where_the_file_is_lost_nothing_lower_is_told() -> None:
    """Nothing at all, until something at least as high can be used."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        high = rig.push(V2)
        await rig.look()
        await withdraw(rig, V2)
        rig.disk.unlink(rig.program.store.path(high.firmware_digest))
        await rig.restart(NEVER)
        await rig.look()
        assert rig.told() is None
        rig.registry.put(LAMP, V2, high)
        await rig.look()
        assert rig.told() == "2.0.0"
        assert rig.heard == ["2.0.0", None, "2.0.0"]

    lamp(test, NEVER)


def test_from_when_on_it_is_set_counts_what_is_told_then() -> None:
    """Not what was told before; and while it is not set, channels follow."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(V2)
        rig.push(V3)
        await rig.look()
        await withdraw(rig, V3)
        assert (rig.told(), record(rig).floors) == ("2.0.0", {})
        await rig.restart(NEVER)
        assert record(rig).floors == {STABLE: V2, RC_CHANNEL: V2}
        await rig.look()
        await withdraw(rig, V2)
        await rig.restart(NEVER)
        assert rig.told() == "2.0.0"
        await rig.restart(KEEPS)
        assert record(rig).floors == {}
        await rig.look()
        await asyncio.sleep(BETWEEN_LOOKS)
        await rig.look(deletion=True)
        await asyncio.sleep(BETWEEN_LOOKS)
        await rig.look(deletion=True)
        assert rig.told() == "1.0.0"
        await rig.restart(NEVER)
        assert rig.told() == "1.0.0"

    lamp(test)


def test_the_floor_that_a_start_sets_is_written_with_the_next_look() -> None:
    """So that it outlives the file, though nothing else changed."""

    async def test(rig: Lamp) -> None:
        high = rig.push(V2)
        await rig.look()
        await rig.restart(NEVER)
        await rig.look()
        rig.disk.unlink(rig.program.store.path(high.firmware_digest))
        await rig.restart(NEVER)
        assert (rig.told(), record(rig).floor(STABLE)) == (None, (2, 0, 0, (1, ()), (), "2.0.0"))

    lamp(test)


@pytest.mark.parametrize("restarts", [True, False])
def test_a_device_that_only_polls_found_and_that_went_comes_back_no_lower(
    *, restarts: bool
) -> None:
    """Its record and files go, and its floor stays, over restarts too; `forget` takes it."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        high = rig.push(V2)
        await rig.look(priority=Priority.FIRST_POLL)
        for number in range(MOST_FOUND):
            device = Device(f"d{number}")
            rig.program.catalog.load(Record(device, "simulated", PREFIX, found_by_poll=True))
        await rig.look()
        assert rig.program.catalog.get(LAMP) is None
        assert not rig.has(high)
        rig.registry.delete(LAMP, V2)
        if restarts:
            await rig.restart(NEVER)
            assert rig.program.catalog.get(LAMP) is None
        await rig.look(priority=Priority.FIRST_POLL)
        assert rig.told() is None
        rig.registry.put(LAMP, V2, high)
        await rig.look()
        assert rig.told() == "2.0.0"
        await rig.program.catalog.forget(LAMP)
        rig.registry.delete(LAMP, V2)
        await rig.look()
        assert rig.told() == "1.0.0"

    lamp(test, NEVER)


def test_another_registry_brings_nothing_lower_either() -> None:
    """What was read elsewhere is not told, and what was told is not forgotten."""

    async def test(rig: Lamp) -> None:
        rig.push(V2)
        await rig.look()
        rig.registry.name = "another"
        await withdraw(rig, V2)
        rig.push(V1)
        await rig.restart(NEVER)
        await rig.look()
        assert rig.told() is None
        rig.push(V3)
        await rig.look()
        assert rig.told() == "3.0.0"

    lamp(test, NEVER)


def test_what_only_polls_found_is_told_on_though_few_of_its_tags_are_looked_at() -> None:
    """Its channels do not fall either."""

    async def test(rig: Lamp) -> None:
        rig.push(V2)
        await rig.look(priority=Priority.FIRST_POLL)
        await withdraw(rig, V2)
        for number in range(9):
            rig.push(Tag(f"3.0.{number}"), Shape.BAD)
        await rig.look()
        assert rig.told() == "2.0.0"

    lamp(test, NEVER)


def test_what_may_not_be_told_any_more_leaves_nothing_lower() -> None:
    """As where its key was removed: nothing, until something at least as high can be told."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(V2)
        await rig.look()
        await withdraw(rig, V2)
        rig.program.catalog.lose(with_releases(record(rig), lambda _: False))
        assert rig.told() is None
        for _ in range(2):
            await rig.look()
            await rig.restart(NEVER)
        assert rig.told() is None
        rig.push(V3)
        await rig.look()
        assert rig.heard == ["2.0.0", None, "3.0.0"]

    lamp(test, NEVER)


def test_a_withdrawn_tag_that_a_hook_names_is_awaited() -> None:
    """The hook may be ahead of the registry, as with a tag that never was there."""

    async def test(rig: Lamp) -> None:
        rig.push(V2)
        await rig.look()
        await withdraw(rig, V2)
        ahead = await rig.look(V2, priority=Priority.HOOK)
        assert isinstance(ahead, Again)
        again = await rig.look()
        assert isinstance(again, Done)

    lamp(test, NEVER)
