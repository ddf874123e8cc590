"""What a client is told, and whether boards may be amid what was told before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from device_server import release

from otaflux.model.names import STABLE, Channel, Device
from otaflux.model.record import Record, Retired, Standing
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.web.devices.offer import NOBODY, Offer, Unit, offer

LAMP = Device("lamp")
ONE, TWO = (release(version=f"1.{n}.0", content=f"fw{n}".encode()) for n in range(2))
BOTH = Record(LAMP, "test", channels={"stable": Standing(ONE, 0.0), "beta": Standing(TWO, 5.0)})
NOW = 1e9
YEAR = 365 * 24 * 3600.0


def told(record: Record | None, channel: str = "stable", pin: str = "") -> Release | None:
    """The release that anybody is told now."""
    found = offer(record, channel, NOBODY, NOW, pin=Version(pin) if pin else None)
    return found.release if found else None


def test_a_channel_without_its_own_is_told_the_stable_one() -> None:
    """Until a channel has a release of its own, the stable answer is its answer."""
    stable_alone = replace(BOTH, channels={"stable": Standing(ONE, 0.0)})
    assert told(stable_alone, "beta") == ONE
    assert told(BOTH, "beta") == TWO
    assert told(replace(BOTH, channels={}), "beta") is None
    assert told(None, "beta") is None


def test_a_pin_names_what_is_served_in_whatever_channel() -> None:
    """Exactly that version, current or kept; nothing else stands in for it."""
    assert told(BOTH, "stable", "1.1.0") == TWO
    assert told(replace(BOTH, channels={}, kept=(ONE,)), "stable", "1.0.0") == ONE
    assert told(BOTH, "stable", "9.9.9") is None


@pytest.mark.parametrize(
    ("unit", "installed"),
    [
        (NOBODY, False),
        (Unit("u", version="1.0.0"), True),
        (Unit("u", version="v1.0.0"), True),
        (Unit("u", version="1.1.0"), False),
        (Unit("u", version="none"), False),
        (Unit("u", md5=ONE.firmware.sums.md5), True),
        (Unit("u", version="1.1.0", md5="00" * 16), False),
    ],
)
def test_a_unit_that_runs_it_has_it(unit: Unit, installed: bool) -> None:
    """A version or the sum of the bytes says so; what is neither says nothing."""
    assert Offer(ONE, unit).is_installed is installed


@pytest.mark.parametrize(
    ("age", "replaced", "left_before", "lately"),
    [
        (1799, True, None, True),
        (1800, True, None, False),
        (10, False, None, False),
        (10, False, 1799, True),
        (10, False, 1801, False),
        (-30, True, None, True),  # the clock was set back a little
        (-3600, True, None, False),  # it was wrong then, and is right again
        (-10 * YEAR, True, None, False),
        (10, False, -10 * YEAR, False),  # what left while it was wrong
    ],
)
def test_boards_may_be_amid_what_was_replaced_lately(
    age: float, replaced: bool, left_before: float | None, lately: bool
) -> None:
    """A release that took another's place within 30 minutes, or came after one was withdrawn.

    What lies in the future is old: a clock that was ten years ahead would make it new for as long.
    """
    standing = Standing(TWO, NOW - age, replaced_another=replaced)
    retired = () if left_before is None else (Retired(ONE, NOW - age - left_before, True),)
    held = Record(LAMP, "test", channels={"stable": standing}, retired=retired)
    found = offer(held, "stable", NOBODY, NOW)
    assert found is not None
    assert found.replaced_lately is lately


@pytest.mark.parametrize(
    ("runs", "version", "is_above"),
    [
        ("2.0.0", "1.9.9", True),
        ("v2.0.0", "1.9.9", True),
        ("2.0.0", "2.0.0", False),
        ("2.0.0", "2.0.1", False),
        ("2.0.0", "2.0.0-rc.1", True),
        ("2.0.0-rc.1", "2.0.0", False),
        ("2.0.0+8", "2.0.0+7", True),
        ("2.0.0 8", "2.0.0+10", False),
        ("2.0.0+gabcdef", "2.0.0", False),
        ("2.0.0", "2.0.0+7", False),
        ("", "1.0.0", False),
        ("none", "1.0.0", False),
        ("2.0", "1.0.0", False),
        ("9" * 200, "1.0.0", False),
    ],
)
def test_no_unit_is_told_less_than_it_says_it_runs(runs: str, version: str, is_above: bool) -> None:
    """Only where channels do not fall; what is no version says nothing, pins are no exception."""
    told_now = release(version=version)
    free = Record(LAMP, "test", channels={"stable": Standing(told_now, 0.0)})
    bound = replace(free, floors={STABLE: told_now.tag})
    unit = Unit("u", version=runs)
    for pin in (None, told_now.version):
        assert offer(free, STABLE, unit, NOW, pin=pin) is not None
        assert (offer(bound, STABLE, unit, NOW, pin=pin) is None) is is_above
        assert offer(bound, STABLE, NOBODY, NOW, pin=pin) is not None


def test_the_stable_answer_is_no_fall_for_another_channel() -> None:
    """A channel that lost its own release is told the stable one only if that is not lower."""
    lost = replace(BOTH, channels={"stable": Standing(ONE, 0.0)})
    assert told(replace(lost, floors={Channel("beta"): TWO.tag}), "beta") is None
    assert told(replace(lost, floors={Channel("beta"): ONE.tag}), "beta") == ONE
    assert told(replace(lost, floors={STABLE: ONE.tag}), "beta") == ONE
