"""Whatever form a board gives its name and version, both ways of answering remember the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release

# What a board sends, and what is remembered of it: its name and what it runs.
POLLS = (
    ("&unit=AA%3ABB%3A01&current=0.9.0", {}, "AA:BB:01", "0.9.0"),
    ("&unit=b!1&current=0.9.1", {}, "b!1", "0.9.1"),
    ("&unit=c&current=0.9.0%2Bb1", {}, "c", "0.9.0+b1"),
    ("&unit=d&current=0.9.0+b1", {}, "d", "0.9.0+b1"),
    ("&unit=e&current=0.9.0", {}, "e", "0.9.0"),
    (f"&unit=f&current=0.9.0-{'a' * 90}", {}, "f", f"0.9.0-{'a' * 90}"),
    ("&current=0.9.0", {"RAUC-Serial": "g(1)"}, "g(1)", "0.9.0"),
    ("", {"x-ESP32-STA-MAC": "h~1", "RAUC-Serial": "other"}, "h~1", ""),
    ("&unit=i&current=%20", {}, "i", ""),
    ("&unit=hall/2&current=0.9.3", {}, "hall/2", "0.9.3"),
    ("&current=0.9.4", {"rauc-serial": "S/N 0042 b"}, "S/N 0042 b", "0.9.4"),
)


@pytest.mark.parametrize("follows_down", [True, False])
@pytest.mark.parametrize("shortcut", [True, False])
async def test_units_are_remembered_whoever_answers(
    tmp_path: Path, shortcut: bool, follows_down: bool
) -> None:
    """The first poll and those after it, by names and versions that are written in any way."""
    async with PortServer(tmp_path, shortcut=shortcut, follows_down=follows_down) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as connection:
            for query, headers, _, _ in POLLS * 2:
                await connection.get(f"/version?device=lamp{query}", headers)
        server.side.cache.report()
    seen = {each.unit: (each.runs, each.told) for each in server.units.page(0, 99)[0]}
    expected = {name: (runs, "1.0.0") for _, _, name, runs in POLLS if name}
    assert seen == expected


@pytest.mark.parametrize(("query", "headers", "name", "runs"), POLLS)
async def test_a_unit_alone_is_remembered(
    tmp_path: Path, query: str, headers: dict[str, str], name: str, runs: str
) -> None:
    """Also where no other board's poll was read before; each poll says what runs then."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as connection:
            for later in (False, True):
                said = query.replace("=0.9", "=0.8") if later else query
                await connection.get(f"/version?device=lamp{said}", headers)
        server.side.cache.report()
    (seen,) = server.units.page(0, 9)[0]
    assert (seen.unit, seen.runs) == (name, runs.replace("0.9", "0.8"))
