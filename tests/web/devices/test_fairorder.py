"""Who goes first is of the holder that has most, and of equal ones who was touched longest ago."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.web.devices.fairorder import FairOrder, holder_of


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


@pytest.mark.parametrize(
    ("address", "holder"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a:unit", "a:unit"),
        ("", ""),
    ],
)
def test_a_host_is_one_holder(address: str, holder: str) -> None:
    """It has as many addresses of IPv6 as it likes, and all of one network."""
    assert holder_of(address) == holder


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
