"""How much one run looks at, and where the next goes on; few tags of what only polls found.

The registry, the disk and the clock are the simulation's; everything else is the server's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import structlog
from simulation.disk import MemoryDisk
from simulation.loop import run_virtually
from simulation.program import RULES, Program
from simulation.registry import Content, Shape, SimulatedRegistry

from otaflux.events import Happening, Pulled, TagClear
from otaflux.log import Event
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Channel, Device, Tag
from otaflux.reconcile.run import MOST_LOOKS_FOUND
from otaflux.work.outcome import Again, Done, Outcome

LAMP, FAN = Device("lamp"), Device("fan")
OTHERS = tuple(Device(f"other{number}") for number in range(8))
RC = Channel("rc")


class House:
    """A server and its registry; `looked` are the tags that it asked for."""

    def __init__(self) -> None:
        clock = asyncio.get_running_loop().time
        chance = random.Random(1)
        self.registry = SimulatedRegistry((LAMP, FAN, *OTHERS), chance, clock)
        self.looked: list[str] = []
        self.pulled = 0
        self.program = Program(
            self.registry, MemoryDisk(chance), chance, replace(RULES, channels=(RC,))
        )
        self.program.events.listen(self._hear)
        self._number = 0

    def _hear(self, happening: Happening) -> None:
        match happening:
            case TagClear(tag=tag):
                self.looked.append(tag.text)
            case Pulled():
                self.pulled += 1

    def push(self, *tags: str, shape: Shape = Shape.BAD, device: Device = LAMP) -> None:
        """Push tags, each with content of its own."""
        for tag in tags:
            self._number += 1
            self.registry.put(device, Tag(tag), Content(self._number, shape))

    async def look(self, priority: Priority = Priority.RECHECK, *tags: str) -> Outcome:
        """One run, whose tags are in `looked` then."""
        self.looked.clear()
        since = asyncio.get_running_loop().time() if priority is Priority.HOOK else None
        hooks = ("hook",) if priority is Priority.HOOK else ()
        touch = Touch(LAMP, priority, hooks, since, tuple(map(Tag, tags)))
        return await self.program.bring_up_to_date(touch)

    def told(self, channel: str = "stable", device: Device = LAMP) -> str | None:
        """The tag that a channel is told."""
        record = self.program.catalog.get(device)
        release = record.current(channel) if record else None
        return release.tag.text if release else None


def house(test: Callable[[House], Awaitable[None]]) -> None:
    """Run a test over a house whose lamp a hook named."""

    async def main() -> None:
        at = House()
        await at.program.restore()
        await at.program.load()
        await test(at)

    run_virtually(main())


def bad(number: int) -> list[str]:
    """So many versions, highest first."""
    return [f"2.0.{at}" for at in range(number, 0, -1)]


def test_a_run_looks_at_fifty_and_the_next_goes_on_below() -> None:
    """Until one stands; each is looked at once, and what is told meanwhile stays."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push("1.0.0", shape=Shape.PLAIN)
        await at.look()
        at.push(*bad(120))
        seen = []
        for _ in range(2):
            again = await at.look()
            assert isinstance(again, Again)
            assert not again.is_settled
            assert (again.touch.priority, again.after >= 1.0) == (Priority.RECHECK, True)
            assert len(set(at.looked)) == RULES.most_looks
            assert at.told() == "1.0.0"
            seen += at.looked
        assert await at.look() == Done()
        assert at.looked[-1] == "1.0.0"
        assert [*seen, *at.looked[:-1]] == bad(120)
        pulled = at.pulled
        assert pulled == 121
        assert isinstance(await at.look(), Again), "from the top again, with the next re-check"
        assert at.looked[0] == "2.0.120"
        assert at.pulled == pulled, "a verdict costs no second pull"

    house(test)


def test_a_hooks_release_is_told_though_others_go_on_below() -> None:
    """What comes above is looked at first; a hook's own tag is, wherever it stands."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push(*bad(120))
        await at.look(Priority.HOOK)
        registry_tag = "2.0.110"
        at.push(registry_tag, shape=Shape.PLAIN)
        again = await at.look(Priority.HOOK, registry_tag)
        assert again == Done()
        assert at.told() == registry_tag
        at.push("3.0.0", shape=Shape.PLAIN)
        await at.look(Priority.RECHECK)
        assert at.told() == "3.0.0"

    house(test)


def test_other_channels_get_their_turn() -> None:
    """One in which a run had to stop comes last in the next."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push(*bad(120), "1.0.0")
        at.push("3.0.0-rc.1", shape=Shape.PLAIN)
        await at.look()
        assert at.told(RC) is None
        await at.look()
        assert at.told(RC) == "3.0.0-rc.1"

    house(test)


