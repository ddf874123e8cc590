"""How reasons to look at a device add up."""

from __future__ import annotations

from otaflux.model.artifact import Digest
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag

LAMP = Device("lamp")
ONE, TWO = Tag("1.0.0"), Tag("2.0.0")
OLD, NEW = Digest("sha256", "0" * 64), Digest("sha256", "1" * 64)


def test_the_first_and_the_last_arrival_are_known() -> None:
    """The first counts the time to a publish, the last how long a tag may still be on its way."""
    first = Touch(LAMP, Priority.HOOK, first_hook_at=1.0)
    last = Touch(LAMP, Priority.HOOK, first_hook_at=9.0)
    for both in (first + last, last + first):
        assert (both.first_hook_at, both.last_hook_at) == (1.0, 9.0)
    timer = Touch(LAMP, Priority.RECHECK)
    assert (first + timer).last_hook_at == 1.0
    assert (timer + timer).last_hook_at is None


def test_a_deletion_that_one_hook_told_of_is_not_forgotten() -> None:
    """Whatever came before or after it."""
    told, other = Touch(LAMP, Priority.HOOK, deletion=True), Touch(LAMP, Priority.RECHECK)
    assert (told + other).deletion
    assert (other + told).deletion
    assert not (other + other).deletion


def test_what_the_newest_hook_said_of_a_tag_counts() -> None:
    """An older digest is forgotten, also where the newer hook names none."""
    old = Touch(LAMP, Priority.HOOK, tags=(ONE, TWO), claimed=((ONE, OLD), (TWO, OLD)))
    new = Touch(LAMP, Priority.HOOK, tags=(ONE,), claimed=((ONE, NEW),))
    assert (old + new).claimed == ((TWO, OLD), (ONE, NEW))
    bare = Touch(LAMP, Priority.HOOK, tags=(ONE,))
    assert (old + bare).claimed == ((TWO, OLD),)
