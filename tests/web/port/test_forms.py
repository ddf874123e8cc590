"""What was parsed for one device answers others, where nothing but the device's name differs."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from otaflux.errors import BadName
from otaflux.model.names import Device
from otaflux.web.devices.ask import Ask
from otaflux.web.port.cachedanswer import CachedAnswer
from otaflux.web.port.forms import Asked, Forms, without_device
from otaflux.web.port.remembered import Remembered
from otaflux.web.port.requestcache import RequestCache

HEADERS = CIMultiDictProxy(CIMultiDict[str]())
DEVICES = ("lamp", "fan", "eu/pump.2")
# Of a request's first line, with D where a device's name stands.
PIECES = st.sampled_from(
    ["device=D", "%64evice=D", "device=%44", "Device=D", "device=lamp", "a=1", "a=?device=D",
     "unit=u", "current=1.0.0", "current=1.0.0%2B7", "channel=stable", "version=1.0.0", "&", "&",
     "&", "?", ";", "#", "+", "%26device=D", "wait=5"]
)  # fmt: skip
FIELDS = st.sampled_from(
    ["", "Accept: application/json\r\n", "X: device=D\r\n", "X: ?device=D&\r\n",
     "If-None-Match: *\r\n", "Connection: close\r\n", "RAUC-Serial: 7\r\n", "Via: 1.1 a\r\n",
     "Content-Length: 0\r\n", "Want-Repr-Digest: sha-256=9\r\n"]
)  # fmt: skip
PATHS = st.sampled_from(["/version", "//version/", "http://ota/version", "/firmware", "/health"])


def request(target: str, fields: str = "") -> bytes:
    """A request."""
    return f"GET {target} HTTP/1.1\r\nHost: ota\r\n{fields}\r\n".encode()


def told(cache: RequestCache, data: bytes) -> tuple[object, ...] | None:
    """What a request is answered with at once; None where it is others' to answer."""
    known = cache.lookup(data)
    if not isinstance(known, CachedAnswer):
        return None
    ask = known.ask
    return (ask, known.before, known.after, known.closes, known.wait, known.name, known.says)


@pytest.mark.parametrize(
    ("target", "cut", "name"),
    [
        ("/version?device=lamp", "/version?device=", b"lamp"),
        ("/version?unit=a&device=eu/pump.2&x=y", "/version?unit=a&device=&x=y", b"eu/pump.2"),
        ("http://ota/version?device=lamp", "http://ota/version?device=", b"lamp"),
        ("/version?a=?device=lamp", "/version?a=?device=lamp", b""),
        ("/version?device=Lamp", "/version?device=Lamp", b""),
        ("/version?device=la%6Dp", "/version?device=la%6Dp", b""),
        ("/version?device=lamp#x", "/version?device=lamp#x", b""),
        ("/version?device=lamp;x=y", "/version?device=lamp;x=y", b""),
        ("/version?device=", "/version?device=", b""),
        ("/version?device=" + "a" * 201, "/version?device=" + "a" * 201, b""),
        ("/version?mydevice=lamp", "/version?mydevice=lamp", b""),
    ],
)
def test_a_devices_name_is_cut_where_it_is_one(target: str, cut: str, name: bytes) -> None:
    """A parameter of the query of that very name, with a value that needs no decoding."""
    assert without_device(request(target)) == (request(cut), name)


def test_a_device_in_a_field_is_left() -> None:
    """Only the first line says which device is meant."""
    data = request("/version?x=y", "X: a?device=lamp \r\n")
    assert without_device(data) == (data, b"")


def test_what_is_asked_about_others_changes_no_answer(tmp_path: Path) -> None:
    """Whatever stands in a request: the answer is that of a server that never saw one like it."""
    server = PortServer(tmp_path)
    for number, name in enumerate(DEVICES):
        server.publish(release(name, f"{number}.0.0", name.encode()))

    def cache() -> RequestCache:
        return RequestCache(
            ready_record=server.side.parts.first_looks.ready_record,
            downloads=server.sender,
            last_told=server.side.parts.last_told,
            origins=server.origins,
            observer=server.observer,
        )

    @example("/version", ["a=?device=D", "&", "%64evice=lamp"], "", list(DEVICES))
    @example("/version", ["device=lamp", "&", "a=?device=D"], "", list(DEVICES))
    @example("/version", ["a=1"], "X: ?device=D \r\n", list(DEVICES))
    @given(PATHS, st.lists(PIECES, max_size=7), FIELDS, st.permutations(DEVICES))
    def holds(path: str, pieces: list[str], fields: str, devices: list[str]) -> None:
        async def test() -> None:
            known = cache()
            for name in devices:
                target = f"{path}?{''.join(pieces)}".replace("D", name)
                data = request(target, fields.replace("D", name))
                assert told(known, data) == told(cache(), data)

        asyncio.run(test())

    holds()


@pytest.mark.parametrize("shortcut", [True, False])
async def test_each_device_is_told_its_own(tmp_path: Path, shortcut: bool) -> None:
    """On one connection after another, also those that there is nothing for, and those that go."""
    async with PortServer(tmp_path, shortcut=shortcut) as server:
        for number in range(20):
            server.publish(release(f"lamp-{number}", f"1.{number}.0"))
        for number in range(20):
            async with await server.connect() as connection:
                answer = await connection.get(f"/version?device=lamp-{number}&unit=u{number}")
                assert answer.body.startswith(f"1.{number}.0\n".encode())
                odd = await connection.get("/version?device=a..b&unit=x")
                assert odd.status == 400
        server.publish(release("lamp-3", "2.0.0", b"newer"))
        async with await server.connect() as connection:
            answer = await connection.get("/version?device=lamp-3&unit=u3")
            assert answer.body.startswith(b"2.0.0\n")


def test_forms_are_few() -> None:
    """The one first seen gives way, and only what was cut out is put in again."""
    forms = Forms(most=2)
    asked = Asked(Ask(Device("lamp")), HEADERS, ends=False)
    data = [request(f"/version?device=lamp&x={number}") for number in range(3)]
    for each in data:
        forms.note(each, asked)
    assert forms.find(data[0]) is None
    for each in data[1:]:
        found = forms.find(each.replace(b"lamp", b"fan"))
        assert found is not None
        assert found.ask == Ask(Device("fan"))
    with pytest.raises(BadName):
        forms.find(data[2].replace(b"lamp", b"a..b"))
    forms.note(request("/version?device=fan"), asked)  # whoever parsed it found another device
    assert forms.find(request("/version?device=fan")) is None
    forms.clear()
    assert forms.find(data[2]) is None


def test_requests_about_very_many_devices_are_remembered_in_the_same_room() -> None:
    """What a device was asked goes wholly, also with the device's last request."""
    most = 200_000
    tracemalloc.start()
    try:
        remembered: Remembered[CachedAnswer] = Remembered(most)
        for number in range(20_000):
            ask = Ask(Device(f"board-{number}"))
            remembered.put(b"GET /%d" % number, CachedAnswer(ask, 200, b"", b"", closes=False))
        assert tracemalloc.get_traced_memory()[0] < 1.5 * most
    finally:
        tracemalloc.stop()
    assert remembered.get(b"GET /0") is None
    assert remembered.get(b"GET /19999") is not None
    remembered.forget(Device("board-19999"))
    assert remembered.get(b"GET /19999") is None
