"""By whose word a device is there, and who has to go where only polls ever named him."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from clock import Clock
from held_releases import record, release

from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.roster.roster import ABSENT_FOR, MOST_ABSENT, Roster, Word
from otaflux.state.catalog import Catalog

LAMP, FAN, PUMP = Device("lamp"), Device("fan"), Device("pump")


def told(device: Device, *, by_poll: bool = False) -> Record:
    """A record that tells a release."""
    return replace(record(release("1.0.0", b"x", device.name)), found_by_poll=by_poll)


class House:
    """A roster over a catalog, with a clock; `touched` are those that have to go."""

    def __init__(self, *, devices: frozenset[Device] = frozenset(), most_found: int = 2) -> None:
        self.clock = Clock()
        self.catalog = Catalog(Path("nowhere"))
        self.touched: list[Device] = []
        self.roster = Roster(
            self.catalog,
            lambda touch: self.touched.append(touch.device),
            devices=devices,
            most_found=most_found,
            machine=Machine(clock=self.clock),
        )

    def found(self, name: str) -> None:
        """A poll finds one more, a second later."""
        self.clock.now += 1
        self.catalog.load(told(Device(name), by_poll=True))
        self.roster.found(Device(name))


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


def test_who_was_polled_longest_ago_goes_first() -> None:
    """Named devices never go, however many strangers come, and nobody is told to go twice."""
    house = House()
    house.catalog.load(told(LAMP))
    house.found("a")
    assert not house.touched
    house.found("b")
    house.clock.now += 1
    house.roster.polled([Device("a")])
    house.found("c")
    assert house.touched == [Device("b")]
    assert not house.roster.is_evicted(Device("a"))
    house.found("d")
    assert house.touched == [Device("b"), Device("a")]
    assert house.roster.is_evicted(Device("b"))
    assert not house.roster.is_evicted(Device("b")), "it is told once"


@pytest.mark.parametrize("word", ["hook", "listing", "catalog"])
def test_who_was_named_meanwhile_stays(word: str) -> None:
    """Whoever was to go, and is named by anything but a poll before, does not."""
    house = House(most_found=0)
    house.found("a")
    assert house.touched == [Device("a")]
    match word:
        case "hook":
            house.roster.name(Device("a"))
        case "listing":
            house.roster.note_listing(frozenset({Device("a")}))
        case _:
            house.catalog.load(told(Device("a")))
    assert not house.roster.is_evicted(Device("a"))


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
