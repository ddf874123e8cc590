"""Of devices that only polls found so many are kept; who is polled stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from held_releases import record, release

from otaflux.model.names import Device
from otaflux.roster.guests import Guests
from otaflux.state.catalog import Catalog


async def test_who_was_polled_longest_ago_goes_first(tmp_path: Path) -> None:
    """Named devices never go, however many guests come, and nobody is told to go twice."""
    now = [0.0]
    catalog = Catalog(tmp_path)
    touched: list[Device] = []
    guests = Guests(catalog, lambda t: touched.append(t.device), most=2, clock=lambda: now[0])
    roomy = Guests(catalog, lambda t: touched.append(t.device), most=9)

    async def found(name: str, *, by_poll: bool = True) -> None:
        now[0] += 1
        await catalog.put(replace(record(release("1.0.0", b"x", name)), found_by_poll=by_poll))
        if by_poll:
            guests.found(Device(name))
            roomy.found(Device(name))

    await found("named", by_poll=False)
    await found("a")
    assert not touched
    await found("b")
    now[0] += 1
    guests.polled([Device("a")])
    await found("c")
    assert touched == [Device("b")]
    assert not guests.is_evicted(Device("a"))
    await found("d")
    assert touched == [Device("b"), Device("a")]
    assert guests.is_evicted(Device("b"))
    assert not guests.is_evicted(Device("b")), "it is told once"


async def test_who_was_named_meanwhile_stays(tmp_path: Path) -> None:
    """A hook makes a guest a known device."""
    catalog = Catalog(tmp_path)
    guests = Guests(catalog, lambda _: None, most=0)
    guest = replace(record(release("1.0.0", b"x", "a")), found_by_poll=True)
    await catalog.put(guest)
    guests.found(Device("a"))
    await catalog.put(replace(guest, found_by_poll=False))
    assert not guests.is_evicted(Device("a"))
