"""`/units`: the units that were heard of and what each runs, as JSON, some at a time.

`next` is there where there are more: the next page is `?first=` with it. Units that come and go
between two pages may be in neither.
"""

from __future__ import annotations

import asyncio

from otaflux.errors import Refused
from otaflux.model.names import Device
from otaflux.units.seen import SeenUnit
from otaflux.units.units import Units
from otaflux.web.answers import Answer
from otaflux.web.ops.jsonanswer import asked_in, json_answer
from otaflux.web.ops.moments import iso

PAGE = 2000  # units in one answer
AT_ONCE = 200  # places; then polls get their turn
_MOST_DIGITS = 9


class UnitList:
    """Answers `/units`."""

    def __init__(self, units: Units) -> None:
        self._units = units

    async def answer(self, query: str) -> Answer:
        """A page of units, of the `device` that is named or of all, from `first` on.

        Raises `Refused` for a query that cannot be one.
        """
        asked = asked_in(query)
        device = Device.parse(asked["device"][-1]) if "device" in asked else None
        first: int | None = _first(asked.get("first", ["0"])[-1])
        found: list[dict[str, object]] = []
        while first is not None and len(found) < PAGE:
            seen, first = self._units.page(first, AT_ONCE, device)
            found += [shown(each) for each in seen]
            await asyncio.sleep(0)
        more = {} if first is None else {"next": first}
        return json_answer({"units": found} | more)


def shown(seen: SeenUnit) -> dict[str, object]:
    """A unit; what it never said, or nobody knows, is null."""
    return {
        "unit": seen.unit,
        "device": seen.device.name if seen.device else None,
        "runs": seen.runs or None,
        "told": seen.told or None,
        "protocol": seen.protocol.value,
        "heard": iso(seen.heard),
        "failed": seen.failed or None,
    }


def _first(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise Refused("'first' is the 'next' of the page before")
    return int(text)
