"""The cyclic collector does not look where it would look in vain."""

from __future__ import annotations

import gc
import weakref

import pytest

from otaflux.collector import set_aside, uncollected


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
