"""Who goes first is of the holder that has most, and of equal ones who was touched longest ago."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from otaflux.web.devices.fairorder import FairOrder


def test_the_largest_holder_gives_first() -> None:
    """Whoever has most gives what it touched longest ago; alike ones give the longest untouched."""
    order: FairOrder[str] = FairOrder()
    order.touch("old", "b")
    for n in range(3):
        order.touch(f"a{n}", "a")
    gone = []
    for _ in range(4):
        gone.append(order.first())
        order.drop(gone[-1])
    assert gone == ["a0", "a1", "old", "a2"]
    assert len(order) == 0


def test_who_is_touched_goes_last() -> None:
    """A touch moves a key behind all others of its holder."""
    order: FairOrder[str] = FairOrder()
    for key in ("one", "two", "three", "one"):
        order.touch(key, "a")
    assert order.first() == "two"
    order.drop("nobody")
    assert len(order) == 3


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=200))
def test_a_crowd_cannot_outlast_single_ones(steps: list[tuple[int, bool]]) -> None:
    """With room for ten, a holder that has one keeps it while another has more than three."""
    order: FairOrder[str] = FairOrder()
    held: Counter[str] = Counter()
    for number, crowded in steps:
        holder = "crowd" if crowded else f"single-{number % 3}"
        order.touch(f"{holder}-{number if crowded else 0}", holder)
        while len(order) > 10:
            goes = order.first()
            order.drop(goes)
            assert goes.startswith("crowd")
        held[holder] += 1
    assert len(order) <= 10
