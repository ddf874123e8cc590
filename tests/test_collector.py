"""The cyclic collector does not look where it would look in vain."""

from __future__ import annotations

import gc
import weakref

import pytest

from otaflux.collector import set_aside, setting_aside, uncollected


def test_what_stays_is_looked_at_no_more() -> None:
    """What is made after it is, as ever."""
    before = gc.get_freeze_count()
    set_aside()
    try:
        assert gc.get_freeze_count() > before
        gone = weakref.ref(Ring())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()


class Ring:
    """Something in a ring that nobody else holds."""

    def __init__(self) -> None:
        self.me = self


def test_the_collector_rests_and_goes_on() -> None:
    """It is off within, and on again behind, also where something went wrong; off stays off."""
    with pytest.raises(KeyError), uncollected():
        {}[gc.isenabled()]
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_takes_long_to_look_at_is_looked_at_once() -> None:
    """After a whole look that took longer than it may, and not after others, nor later."""
    seconds = iter((0.0, 1.0, 1.02, 2.0, 2.2))
    there = iter((10, 15, 15))
    before = gc.get_freeze_count()
    try:
        with (
            uncollected(),
            setting_aside(lambda: next(there), more=5, longer=0.1, clock=lambda: next(seconds)),
        ):
            gc.collect(0)
            gc.collect()
            assert gc.get_freeze_count() <= before
            gc.collect()
            assert gc.get_freeze_count() > before
        gc.unfreeze()
        gc.collect()
        assert gc.get_freeze_count() == 0
    finally:
        gc.unfreeze()


def test_what_does_not_stay_is_collected_however_long_that_takes() -> None:
    """What clients hold and let go is garbage: without more that stays nothing is set aside."""
    there = [10]
    before = gc.get_freeze_count()
    try:
        with uncollected(), setting_aside(lambda: there[0], more=5, longer=-1.0):
            for there[0] in (14, 3, 14):  # also where some went and came again
                ring = Ring()
                gone = weakref.ref(ring)
                gc.collect()
                del ring
                gc.collect()
                assert gone() is None
            assert gc.get_freeze_count() <= before
    finally:
        gc.unfreeze()
