"""hawkBit's clients, as recorded: their requests in their order, and what each makes of an answer.

Written after `suricatta/server_hawkbit.c` of swupdate (8164b9b), `src/hawkbit-client.c` of
rauc-hawkbit-updater (227a2f3), and `subsys/mgmt/hawkbit/hawkbit.c` of Zephyr (5b04340, 3.x, and
what 4.1 changed). The real swupdate is in `scenarios/test_swupdate_live.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from device_server import Connection, DeviceServer, Reply, release, sums

from otaflux.model.image import Image, ImageKind
from otaflux.model.names import Device

SWU = b"070702" + b"an update " * 40


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DeviceServer]:
    """A server with an update of each kind."""
    async with DeviceServer(tmp_path) as server:
        for device, kind, content in (
            ("gateway", ImageKind.SWU, SWU),
            ("camera", ImageKind.RAUC, b"hsqs" + SWU),
            ("nrf52840dk_nrf52840", ImageKind.MCUBOOT, b"=\xb8\xf3\x96" + SWU),
        ):
            told = release(device, "1.4.0", content)
            image = replace(told.firmware, image=Image(kind))
            server.publish(replace(told, firmware=image))
        yield server


class Client:
    """One kept-alive connection, with the headers that a client always sends."""

    def __init__(self, connection: Connection, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._headers = headers

    async def ask(
        self, method: str, path: str, body: object = None, more: Mapping[str, str] | None = None
    ) -> Reply:
        """One request, which waits for 100 where it says so."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Host": "ota:8080", **self._headers, **(more or {})}
        if body is not None:
            headers["Content-Length"] = str(len(data))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await self._connection.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        if "Expect" in headers:
            assert b" 100 " in await self._connection.reader.readuntil(b"\r\n\r\n")
        await self._connection.send(data)
        return await self._connection.reply()

    async def json(self, path: str) -> dict[str, Any]:
        """What a GET answers."""
        reply = await self.ask("GET", path)
        assert reply.status == 200
        told: dict[str, Any] = json.loads(reply.body)
        return told


def path_of(href: str) -> str:
    """What a client asks for that follows a link."""
    assert href.startswith("http://ota:8080/")
    return href.removeprefix("http://ota:8080")


async def test_swupdate_in_suricatta_mode(server: DeviceServer) -> None:
    """From its first poll to success, confirmed after its restart, as the daemon does it."""
    headers = {
        "User-Agent": "libcurl-agent/1.0",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "charsets": "utf-8",
        "Authorization": "GatewayToken TOKEN",
    }
    async with await server.connect() as connection:
        client = Client(connection, headers)
        base = "/gateway/controller/v1/dev1"
        told = await client.json(base)
        assert len(told["config"]["polling"]["sleep"]) == 8
        attributes = {"id": "", "time": "20260101T000000", "mode": "merge"}
        attributes |= {"status": {}, "data": {"serial": "dev1"}}
        where = path_of(told["_links"]["configData"]["href"])
        expects = {"Expect": "100-continue"}
        assert (await client.ask("PUT", where, attributes, expects)).status == 200
        told = await client.json(base)
        assert "configData" not in told["_links"]
        where = path_of(told["_links"]["deploymentBase"]["href"])
        deployment = await client.json(where)
        number = deployment["id"]
        assert int(number) == int(where.rpartition("/")[2])
        for chunk in deployment["deployment"]["chunks"]:
            for artifact in chunk["artifacts"]:
                assert artifact["filename"].endswith(".swu")  # it skips all else, without a word
                link = path_of(artifact["_links"]["download"]["href"])
                whole = await client.ask("GET", link)
                assert sums(whole.body).sha1 == artifact["hashes"]["sha1"]
                resumed = await client.ask("GET", link, None, {"Range": "bytes=100-"})
                assert (resumed.status, resumed.body) == (206, SWU[100:])

        def status(execution: str, finished: str, *details: str) -> dict[str, Any]:
            result = {"finished": finished}
            said = {"result": result, "execution": execution, "details": list(details)}
            return {"id": number, "time": "20260101T000000", "status": said}

        for said in (
            status("proceeding", "none", "Installing Update Chunk Artifacts."),
            status("proceeding", "none", *["a line of its log " * 10] * 20),
        ):
            assert (await client.ask("POST", f"{where}/feedback", said)).status == 200
        assert "deploymentBase" in (await client.json(base))["_links"]
    async with await server.connect() as connection:  # it restarted, and was told that it is well
        client = Client(connection, headers)
        assert "deploymentBase" in (await client.json(base))["_links"]
        assert (await client.json(where))["id"] == number
        said = status("closed", "success", "Update Success, confirmed.")
        assert (await client.ask("POST", f"{where}/feedback", said)).status == 200
        assert list((await client.json(base))["_links"]) == ["configData"]
    assert server.units.running(Device("gateway")) == {"1.4.0": 1}


