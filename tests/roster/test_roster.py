"""By whose word a device is there, and who has to go where only polls ever named him."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from clock import Clock
from held_releases import record, release

from otaflux.machine import Machine
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.roster.roster import ABSENT_FOR, MISSED, MOST_ABSENT, Roster, Word
from otaflux.state.catalog import Catalog

LAMP, FAN, PUMP = Device("lamp"), Device("fan"), Device("pump")


def told(device: Device, *, by_poll: bool = False) -> Record:
    """A record that tells a release."""
    return replace(record(release("1.0.0", b"x", device.name)), found_by_poll=by_poll)


class House:
    """A roster over a catalog, with a clock; two are kept that only polls found."""

    def __init__(self, *, devices: frozenset[Device] = frozenset()) -> None:
        self.clock = Clock()
        self.catalog = Catalog(Path("nowhere"))
        self.roster = Roster(
            self.catalog, devices=devices, most_found=2, machine=Machine(clock=self.clock)
        )

    def found(self, name: str) -> None:
        """A poll finds one more, a second later."""
        self.clock.now += 1
        self.catalog.load(told(Device(name), by_poll=True))


def test_each_word_counts_while_it_is_said() -> None:
    """The setting, the listing, hooks and the catalog name a device; a poll's word is no name."""
    house = House(devices=frozenset({LAMP}))
    roster = house.roster
    roster.note_listing(frozenset({LAMP, FAN}))
    roster.name(PUMP)
    house.catalog.load(told(FAN))
    assert roster.words(LAMP) == {Word.DEVICES, Word.LISTING}
    assert roster.words(FAN) == {Word.LISTING, Word.CATALOG}
    assert roster.words(PUMP) == {Word.HOOK}
    house.found("stranger")
    assert roster.words(Device("stranger")) == {Word.POLL}
    assert roster.is_there(Device("stranger"))
    assert not roster.is_known(Device("stranger"))
    assert roster.devices() == {LAMP, FAN, PUMP, Device("stranger")}
    roster.note_listing(frozenset())
    assert roster.words(LAMP) == {Word.DEVICES}
    assert roster.words(FAN) == {Word.CATALOG}
    assert not roster.is_there(Device("nobody"))


def test_who_was_polled_longest_ago_comes_first() -> None:
    """Named devices are not among them, nor those that were named since."""
    house = House()
    house.catalog.load(told(LAMP))
    for name in "abcd":
        house.found(name)
    house.clock.now += 1
    house.roster.polled([Device("a"), LAMP])
    assert [device.name for device in house.roster.found_by_polls()] == ["b", "c", "d", "a"]
    assert house.roster.surplus() == 2
    house.catalog.load(told(Device("c")))
    assert [device.name for device in house.roster.found_by_polls()] == ["b", "d", "a"]
    assert house.roster.surplus() == 1


def looked_for(house: House, times: int, priority: Priority = Priority.RECHECK) -> list[bool]:
    """Looks in a row that find nothing of the lamp, and whether it has to be forgotten then."""
    return [house.roster.looked_for(LAMP, priority, found=False) for _ in range(times)]


def test_what_a_hook_named_and_no_look_found_is_forgotten() -> None:
    """After three re-checks; a look that finds it, or a hook that names it again, begins anew."""
    house = House()
    house.roster.name(LAMP)
    house.catalog.load(Record(LAMP, "test", ever_synced=True))
    assert looked_for(house, 9, Priority.HOOK) == [False] * 9
    assert looked_for(house, MISSED - 1) == [False] * (MISSED - 1)
    assert not house.roster.looked_for(LAMP, Priority.RECHECK, found=True)
    assert looked_for(house, MISSED - 1) == [False] * (MISSED - 1)
    house.roster.name(LAMP)
    assert looked_for(house, MISSED) == [*[False] * (MISSED - 1), True]
    house.roster.forget(LAMP)
    assert Word.HOOK not in house.roster.words(LAMP)


@pytest.mark.parametrize("why", ["setting", "listing", "has a release", "had one"])
def test_what_has_another_reason_to_be_there_is_not_forgotten(why: str) -> None:
    """However often a look finds nothing."""
    house = House(devices=frozenset({LAMP} if why == "setting" else ()))
    if why == "listing":
        house.roster.note_listing(frozenset({LAMP}))
    house.roster.name(LAMP)
    empty = Record(LAMP, "test", ever_synced=True, had_release=why == "had one")
    house.catalog.load(told(LAMP) if why == "has a release" else empty)
    assert looked_for(house, 9) == [False] * 9


def test_who_comes_to_be_is_told_once_it_is_there() -> None:
    """Those who wake devices hear of a hook's word, and of a record."""
    house = House()
    heard: list[Device] = []
    house.roster.listen(heard.append)
    house.roster.name(LAMP)
    house.found("fan")
    assert heard == [LAMP, FAN]


def test_absence_is_remembered_for_a_while_and_for_so_many() -> None:
    """A device that does not exist is not looked for again at once; names cost nothing."""
    house = House()
    roster = house.roster
    roster.note_absent(LAMP)
    house.clock.now += ABSENT_FOR - 0.1
    assert roster.is_absent(LAMP)
    roster.note_absent(FAN)
    house.clock.now += 0.1
    assert not roster.is_absent(LAMP)
    house.catalog.load(told(FAN))
    assert not roster.is_absent(FAN), "it has a record"
    for number in range(MOST_ABSENT + 1):
        roster.note_absent(Device(f"d{number}"))
    assert not roster.is_absent(Device("d0"))
    assert roster.is_absent(Device("d1"))
