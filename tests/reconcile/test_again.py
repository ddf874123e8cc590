"""When a device is worth another look before its re-check."""

from __future__ import annotations

import pytest

from otaflux.reconcile.again import ARRIVAL, SIGNATURE_WAITS, seconds_until


def after(
    *,
    second_look: float | None = None,
    hook_age: float | None = None,
    is_ahead: bool = False,
    awaited: tuple[float, ...] = (),
) -> float | None:
    """Seconds until the next look, where all else is as it should be."""
    return seconds_until(
        second_look=second_look, hook_age=hook_age, is_ahead=is_ahead, awaited=awaited
    )


def test_where_nothing_is_on_its_way_a_recheck_is_soon_enough() -> None:
    """A hook that was right, or none, asks for nothing more."""
    assert after() is None
    assert after(hook_age=1.0) is None


def test_what_a_slow_run_asked_for_too_early_is_asked_for_again() -> None:
    """It may have arrived while the run went on with something else, such as a pull."""
    slow = seconds_until(second_look=None, hook_age=40.0, is_ahead=True, took=39.0)
    assert slow == 2.0
    assert seconds_until(second_look=None, hook_age=40.0, is_ahead=True, took=20.0) is None


def test_what_a_hook_named_is_waited_for_with_waits_that_grow_until_it_is_given_up() -> None:
    """At once at first, for docker-registry moves its tag then; in vain for 15 s at most."""
    assert after(hook_age=0.01, is_ahead=True) == 0.05
    assert after(hook_age=4.0, is_ahead=True) == 8.0
    age, looks = 0.01, 0
    while (wait := after(hook_age=age, is_ahead=True)) is not None:
        age, looks = age + wait, looks + 1
    assert looks <= 7, "many looks for what does not come"
    assert after(hook_age=ARRIVAL, is_ahead=True) is None
    assert after(is_ahead=True) is None, "no hook, so nobody said that anything comes"


def test_a_signature_is_waited_for_some_times() -> None:
    """Each time longer, whatever other looks come between; then re-checks and hooks find it."""
    age, waits = 0.0, []
    while (wait := after(awaited=(age,))) is not None:
        waits.append(wait)
        age += wait
    assert waits == [*SIGNATURE_WAITS]
    assert after(awaited=(1.5,)) == 0.5
    assert after(awaited=(1.995,)) == pytest.approx(5.005), "a timer that was early is no reason"


def test_each_signature_that_is_missing_is_waited_for() -> None:
    """One that nobody ever pushes does not use up the patience for the next."""
    assert after(awaited=(5000.0,)) is None
    assert after(awaited=(5000.0, 0.5)) == 1.5


def test_of_several_reasons_the_soonest_counts() -> None:
    """None is forgotten: the run that comes for one sees to all."""
    assert after(second_look=10.0, awaited=(0.0,)) == SIGNATURE_WAITS[0]
    assert after(second_look=1.0, awaited=(0.0,), hook_age=9.0, is_ahead=True) == 1.0