async def test_rauc_hawkbit_updater(server: DeviceServer) -> None:
    """One chunk with one artifact, resumed by `Range`, and nothing but 200 for its feedback."""
    headers = {"Accept": "application/hal+json", "Authorization": "TargetToken TOKEN"}
    async with await server.connect() as connection:
        client = Client(connection, headers)
        base = "/camera/controller/v1/target-7"
        told = await client.json(base)
        where = path_of(told["_links"]["configData"]["href"])
        attributes = {"mode": "merge", "data": {"product": "camera", "version": "1.3.0"}}
        assert (await client.ask("PUT", where, attributes)).status == 200
        told = await client.json(base)
        where = path_of(told["_links"]["deploymentBase"]["href"])
        deployment = await client.json(where)
        ((chunk,),) = [deployment["deployment"]["chunks"]]
        ((artifact,),) = [chunk["artifacts"]]
        link = path_of(artifact["_links"]["download"]["href"])
        octets = {"Accept": "application/octet-stream"}
        first = await client.ask("GET", link, None, octets | {"Range": "bytes=0-99"})
        rest = await client.ask("GET", link, None, octets | {"Range": "bytes=100-"})
        assert (first.status, rest.status) == (206, 206)
        assert sums(first.body + rest.body).sha1 == artifact["hashes"]["sha1"]
        past = f"bytes={artifact['size']}-"
        assert (await client.ask("GET", link, None, octets | {"Range": past})).status == 416
        for execution, finished in (
            ("proceeding", "none"),
            ("proceeding", "none"),
            ("closed", "success"),
        ):
            said = {"execution": execution, "result": {"finished": finished}, "details": ["x"]}
            body = {"id": deployment["id"], "time": "20260101T000000", "status": said}
            assert (await client.ask("POST", f"{where}/feedback", body)).status == 200
        # It sends what is in its file at each poll that has the link, before it restarts too.
        told = await client.json(base)
        where = path_of(told["_links"]["configData"]["href"])
        assert (await client.ask("PUT", where, attributes)).status == 200
        assert (await client.json(base))["_links"] == {}


@pytest.mark.parametrize(
    ("tenant", "shown"), [("default", "DEFAULT"), ("nrf52840dk_nrf52840", "nrf52840dk_nrf52840")]
)
async def test_zephyr(server: DeviceServer, tenant: str, shown: str) -> None:
    """3.x has one tenant and cuts its link at `/DEFAULT/…`; 4.1 has CONFIG_HAWKBIT_TENANT."""
    async with await server.connect() as connection:
        client = Client(connection, {})
        base = f"/{tenant}/controller/v1/nrf52840dk_nrf52840-0123456789abcdef"
        told = await client.json(base)
        assert len(told["config"]["polling"]["sleep"]) == len("00:00:00")
        where = path_of(told["_links"]["configData"]["href"])
        attributes = {"mode": "merge", "data": {"VIN": "0123456789abcdef", "hwRevision": "3"}}
        assert (await client.ask("PUT", where, attributes)).status == 200
        told = await client.json(base)
        where = path_of(told["_links"]["deploymentBase"]["href"])
        assert len(where[where.index("deploymentBase") :]) <= 49
        reply = await client.ask("GET", where)
        assert len(reply.raw) <= 1100  # its buffer, for the head too where it keeps that
        deployment = json.loads(reply.body)
        (chunk,) = deployment["deployment"]["chunks"]
        (artifact,) = chunk["artifacts"]
        assert chunk["part"] == "bApp"
        href = artifact["_links"]["download-http"]["href"]
        at = href.index(f"/{shown}/controller/v1")
        download = href[at : at + 199]
        assert download == href[at:]
        got = await client.ask("GET", download)
        assert sums(got.body).sha256 == artifact["hashes"]["sha256"]
        assert got["Content-Length"] == str(artifact["size"])
        number = int(deployment["id"])
        assert 0 <= number < 1 << 31
        # After its restart from the new image it says so, and asks for nothing before.
        said = {"execution": "closed", "result": {"finished": "success"}}
        body = {"id": deployment["id"], "status": said}
        assert (await client.ask("POST", f"{where}/feedback", body)).status == 200
        assert "deploymentBase" not in (await client.json(base))["_links"]


async def test_zephyr_cancels_without_a_look(server: DeviceServer) -> None:
    """It posts to the cancel's address at once; the number there is the action's."""
    async with await server.connect() as connection:
        client = Client(connection, {})
        base = "/default/controller/v1/nrf52840dk_nrf52840-77"
        await client.json(base)
        told = await client.json(base)
        where = path_of(told["_links"]["deploymentBase"]["href"])
        number = (await client.json(where))["id"]
        server.publish(None, withdrawn=True, device="nrf52840dk_nrf52840")
        told = await client.json(base)
        where = path_of(told["_links"]["cancelAction"]["href"])
        assert where.endswith(f"/cancelAction/{number}")
        said = {"execution": "closed", "result": {"finished": "success"}}
        body = {"id": number, "status": said}
        assert (await client.ask("POST", f"{where}/feedback", body)).status == 200
        told = await client.json(base)
        assert list(told["_links"]) == ["configData"]
