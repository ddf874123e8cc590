"""What is made quickly is what the class makes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any

import pytest
from held_releases import record, release

from otaflux.model.making import quick
from otaflux.model.record import Retired, Standing

RELEASE = release("1.0.0", b"new")
VALUES = (
    RELEASE,
    Standing(RELEASE, 1.5, replaced_another=True),
    Retired(RELEASE, 2.5, moved=True),
    record(RELEASE, kept=(release("0.9.0", b"before"),)),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_made_quickly_is_the_same(value: Any) -> None:
    """Equal, of its class, found by its hash, as frozen, and as good to make others of."""
    kind = type(value)
    made = quick(kind)(*[getattr(value, field.name) for field in fields(kind)])
    assert type(made) is kind
    assert made == value
    assert {value: 1}[made]
    assert repr(made) == repr(value)
    name = fields(kind)[0].name
    assert replace(made, **{name: getattr(value, name)}) == value
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, None)


def test_no_field_is_left_out() -> None:
    """Those with a default neither: whoever reads a record says each."""
    make: Any = quick(Standing)
    with pytest.raises(TypeError):
        make(RELEASE, 1.0)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A value that looks at what it is made of."""

    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError


@dataclass(frozen=True)
class _Open:
    """A value without slots."""

    number: int


@pytest.mark.parametrize("kind", [_Checked, _Open, int])
def test_what_is_not_only_filled_is_refused(kind: Any) -> None:
    """Its checks would not be made."""
    with pytest.raises(TypeError):
        quick(kind)
