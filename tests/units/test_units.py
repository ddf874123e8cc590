"""What is remembered of units, in memory."""

from __future__ import annotations

import asyncio
import random
import tracemalloc

import pytest
from structlog.testing import capture_logs

from otaflux.events import ActionClosed, Events
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.units.rumours import Rumours
from otaflux.units.seen import Protocol, SeenUnit
from otaflux.units.units import Units

LAMP, PUMP = Device("lamp"), Device("pump")


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.value = 1_800_000_000.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.value


def known(units: Units, unit: str, device: Device | None = LAMP) -> SeenUnit:
    """What is known of a unit that is known."""
    seen = units.find(device, unit)
    assert seen is not None
    return seen


def test_what_a_unit_said_and_was_told_is_remembered() -> None:
    """A unit's last words count, and what it does not say again stands."""
    time = Time()
    units = Units(machine=Machine(now=time))
    units.heard(LAMP, "24:0A:C4:00:00:01", Protocol.ARDUINO, runs="1.3.0", told="1.4.0")
    time.value += 60
    units.heard(LAMP, "24:0A:C4:00:00:01", Protocol.HTTP)
    seen = known(units, "24:0A:C4:00:00:01")
    assert (seen.runs, seen.told, seen.protocol) == ("1.3.0", "1.4.0", Protocol.HTTP)
    assert seen.heard == int(time.value)
    assert units.find(PUMP, "24:0A:C4:00:00:01") is None


def test_the_unit_heard_of_longest_ago_goes_first() -> None:
    """Where there is no room, who was silent longest makes way, and nobody else."""
    units = Units(3)
    for unit in ("a", "b", "c", "a", "d"):
        units.heard(LAMP, unit, runs="1.0.0")
    assert len(units) == 3
    assert {seen.unit for seen in units.page(0, 10)[0]} == {"a", "c", "d"}
    assert units.running(LAMP) == {"1.0.0": 3}


def test_none_is_remembered_where_none_shall_be() -> None:
    """`UNITS=0` remembers nobody, and nothing fails for it."""
    units = Units(0)
    units.heard(LAMP, "a", runs="1.0.0")
    units.closed(LAMP, "a", 5, "1.0.0", well=True)
    assert (len(units), units.find(LAMP, "a"), units.page(0, 10)) == (0, None, ([], None))


@pytest.mark.parametrize("name", ["", "x" * 201, "a\n", "ä", "\x7f", "\udcff", "\x00"], ids=ascii)
def test_what_cannot_be_a_name_is_not_remembered(name: str) -> None:
    """Names come from strangers: bounded and printable."""
    units = Units()
    units.heard(LAMP, name, runs="1.0.0")
    assert len(units) == 0


@pytest.mark.parametrize("word", ["1" * 129, "1 0", "1\n", "ä", "\udcff"], ids=ascii)
def test_what_cannot_be_a_version_is_not_remembered(word: str) -> None:
    """Versions come from strangers too; the unit itself is remembered."""
    units = Units()
    units.heard(LAMP, "a", runs=word, told=word)
    assert (known(units, "a").runs, known(units, "a").told) == ("", "")


def test_counts_follow_what_units_run() -> None:
    """How many run what is right after each change, and who listens hears of each."""
    units = Units(2)
    heard: list[tuple[str, str, str]] = []
    units.listen(lambda device, unit, runs: heard.append((device.name, unit, runs)))
    units.heard(LAMP, "a", runs="1.0.0")
    units.heard(LAMP, "a", runs="1.0.0")
    units.heard(PUMP, "b", runs="1.0.0")
    units.heard(LAMP, "a", runs="1.1.0")
    units.heard(PUMP, "c", runs="2.0.0")  # b was heard longest ago
    assert sorted(units.counts()) == [(LAMP, "1.1.0", 1), (PUMP, "2.0.0", 1)]
    assert heard == [
        ("lamp", "a", "1.0.0"),
        ("pump", "b", "1.0.0"),
        ("lamp", "a", "1.1.0"),
        ("pump", "b", ""),
        ("pump", "c", "2.0.0"),
    ]


