"""Two looks, far enough apart, make a withdrawal; one look makes none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.names import Device, Tag
from otaflux.reconcile.withdrawals import BETWEEN_LOOKS, Withdrawals

LAMP, TAG = Device("lamp"), Tag("1.0.0")


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.floats(0, 25), st.booleans(), st.booleans()), max_size=12))
def test_gone_means_missing_at_two_looks_and_there_at_none_between(
    looks: list[tuple[float, bool, bool]],
) -> None:
    """Whatever looks there were; and a second one is asked for while a hook waits for it."""
    clock = _Clock()
    withdrawals = Withdrawals(is_authoritative=False, clock=clock)
    missing: list[tuple[float, bool]] = []
    for wait, there, by_hook in looks:
        clock.now += wait
        if there:
            withdrawals.is_there(LAMP, TAG)
            missing.clear()
        else:
            withdrawals.is_missing(LAMP, TAG, by_hook=by_hook)
            missing.append((clock.now, by_hook))
        gone = bool(missing) and missing[-1][0] - missing[0][0] >= BETWEEN_LOOKS
        assert withdrawals.gone(LAMP) == (frozenset({TAG}) if gone else frozenset())
        asked = any(hook for _, hook in missing) and not gone
        assert (withdrawals.until_second_look(LAMP) is not None) == asked


def test_after_the_wait_that_it_asks_for_the_second_look_counts() -> None:
    """The wait is long enough, and a hook that comes after a re-check's look asks for one too."""
    clock = _Clock()
    withdrawals = Withdrawals(is_authoritative=False, clock=clock)
    withdrawals.is_missing(LAMP, TAG, by_hook=False)
    assert withdrawals.until_second_look(LAMP) is None
    clock.now += 3
    withdrawals.is_missing(LAMP, TAG, by_hook=True)
    assert withdrawals.until_second_look(LAMP) == BETWEEN_LOOKS - 3
    clock.now += BETWEEN_LOOKS - 3
    withdrawals.is_missing(LAMP, TAG, by_hook=False)
    assert withdrawals.gone(LAMP) == {TAG}


def test_one_look_is_enough_where_the_source_is_certain() -> None:
    """The embedded folder is whole, or not readable."""
    withdrawals = Withdrawals(is_authoritative=True, clock=_Clock())
    withdrawals.is_missing(LAMP, TAG, by_hook=True)
    assert withdrawals.gone(LAMP) == {TAG}
    assert withdrawals.until_second_look(LAMP) is None


def test_who_is_served_no_more_is_not_looked_for() -> None:
    """A missing tag whose release was replaced meanwhile brings no look after look."""
    withdrawals = Withdrawals(is_authoritative=False, clock=_Clock())
    withdrawals.is_missing(LAMP, TAG, by_hook=True)
    assert withdrawals.until_second_look(LAMP) is not None
    withdrawals.only(LAMP, {Tag("2.0.0")})
    assert withdrawals.until_second_look(LAMP) is None


def test_devices_do_not_mix_and_what_is_forgotten_begins_anew() -> None:
    """A tag of one device says nothing of another's."""
    withdrawals = Withdrawals(is_authoritative=True, clock=_Clock())
    withdrawals.is_missing(LAMP, TAG, by_hook=False)
    assert withdrawals.gone(Device("pump")) == frozenset()
    withdrawals.only(LAMP, set())
    assert withdrawals.gone(LAMP) == frozenset()
