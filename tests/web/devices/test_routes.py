"""The table of protocols: a row is found by its address, and a new protocol is one row more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from multidict import CIMultiDict

from otaflux.errors import NotFound
from otaflux.web.answers import Answer, json_body
from otaflux.web.devices.delivery import FirmwareAnswer
from otaflux.web.devices.handlers import Devices
from otaflux.web.devices.protocols.route import Route
from otaflux.web.devices.protocols.table import ROUTES, find
from otaflux.web.devices.request import DeviceRequest

HEX = "0f" * 32


async def nothing(request: DeviceRequest) -> Answer:
    """A handler that is not reached."""
    raise AssertionError(request)


@pytest.mark.parametrize(
    ("address", "path", "named"),
    [
        ("/a/{device}/b", "/a/lamp/b", {"device": "lamp"}),
        ("/a/{device}/b", "/a/acme/lamp/b", {"device": "acme/lamp"}),
        ("/a/{device}/b", "/a/b", None),
        ("/a/{device}.json", "/a/lamp.v2.json", {"device": "lamp.v2"}),
        ("/a/{device}.json", "/a/lampxjson", None),
        ("/{tenant}/v1/{unit}{rest}", "/T/v1/U", {"tenant": "T", "unit": "U", "rest": ""}),
        ("/{tenant}/v1/{unit}{rest}", "/T/v1/U/a/b", {"tenant": "T", "unit": "U", "rest": "/a/b"}),
        ("/{tenant}/v1/{unit}{rest}", "/T/T/v1/U", None),
        ("/c/{hex}", "/c/" + HEX, {"hex": HEX}),
        ("/c/{hex}", "/c/" + HEX.upper(), None),
    ],
)
def test_an_address_names_parts_of_a_path(
    address: str, path: str, named: dict[str, str] | None
) -> None:
    """Devices may hold slashes, other names are one part, and a digest is one."""
    assert Route(address, nothing).match(path) == named


def test_the_first_row_that_fits_answers() -> None:
    """Also where rows differ by what the client's headers speak alone."""
    special = Route("/x", nothing, spoken=lambda headers: "X-Toy" in headers)
    rows = (special, Route("/x", nothing), Route("/{any}", nothing))
    assert find("/x", CIMultiDict({"x-toy": "1"}), rows)[0] is special
    assert find("/x", CIMultiDict(), rows)[0] is rows[1]
    assert find("/y", CIMultiDict(), rows)[0] is rows[2]
    with pytest.raises(NotFound):
        find("/y/z", CIMultiDict(), rows)


async def toy(request: DeviceRequest) -> Answer | FirmwareAnswer:
    """A protocol that says by POST what there is, and sends it by GET."""
    ask = request.ask()
    if request.raw.method != "POST":
        return await request.firmware(ask)
    offer = await request.offered(ask)
    return json_body({"unit": request.named["unit"], "version": offer.release.version.text})


async def test_a_new_protocol_is_one_row(tmp_path: Path) -> None:
    """It tells what all tell, sends as all send, and its methods are its own."""
    server = PortServer(tmp_path)
    row = Route("/toy/{device}/of/{unit}", toy, methods=("GET", "HEAD", "POST"))
    server.devices = Devices(server.parts, routes=(*ROUTES, row))
    async with server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        told = await server.get("/toy/lamp/of/u1", {"Content-Length": "0"}, method="POST")
        assert json.loads(told.body) == {"unit": "u1", "version": "1.0.0"}
        part = await server.get("/toy/lamp/of/u1", {"Range": "bytes=2-4"})
        assert (part.status, part.body) == (206, b"rmw")
        wrong = await server.get("/toy/lamp/of/u1", method="DELETE")
        assert (wrong.status, wrong["Allow"]) == (405, "GET, HEAD, POST")