def test_an_action_that_went_well_is_closed_and_one_that_failed_is_counted() -> None:
    """Success ends the failures before it, says what runs, and asks for attributes again."""
    told: list[object] = []
    time = Time()
    units = Units(events=Events(told.append), machine=Machine(now=time))
    units.began(LAMP, "a", 7)
    assert known(units, "a").is_amid
    for _ in range(3):
        units.closed(LAMP, "a", 7, "1.4.0", well=False)
    seen = known(units, "a")
    assert (seen.failures, seen.failed, seen.failed_at) == (3, "1.4.0", int(time.value))
    assert not seen.is_amid
    units.described(LAMP, "a", runs="1.3.0")
    units.closed(LAMP, "a", 7, "1.4.0", well=True)
    seen = known(units, "a")
    assert (seen.closed, seen.runs, seen.failures, seen.failed) == (7, "1.4.0", 0, "")
    assert seen.is_asked
    waits = [each.again_in for each in told if isinstance(each, ActionClosed)]
    assert waits == [0, 3600, 21600, None]


def test_an_attribute_that_was_said_before_is_no_news() -> None:
    """Of attributes and closed actions the later counts, but one in a file that never changes."""
    units = Units()
    units.described(LAMP, "a", runs="1.0.0")
    units.closed(LAMP, "a", 7, "1.4.0", well=True)
    units.described(LAMP, "a", runs="1.0.0")
    assert known(units, "a").runs == "1.4.0"
    units.described(LAMP, "a", runs="1.3.9")
    assert known(units, "a").runs == "1.3.9"


def test_a_unit_may_name_its_device_itself() -> None:
    """It is found without a device from then on, and counted with that device."""
    units = Units()
    units.heard(None, "a", Protocol.DDI)
    units.described(None, "a", runs="1.0.0", belongs_to=LAMP)
    seen = known(units, "a", None)
    assert (seen.device, seen.by_attribute) == (LAMP, True)
    assert units.find(LAMP, "a") is None
    assert units.running(LAMP) == {"1.0.0": 1}
    units.described(None, "a", belongs_to=PUMP)
    assert sorted(units.counts()) == [(PUMP, "1.0.0", 1)]


def test_what_another_replica_heard_counts_and_is_not_told_again() -> None:
    """Closed actions of replicas are remembered; what they cannot be is passed over."""
    told: list[object] = []
    units = Units(events=Events(told.append))
    units.closed_elsewhere(LAMP, "a", 7, "1.4.0", well=True)
    units.closed_elsewhere(LAMP, "b", 7, "1.4.0", well=True, by_attribute=True)
    wrong = (("ä", 7, "1"), ("c", 0, "1"), ("c", 1 << 31, "1"), ("c", 1, " "))
    for unit, action, version in wrong:
        units.closed_elsewhere(LAMP, unit, action, version, well=True)
    assert told == []
    assert [(seen.unit, seen.closed, seen.runs) for seen in units.page(0, 10)[0]] == [
        ("a", 7, "1.4.0"),
        ("b", 7, "1.4.0"),
    ]
    assert known(units, "b", None).device is None, "a unit alone says whose it is"


def test_another_replica_moves_no_unit_and_knows_what_its_attributes_said() -> None:
    """What is said of a unit that belongs elsewhere is passed over; old attributes are no news."""
    units = Units()
    units.described(None, "b", runs="1.0.0", belongs_to=PUMP)
    units.closed_elsewhere(LAMP, "b", 7, "9.9.9", well=True, by_attribute=True)
    assert (known(units, "b", None).device, known(units, "b", None).runs) == (PUMP, "1.0.0")
    units.closed_elsewhere(LAMP, "c", 7, "1.4.0", well=True, said="1.0.0")
    units.described(LAMP, "c", runs="1.0.0")
    assert known(units, "c", LAMP).runs == "1.4.0"


def test_a_fleet_above_the_bound_is_said_once_an_hour() -> None:
    """Not where a unit that asks no more gave its place; how many are forgotten is counted."""
    now = [1_800_000_000.0]
    units = Units(2, machine=Machine(now=lambda: now[0]))
    with capture_logs() as lines:
        for _ in range(3):
            for unit in "abc":
                units.heard(LAMP, unit)
            now[0] += 1500
        assert units.crowding.forgotten == 7
        assert [(line["event"], line["units"]) for line in lines] == [("units_crowded", 2)]
        now[0] += 1500
        units.heard(LAMP, "d")
        assert [line["forgotten"] for line in lines] == [1, 8]
        now[0] += 48 * 3600
        for unit in "efgh":
            units.heard(LAMP, unit)
        assert units.crowding.forgotten == 10, "e and f took the places of the silent"


