"""What one board says of itself is cut out of its request, and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.names import Device
from otaflux.web.port.unnamed import RequestKind, unnamed

LAMP = Device("lamp")
PIECES = st.sampled_from(
    [b"unit=", b"current=", b"&", b"?", b" ", b" HTTP/1.1\r\n", b"\r\nx-ESP32-STA-MAC: ", b"a:b",
     b"\r\nRAUC-Serial: ", b"1.0.0", b"%41", b"\r\n\r\n", b"GET /version?device=lamp", b"+"]
)  # fmt: skip
NAMES = st.text("abcABC019:._-", min_size=1, max_size=64).map(str.encode)


def poll(query: bytes = b"", *fields: bytes) -> bytes:
    """A poll."""
    head = b"GET /version?device=lamp" + query + b" HTTP/1.1"
    return b"\r\n".join((head, b"Host: ota", *fields, b"", b""))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (poll(b"&unit=a:1"), (poll(b"&unit="), b"a:1", b"")),
        (poll(b"&unit=a&current=1.0.0"), (poll(b"&unit=&current="), b"a", b"1.0.0")),
        (poll(b"&current=1.0.0&unit=a"), (poll(b"&current=&unit="), b"a", b"1.0.0")),
        (poll(b"&current=1.0.0+b"), (poll(b"&current=1.0.0+b"), b"", b"")),
        (poll(b"&unit=a%20"), (poll(b"&unit=a%20"), b"", b"")),
        (poll(b"&unit=" + b"a" * 65), (poll(b"&unit=" + b"a" * 65), b"", b"")),
        (poll(b"&myunit=a"), (poll(b"&myunit=a"), b"", b"")),
        (poll(b"", b"RAUC-Serial: 7"), (poll(b"", b"RAUC-Serial: "), b"7", b"")),
        (poll(b"&unit=a", b"RAUC-Serial: 7"), (poll(b"&unit=", b"RAUC-Serial: "), b"a", b"")),
        (poll(b"", b"X: unit=a"), (poll(b"", b"X: unit=a"), b"", b"")),
        (
            poll(b"&unit=a", b"X-Real-IP: fe80::1", b"X-Forwarded-For: 10.0.0.1, 10.0.0.2"),
            (poll(b"&unit=", b"X-Real-IP: ", b"X-Forwarded-For: "), b"a", b""),
        ),
        (
            poll(b"", b"X-Forwarded-For: unknown", b"X-Real-IP: a\tb"),
            (poll(b"", b"X-Forwarded-For: unknown", b"X-Real-IP: a\tb"), b"", b""),
        ),
    ],
)
def test_names_are_cut_where_boards_write_them(
    data: bytes, expected: tuple[bytes, bytes, bytes]
) -> None:
    """The query's name counts before a header's; what may be read otherwise stays."""
    assert unnamed(data) == expected


def test_what_a_unit_runs_stays_where_it_matters() -> None:
    """Where downgrades are not followed, it decides the answer."""
    data = poll(b"&unit=a&current=1.0.0")
    assert unnamed(data, with_current=False) == (poll(b"&unit=&current=1.0.0"), b"a", b"")


@given(st.lists(PIECES, max_size=12).map(b"".join), NAMES, NAMES)
def test_a_kind_finds_what_the_search_finds(data: bytes, one: bytes, other: bytes) -> None:
    """Whatever is of a known kind is cut in the same way without a search."""
    for cut in (poll(b"&unit=" + one), poll(b"", b"RAUC-Serial: " + one), data):
        kind = RequestKind.of(cut, *unnamed(cut))
        if kind is not None:
            name = kind.name_in(cut)
            assert unnamed(cut) == (kind.key, name, kind.runs)
            named = cut.replace(name, other)
            found = kind.name_in(named)
            assert not found or unnamed(named) == (kind.key, found, kind.runs)


@pytest.mark.parametrize("shortcut", [True, False])
async def test_units_that_poll_are_remembered(tmp_path: Path, shortcut: bool) -> None:
    """Whoever answers: who polled, what it runs, and what it was told."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as connection:
            for _ in range(2):
                for name, runs in (("a", "0.9.0"), ("b", "1.0.0"), ("c", "")):
                    current = f"&current={runs}" if runs else ""
                    await connection.get(f"/version?device=lamp&unit={name}{current}")
                await connection.get("/version?device=lamp", {"RAUC-Serial": "7"})
    found = {name: server.units.find(LAMP, name) for name in ("a", "b", "c", "7")}
    assert {name: (unit.runs, unit.told) for name, unit in found.items() if unit} == {
        "a": ("0.9.0", "1.0.0"), "b": ("1.0.0", "1.0.0"), "c": ("", "1.0.0"), "7": ("", "1.0.0")
    }  # fmt: skip


async def test_who_runs_what_is_counted_with_the_polls(tmp_path: Path) -> None:
    """Polls that say what a unit runs are counted by that besides, cut out or not."""
    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0"))
        async with await server.connect() as connection:
            for query in (
                "", "&current=0.9.0", "&current=0.9.0", "&unit=a&current=0.8.0", "&current=1.0%2B7"
            ):  # fmt: skip
                await connection.get(f"/version?device=lamp{query}")
    assert server.observer.statuses == {200: 5}
    assert server.observer.versions == {
        (LAMP, "0.9.0"): 2, (LAMP, "0.8.0"): 1, (LAMP, "1.0+7"): 1
    }  # fmt: skip
