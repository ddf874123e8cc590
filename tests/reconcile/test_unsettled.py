"""What stays undecided in one channel or tag holds up no other channel of the device."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from simulation.disk import MemoryDisk
from simulation.loop import run_virtually
from simulation.program import Program
from simulation.registry import Content, Shape, SimulatedRegistry
from structlog.testing import capture_logs

from otaflux.errors import Unreachable
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.reconcile.withdrawals import BETWEEN_LOOKS
from otaflux.state.store import MARGIN
from otaflux.work.outcome import Done, Failed

LAMP = Device("lamp")
V1, V2, RC = Tag("1.0.0"), Tag("2.0.0"), Tag("3.0.0-rc.1")


class SmallDisk(MemoryDisk):
    """It has room for a firmware as often as `rooms` says, and then always."""

    rooms: list[bool]

    def free(self, folder: Path) -> int:
        """Much, or nothing."""
        return MARGIN + (1 << 20 if not self.rooms or self.rooms.pop(0) else 0)


class Fresh:
    """A server with an empty folder, and the registry that it looks at."""

    def __init__(self) -> None:
        chance, clock = random.Random(1), asyncio.get_running_loop().time
        self.registry = SimulatedRegistry((LAMP,), chance, clock)
        self.disk = SmallDisk(chance)
        self.disk.rooms = []
        self.program = Program(self.registry, self.disk, chance)

    async def begin(self) -> None:
        """Start it, without its timer."""
        await self.program.restore()
        await self.program.load()
        await self.program.wire.open()

    def push(self, tag: Tag, number: int) -> None:
        """Push a tag."""
        self.registry.put(LAMP, tag, Content(number, Shape.PLAIN))

    async def look(
        self, priority: Priority = Priority.RECHECK, *, deletion: bool = False
    ) -> object:
        """One run."""
        return await self.program.bring_up_to_date(Touch(LAMP, priority, deletion=deletion))

    async def told(self, channel: str) -> int | str:
        """The version that a poll of a channel gets, or the status that it gets instead."""
        answer = await self.program.wire.get(f"/version?device=lamp&channel={channel}")
        return answer.body.decode().split("\n")[0] if answer.status == 200 else answer.status


def fresh(test: Callable[[Fresh], Awaitable[None]]) -> None:
    """Run a test over such a server."""

    async def main() -> None:
        rig = Fresh()
        await rig.begin()
        await test(rig)

    run_virtually(main())


def test_a_stable_tag_that_errs_for_ever_does_not_keep_a_channel_from_being_told() -> None:
    """On a fresh server too; who asks for what is not settled is told to come again."""

    async def test(rig: Fresh) -> None:
        rig.push(V1, 1)
        rig.push(RC, 2)
        rig.registry.unclear.add(V1)
        outcome = await rig.look()
        assert isinstance(outcome, Failed), "so it is tried again"
        assert await rig.told("rc") == "3.0.0-rc.1"
        assert await rig.told("stable") == 503
        rig.registry.unclear.clear()
        assert await rig.look() == Done()
        assert await rig.told("stable") == "1.0.0"

    fresh(test)


def test_a_channels_tag_that_errs_for_ever_holds_up_neither_stable_nor_what_is_kept() -> None:
    """Each newer stable release is told at once, whatever the channel's own tag does."""

    async def test(rig: Fresh) -> None:
        rig.push(RC, 9)
        rig.registry.unclear.add(RC)
        for number, tag in enumerate((V1, V2), 1):
            rig.push(tag, number)
            assert isinstance(await rig.look(), Failed)
            assert await rig.told("stable") == tag.text
        record = rig.program.catalog.get(LAMP)
        assert record is not None
        assert [release.tag for release in record.kept] == [V1]

    fresh(test)


def test_a_firmware_that_the_disk_has_no_room_for_holds_up_no_other_channel() -> None:
    """The disk's fault is that tag's alone, as long as records can be written."""

    async def test(rig: Fresh) -> None:
        rig.push(V1, 1)
        rig.push(RC, 2)
        rig.disk.rooms = [False]
        with capture_logs() as lines:
            assert isinstance(await rig.look(), Failed)
        assert await rig.told("rc") == "3.0.0-rc.1"
        assert await rig.told("stable") == 503
        (line,) = [each for each in lines if each["event"] == "disk_failed"]
        assert line["tag"] == "1.0.0"

    fresh(test)


def test_where_channels_meet_at_a_tag_in_trouble_it_is_tried_once_a_run() -> None:
    """And said once."""

    async def test(rig: Fresh) -> None:
        rig.push(V1, 1)
        rig.registry.unclear.add(V1)
        with capture_logs() as lines:
            assert isinstance(await rig.look(), Failed)
        assert [each["tag"] for each in lines if each["event"] == "registry_failed"] == ["1.0.0"]

    fresh(test)


def test_a_withdrawal_does_not_wait_for_another_tags_trouble_to_end() -> None:
    """The second look comes in time, however long the other tag has failed."""

    async def test(rig: Fresh) -> None:
        for number, tag in enumerate((V1, V2), 1):
            rig.push(tag, number)
        await rig.look()
        rig.push(RC, 9)
        rig.registry.unclear.add(RC)
        rig.registry.delete(LAMP, V2)
        outcome = await rig.look(Priority.HOOK, deletion=True)
        assert isinstance(outcome, Failed)
        assert outcome.within == BETWEEN_LOOKS
        await asyncio.sleep(BETWEEN_LOOKS)
        await rig.look(Priority.HOOK, deletion=True)
        assert await rig.told("stable") == "1.0.0"

    fresh(test)


def test_a_registry_that_is_away_as_a_whole_ends_the_run() -> None:
    """Of every other tag nothing would be learnt either."""

    async def test(rig: Fresh) -> None:
        rig.push(V1, 1)
        rig.registry.away = True
        with pytest.raises(Unreachable):
            await rig.look()

    fresh(test)
