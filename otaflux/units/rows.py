"""A unit as a row of `units.sqlite3`, and back. Pure; a row that cannot be one is None.

The file is ours, but it lies on a disk, and people edit it.
"""

from __future__ import annotations

from otaflux.errors import BadName
from otaflux.model.names import Device
from otaflux.units.flags import BY_ATTRIBUTE, GAVE_FEEDBACK, GOES_ON, IS_AMID, IS_ASKED, IS_LATE
from otaflux.units.seen import Protocol, SeenUnit, can_be_unit, can_be_word

Row = tuple[int | str, ...]

COLUMNS = (
    "place INTEGER PRIMARY KEY, unit TEXT NOT NULL, device TEXT NOT NULL, flags INTEGER NOT NULL,"
    " protocol TEXT NOT NULL, heard INTEGER NOT NULL, runs TEXT NOT NULL, said TEXT NOT NULL,"
    " told TEXT NOT NULL, closed INTEGER NOT NULL, action INTEGER NOT NULL,"
    " failures INTEGER NOT NULL, failed_at INTEGER NOT NULL, failed TEXT NOT NULL"
)
WIDTH = 14
_MAX_NUMBER = 0xFFFFFFFF


def row_of(place: int, seen: SeenUnit) -> Row:
    """The row of the unit at that place."""
    return (
        place,
        seen.unit,
        seen.device.name if seen.device else "",
        flags_of(seen),
        seen.protocol.value,
        seen.heard,
        seen.runs,
        seen.said,
        seen.told,
        seen.closed,
        seen.action,
        seen.failures,
        seen.failed_at,
        seen.failed,
    )


def read_row(row: Row) -> SeenUnit | None:
    """What a row says; None where it cannot be one."""
    try:
        _, unit, device, flags, protocol, heard, runs, said, told, *numbers, failed = row
        words = [str(word) for word in (runs, said, told, failed)]
        counts = [int(number) for number in (heard, *numbers, row[0])]
        closed, action, failures, failed_at = counts[1:5]
        bits = int(flags)
        seen = SeenUnit(
            unit=str(unit),
            device=Device.parse(str(device)) if device else None,
            protocol=Protocol(str(protocol)),
            heard=counts[0],
            runs=words[0],
            said=words[1],
            told=words[2],
            failed=words[3],
            closed=closed,
            action=action,
            failures=failures,
            failed_at=failed_at,
            by_attribute=bool(bits & BY_ATTRIBUTE),
            is_amid=bool(bits & IS_AMID),
            is_asked=bool(bits & IS_ASKED),
            goes_on=bool(bits & GOES_ON),
            gave_feedback=bool(bits & GAVE_FEEDBACK),
            is_late=bool(bits & IS_LATE),
        )
    except (ValueError, TypeError, BadName):
        return None
    good = can_be_unit(seen.unit) and all(can_be_word(word) for word in words)
    return seen if good and all(0 <= number <= _MAX_NUMBER for number in counts) else None


def flags_of(seen: SeenUnit) -> int:
    """The bits that a unit's flags are in the table."""
    return (
        IS_ASKED * seen.is_asked
        | IS_AMID * seen.is_amid
        | GOES_ON * seen.goes_on
        | BY_ATTRIBUTE * seen.by_attribute
        | GAVE_FEEDBACK * seen.gave_feedback
        | IS_LATE * seen.is_late
    )