def test_rumours_are_bounded_and_change_nothing_that_units_said() -> None:
    """The last that is said of a unit is remembered, of so many units."""
    units, rumours = Units(), Rumours(most=2)
    for number, unit in enumerate(("a", "b", "c", "c"), start=1):
        rumours.note(LAMP, unit, number)
    assert [rumours.of(LAMP, unit) for unit in "abc"] == [0, 2, 4]
    units.rumours.note(LAMP, "a", 7)
    assert len(units) == 0


def test_any_order_of_calls_keeps_the_columns_right() -> None:
    """Whatever is heard and forgotten, memory agrees with a plain model of it."""
    chance = random.Random(5)
    units = Units(40)
    model: dict[tuple[Device, str], str] = {}
    for _ in range(6000):
        device = chance.choice([LAMP, PUMP, Device("fan")])
        unit = f"unit{chance.randrange(30)}" + "x" * chance.randrange(3)
        runs = f"1.0.{chance.randrange(5)}"
        units.heard(device, unit, runs=runs)
        model.pop((device, unit), None)
        model[device, unit] = runs
        while len(model) > 40:
            del model[next(iter(model))]
    seen, more = units.page(0, 100)
    assert more is None
    assert {(each.device, each.unit): each.runs for each in seen} == model
    for device in (LAMP, PUMP):
        versions = [runs for (its, _), runs in model.items() if its == device]
        counts = {version: versions.count(version) for version in versions}
        assert units.running(device) == counts


def test_pages_go_through_all_units() -> None:
    """A long list is read in parts, so that none of them keeps boards waiting."""
    units = Units()
    for number in range(25):
        units.heard((LAMP, PUMP)[number % 2], f"u{number}")
    at: int | None = 0
    found: list[str] = []
    while at is not None:
        seen, at = units.page(at, 7, LAMP)
        found += [each.unit for each in seen]
    assert found == [f"u{number}" for number in range(0, 25, 2)]


def test_a_unit_takes_little_memory() -> None:
    """Under a hundred bytes, with a name as boards have it; names that come and go add none."""
    most = 5_000
    tracemalloc.start()
    try:
        units = Units(most)
        for number in range(most):
            units.heard(LAMP, f"24:0A:C4:{number:08x}", runs="1.3.0", told="1.4.0")
        full = tracemalloc.get_traced_memory()[0]
        for number in range(most * 2):
            units.heard(LAMP, f"made-up-{number:06x}", runs="1.3.0", told="1.4.0")
        later = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert full / most < 100
    assert later < full * 1.5


def test_names_are_cleared_away_a_few_at_a_time_and_none_is_lost() -> None:
    """Units come and go by the thousand while names are moved; memory stays as it is."""
    chance = random.Random(7)
    units = Units(500)
    model: dict[str, str] = {}
    tracemalloc.start()
    try:
        sizes = []
        for number in range(8000):
            again = model and chance.random() < 0.3
            unit = (
                chance.choice(list(model)) if again else f"{number}-" + "x" * chance.randrange(190)
            )
            runs = f"1.0.{chance.randrange(9)}"
            units.heard(LAMP, unit, runs=runs)
            model.pop(unit, None)
            model[unit] = runs
            if len(model) > 500:
                del model[next(iter(model))]
            if number % 500 == 499:
                seen = units.page(0, 500)[0]
                assert {each.unit: each.runs for each in seen} == model
                assert all(units.find(LAMP, each) is not None for each in model)
                del seen
                sizes.append(tracemalloc.get_traced_memory()[0])
        assert max(sizes[4:]) < 2 * sizes[3]
    finally:
        tracemalloc.stop()


async def test_what_was_only_heard_is_noted_in_pieces() -> None:
    """Others get their turn between them, though all units were heard."""
    units = Units()
    for number in range(2000):
        units.heard(LAMP, f"u{number}", runs="1")
    while units.take_changes()[0]:
        pass
    for number in range(2000):
        units.heard(LAMP, f"u{number}")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await units.changes.note_heard()
    counting.cancel()
    assert turns >= 3
    noted: list[int] = []
    while places := units.take_changes()[0]:
        noted.extend(places)
    assert sorted(noted) == list(range(2000))
