"""What is so or not of a unit, as the bits of one number. Pure."""

from __future__ import annotations

IS_ASKED, IS_AMID, GOES_ON, BY_ATTRIBUTE, GAVE_FEEDBACK, IS_LATE = 1, 2, 4, 8, 16, 32

OF_AN_ACTION = IS_AMID | GOES_ON | GAVE_FEEDBACK | IS_LATE  # bits that end with it


def begun(flags: int, *, feedback: bool, late: bool) -> int:
    """The bits of a unit that is amid its action now; see `Units.began`."""
    now = flags | IS_AMID | GAVE_FEEDBACK * feedback
    if not late:
        return now & ~IS_LATE
    return now if flags & IS_AMID else now | IS_LATE


def cancelled(flags: int, *, refused: bool) -> int:
    """The bits of a unit that was told to end its action, and ended it or goes on with it."""
    return flags | GOES_ON if refused else flags & ~OF_AN_ACTION