def test_what_a_hook_named_is_looked_at_though_the_listing_never_shows_it() -> None:
    """A run that was full before it came to that tag leaves the name to the one that goes on."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push(*bad(RULES.most_looks + 10))
        at.push("1.0.0", shape=Shape.PLAIN)
        await asyncio.sleep(60)
        at.push("1.5.0", shape=Shape.PLAIN)
        at.registry.stale_for = 30.0
        again: Outcome = await at.look(Priority.HOOK, "1.5.0")
        while isinstance(again, Again):
            at.looked.clear()
            again = await at.program.bring_up_to_date(again.touch)
        assert at.told() == "1.5.0"

    house(test)


def test_a_hooks_hurry_ends_with_its_first_run() -> None:
    """What goes on takes no place that is kept for hooks."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push(*bad(120))
        again = await at.look(Priority.HOOK, "2.0.120")
        assert isinstance(again, Again)
        assert again.touch.priority is Priority.START
        assert (again.touch.hooks, again.touch.tags) == (("hook",), ())

    house(test)


def test_devices_that_hold_places_give_them_to_others() -> None:
    """Eight with a thousand unusable tags each: a ninth one's release is told in a minute or two.

    Two places are theirs here, and a look takes a fifth of a second.
    """

    async def test(at: House) -> None:
        for device in OTHERS:
            at.push(*bad(1000), device=device)
            at.program.roster.name(device)
        at.push("1.0.0", shape=Shape.PLAIN, device=FAN)
        at.program.roster.name(FAN)
        at.registry.slowness = 0.2
        running = asyncio.create_task(at.program.run())
        began = asyncio.get_running_loop().time()
        for device in OTHERS:
            _ = at.program.touch(Touch(device, Priority.START))
        await asyncio.wait({at.program.touch(Touch(FAN, Priority.START))})
        assert at.told(device=FAN) == "1.0.0"
        assert asyncio.get_running_loop().time() - began < 120
        running.cancel()

    house(test)


def test_of_what_only_polls_found_three_are_looked_at() -> None:
    """And remembered, on disk: not one more pull comes of the polls and re-checks after it."""

    async def test(at: House) -> None:
        at.push(*bad(40))
        with structlog.testing.capture_logs() as lines:
            assert await at.look(Priority.FIRST_POLL) == Done()
            assert at.looked == bad(40)[:MOST_LOOKS_FOUND]
            assert at.pulled == MOST_LOOKS_FOUND
            for priority in (Priority.FIRST_POLL, Priority.RECHECK, Priority.START):
                assert await at.look(priority) == Done()
                assert at.looked == bad(40)[:MOST_LOOKS_FOUND]
        assert at.pulled == MOST_LOOKS_FOUND
        refused = [line for line in lines if line["event"] == Event.RELEASE_REFUSED]
        assert len(refused) == MOST_LOOKS_FOUND
        record = at.program.catalog.get(LAMP)
        assert record is not None
        assert (record.found_by_poll, record.ever_synced, len(record.verdicts)) == (True, True, 3)

    house(test)


def test_what_only_polls_found_goes_on_being_told_below_three_unusable_ones() -> None:
    """Until its tag goes; a usable one among the three takes its place."""

    async def test(at: House) -> None:
        at.push("1.0.0", shape=Shape.PLAIN)
        await at.look(Priority.FIRST_POLL)
        at.push(*bad(5))
        assert await at.look() == Done()
        assert (at.told(), at.told(RC)) == ("1.0.0", "1.0.0")
        at.push("2.0.5", shape=Shape.PLAIN)
        await at.look()
        assert at.told() == "2.0.5"

    house(test)


def test_what_has_no_version_leaves_nothing_on_the_disk() -> None:
    """A poll for a repository without one is forgotten at once."""

    async def test(at: House) -> None:
        at.push("latest")
        await at.look(Priority.FIRST_POLL)
        assert at.program.catalog.get(LAMP) is None

    house(test)


def test_a_verdict_is_on_the_disk_before_the_next_look() -> None:
    """What ends the program in the middle of a run does not make it look at that again."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push("2.0.0", "1.0.0")
        judged: list[int] = []
        at.program.catalog.listen(lambda _, record: judged.append(len(record.verdicts)))
        await at.look()
        assert judged[:2] == [1, 2]

    house(test)


def test_what_a_record_has_no_room_for_is_not_pulled_again_either() -> None:
    """A record keeps a thousand verdicts; of those over it is remembered what they came to."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push(*bad(10))
        await at.look()
        record = at.program.catalog.get(LAMP)
        assert record is not None
        at.program.catalog.load(replace(record, verdicts=record.verdicts[:4]))
        with structlog.testing.capture_logs() as lines:
            await at.look()
        assert at.pulled == 10
        assert not [line for line in lines if line["event"] == Event.RELEASE_REFUSED]

    house(test)


@pytest.mark.parametrize("above", [0, 70])
def test_a_channel_that_was_not_come_to_comes_first_in_the_next_run(above: int) -> None:
    """Where another one takes all that a run may look at, each time anew."""

    async def test(at: House) -> None:
        at.program.roster.name(LAMP)
        at.push(*bad(RULES.most_looks - 1))
        at.push(*(f"4.0.0-rc.{number}" for number in range(above)))
        at.push("1.0.0", "3.0.0-rc.1", shape=Shape.PLAIN)
        assert isinstance(await at.look(), Again)
        assert (at.told(), at.told("rc")) == ("1.0.0", None)
        runs = 0
        while await at.look() != Done():
            runs += 1
            assert runs < 12
        assert (at.told(), at.told("rc")) == ("1.0.0", "3.0.0-rc.1")

    house(test)
