"""Two looks, far enough apart, make a withdrawal; one look makes none."""

from __future__ import annotations

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.names import Device, Tag
from otaflux.reconcile.withdrawals import BETWEEN_LOOKS, Withdrawals

LAMP, TAG = Device("lamp"), Tag("1.0.0")
AFTER = 60.0


def _withdrawals(clock: Clock, after: float = AFTER, *, certain: bool = False) -> Withdrawals:
    return Withdrawals(is_authoritative=certain, withdraw_after=after, clock=clock)


@given(
    st.lists(st.tuples(st.floats(0, 70), st.booleans(), st.booleans(), st.booleans()), max_size=12)
)
def test_gone_means_missing_at_two_looks_and_there_at_none_between(
    looks: list[tuple[float, bool, bool, bool]],
) -> None:
    """Whatever looks there were; and a second one is asked for while a hook's word waits for it.

    How far apart they are depends on whether a hook told of a deletion and, where none did, on
    whether the source only caches another.
    """
    clock = Clock()
    withdrawals = _withdrawals(clock)
    missing: list[tuple[float, bool, bool]] = []
    for wait, there, by_word, is_cache in looks:
        clock.now += wait
        if there:
            withdrawals.is_there(LAMP, TAG)
            missing.clear()
        else:
            withdrawals.is_missing(LAMP, TAG, by_word=by_word, is_cache=is_cache)
            missing.append((clock.now, by_word, is_cache))
        word = any(word for _, word, _ in missing)
        enough = BETWEEN_LOOKS if word else AFTER
        for_good = not word and any(cache for *_, cache in missing)
        gone = bool(missing) and not for_good and missing[-1][0] - missing[0][0] >= enough
        assert withdrawals.gone(LAMP) == (frozenset({TAG}) if gone else frozenset())
        assert (withdrawals.until_second_look(LAMP) is not None) == (word and not gone)


def test_after_the_wait_that_it_asks_for_the_second_look_counts() -> None:
    """The wait is long enough, and a hook that comes after a re-check's look asks for one too."""
    clock = Clock()
    withdrawals = _withdrawals(clock)
    withdrawals.is_missing(LAMP, TAG, by_word=False)
    assert withdrawals.until_second_look(LAMP) is None
    clock.now += 3
    withdrawals.is_missing(LAMP, TAG, by_word=True)
    assert withdrawals.until_second_look(LAMP) == BETWEEN_LOOKS - 3
    clock.now += BETWEEN_LOOKS - 3
    withdrawals.is_missing(LAMP, TAG, by_word=False)
    assert withdrawals.gone(LAMP) == {TAG}


@pytest.mark.parametrize("after", [0.0, 5.0, BETWEEN_LOOKS, 11.0])
def test_looks_are_never_closer_than_ten_seconds(after: float) -> None:
    """However short WITHDRAW_AFTER is set: a restore takes a moment."""
    clock = Clock()
    withdrawals = _withdrawals(clock, after)
    withdrawals.is_missing(LAMP, TAG, by_word=False)
    for seconds in range(1, 12):
        clock.now += 1.0
        withdrawals.is_missing(LAMP, TAG, by_word=False)
        gone = seconds >= max(after, BETWEEN_LOOKS)
        assert withdrawals.gone(LAMP) == (frozenset({TAG}) if gone else frozenset())


def test_one_look_is_enough_where_the_source_is_certain() -> None:
    """The embedded folder is whole, or not readable."""
    withdrawals = _withdrawals(Clock(), certain=True)
    withdrawals.is_missing(LAMP, TAG, by_word=False)
    assert withdrawals.gone(LAMP) == {TAG}
    assert withdrawals.until_second_look(LAMP) is None


def test_who_is_served_no_more_is_not_looked_for() -> None:
    """A missing tag whose release was replaced meanwhile brings no look after look."""
    withdrawals = _withdrawals(Clock())
    withdrawals.is_missing(LAMP, TAG, by_word=True)
    assert withdrawals.until_second_look(LAMP) is not None
    withdrawals.only(LAMP, {Tag("2.0.0")})
    assert withdrawals.until_second_look(LAMP) is None


def test_devices_do_not_mix_and_what_is_forgotten_begins_anew() -> None:
    """A tag of one device says nothing of another's."""
    withdrawals = _withdrawals(Clock(), certain=True)
    withdrawals.is_missing(LAMP, TAG, by_word=False)
    assert withdrawals.gone(Device("pump")) == frozenset()
    withdrawals.only(LAMP, set())
    assert withdrawals.gone(LAMP) == frozenset()
