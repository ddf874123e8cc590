"""Of devices that only polls found so many are kept; who is polled stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from held_releases import record, release, stored

from otaflux.catalog import Catalog
from otaflux.guests import Guests
from otaflux.model.names import Device
from otaflux.store import Store


async def test_who_was_polled_longest_ago_goes_first_with_its_files(tmp_path: Path) -> None:
    """Named devices never go, however many guests come; files go with the last that has them."""
    now = [0.0]
    store = Store(tmp_path / "firmware")
    store.prepare()
    (tmp_path / "catalog").mkdir()
    catalog = Catalog(tmp_path / "catalog")
    guests = Guests(catalog, store, most=2, clock=lambda: now[0])

    async def found(name: str, content: bytes, *, by_poll: bool = True) -> None:
        now[0] += 1
        stored(store, content)
        await catalog.put(replace(record(release("1.0.0", content, name)), found_by_poll=by_poll))
        await guests.found(Device(name))

    await found("named", b"named", by_poll=False)
    await found("a", b"a")
    await found("b", b"shared")
    now[0] += 1
    guests.polled([Device("a")])
    await found("c", b"shared")
    assert set(catalog.devices()) == {Device("named"), Device("a"), Device("c")}
    assert store.has(release("1.0.0", b"shared").firmware)
    await found("d", b"d")
    await found("e", b"e")
    assert set(catalog.devices()) == {Device("named"), Device("d"), Device("e")}
    assert not store.has(release("1.0.0", b"shared").firmware)
    assert not catalog.path(Device("a")).exists()
