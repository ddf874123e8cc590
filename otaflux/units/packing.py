"""A unit as a value and as a place of the table: from one to the other. Pure."""

from __future__ import annotations

from otaflux.model.names import Device
from otaflux.units.flags import BY_ATTRIBUTE, GAVE_FEEDBACK, GOES_ON, IS_AMID, IS_ASKED, IS_LATE
from otaflux.units.rows import flags_of
from otaflux.units.seen import Protocol, SeenUnit
from otaflux.units.table import Table

_PROTOCOLS = tuple(Protocol)
PROTOCOL_NUMBERS = {protocol: number for number, protocol in enumerate(_PROTOCOLS)}


def put_in(table: Table, seen: SeenUnit, place: int | None) -> int:
    """Give a unit a free place, that one or any, with all but what it runs; returns which."""
    words = table.words
    device = words.take(seen.device.name if seen.device else "")
    place = table.add(device, seen.unit.encode(), flags=flags_of(seen), place=place)
    table.heard[place] = seen.heard
    table.protocol[place] = PROTOCOL_NUMBERS[seen.protocol]
    table.closed[place], table.action[place] = seen.closed, seen.action
    table.rename(table.said, place, seen.said)
    table.rename(table.told, place, seen.told)
    if seen.failed:
        table.failed[place] = (seen.failures, seen.failed_at, words.take(seen.failed))
    return place


def seen_at(table: Table, place: int) -> SeenUnit:
    """What is known of the unit at a place."""
    texts, flags = table.words.texts, table.flags[place]
    failures, failed_at, failed = table.failed.get(place, (0, 0, 0))
    device = texts[table.device[place]]
    return SeenUnit(
        unit=table.name(place).decode(),
        device=Device(device) if device else None,
        protocol=_PROTOCOLS[table.protocol[place]],
        heard=table.heard[place],
        runs=texts[table.runs[place]],
        told=texts[table.told[place]],
        failed=texts[failed],
        said=texts[table.said[place]],
        closed=table.closed[place],
        action=table.action[place],
        failures=failures,
        failed_at=failed_at,
        by_attribute=bool(flags & BY_ATTRIBUTE),
        is_amid=bool(flags & IS_AMID),
        is_asked=bool(flags & IS_ASKED),
        goes_on=bool(flags & GOES_ON),
        gave_feedback=bool(flags & GAVE_FEEDBACK),
        is_late=bool(flags & IS_LATE),
    )
