"""Protocols of which a client sends one request: the bytes of each, and what each must not get."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from held_releases import record
from zigbee_files import zigbee, zigbee_file

from otaflux.errors import Busy
from otaflux.machine import REAL_MACHINE
from otaflux.model.artifact import Digest
from otaflux.model.names import Channel, Device
from otaflux.state.store import Store
from otaflux.web.answers import Answer, json_body
from otaflux.web.devices.admission import Admission
from otaflux.web.devices.zigbeefiles import ZigbeeFiles
from otaflux.web.origin import Origins
from otaflux.work.outcome import Done

ORIGIN = "http://ota"  # the Host that these clients send
OLD = release("acme/lamp", "1.9.0", b"old" * 100)
NEW = release("acme/lamp", "1.10.0+b7", b"new" * 100, tag="v1.10.0_b7")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PortServer]:
    """A port whose device acme/lamp is told 1.10.0+b7 and keeps 1.9.0."""
    async with PortServer(tmp_path) as server:
        server.publish(OLD)
        server.publish(NEW, kept=(OLD,))
        yield server


async def fetched(server: PortServer, url: str) -> bytes:
    """What is at a link of an answer."""
    assert url.startswith(ORIGIN)
    return (await server.get(url.removeprefix(ORIGIN))).body


MEMFAULT = "/api/v0/releases/latest/url?device_serial=S1&hardware_version=H&software_type=acme/lamp"


async def test_memfault_gets_an_address(server: PortServer) -> None:
    """As the SDK asks on ESP-IDF; the unit, what it runs and was told are remembered."""
    headers = {"Memfault-Project-Key": "K", "Accept": "text/plain"}
    reply = await server.get(f"{MEMFAULT}&current_version=1.9.0", headers)
    assert (reply.status, reply["Content-Length"]) == (200, str(len(reply.body)))
    assert await fetched(server, reply.body.decode()) == b"new" * 100
    seen = server.units.find(Device("acme/lamp"), "S1")
    assert seen is not None
    assert (seen.runs, seen.told) == ("1.9.0", "1.10.0+b7")


async def test_memfault_has_nothing_to_do(server: PortServer) -> None:
    """204 without a body where the unit runs it, however its version is written."""
    for runs in ("1.10.0%2Bb7", "v1.10.0_b7"):
        reply = await server.get(f"{MEMFAULT}&current_version={runs}")
        assert (reply.status, reply.body) == (204, b"")
        assert "Content-Length" not in reply.names


@pytest.mark.parametrize(
    "query",
    ["", "software_type=", "software_type=A%20B", "software_type=lamp&software_type=fan"],
)
async def test_memfault_names_no_device(server: PortServer, query: str) -> None:
    """What cannot be a device is 400; one that is missing is said to be."""
    reply = await server.get(f"/api/v0/releases/latest/url?{query}")
    assert reply.status == 400
    assert (b"Missing required query parameter: 'software_type'" in reply.body) is (
        query in {"", "software_type="}
    )


async def test_github(server: PortServer) -> None:
    """`tag_name` as pushed, `firmware.bin` first, and short links to the bytes."""
    reply = await server.get("/repos/acme/lamp/releases/latest")
    told = json.loads(reply.body)
    assert told["tag_name"] == "v1.10.0_b7"
    assert [asset["name"] for asset in told["assets"]] == ["firmware.bin", "lamp.bin"]
    for asset in told["assets"]:
        assert asset["url"] == asset["browser_download_url"]
        assert len(asset["url"]) < 128
        headers = {"Accept": "application/octet-stream"}
        path = asset["url"].removeprefix(ORIGIN)
        assert (await server.get(path, headers)).body == b"new" * 100
    assert (await server.get("/repos/acme/lamp/releases/latest", {"If-None-Match": reply["ETag"]})
            ).status == 304  # fmt: skip


async def test_github_links_stay_short_where_they_are_signed(tmp_path: Path) -> None:
    """For a client that copies them into 128 bytes; without its token they give those bytes."""
    admission = Admission(lambda: ["sesame"], now=lambda: 1_700_000_000.0)
    headers, origins = {"Authorization": "Bearer sesame"}, Origins("https://firmware.example.com")
    async with PortServer(tmp_path, admission=admission, origins=origins) as server:
        server.publish(NEW)
        reply = await server.get("/repos/acme/lamp/releases/latest", headers)
        for asset in json.loads(reply.body)["assets"]:
            assert len(asset["url"]) < 128
            path = asset["url"].removeprefix("https://firmware.example.com")
            assert (await server.get(path)).body == b"new" * 100
            assert (await server.get(path.partition("?")[0])).status == 401


async def test_github_for_a_channel_and_a_unit(tmp_path: Path) -> None:
    """They are named as everywhere, and what a long link would be gives the channel's bytes too."""
    admission = Admission(lambda: ["sesame"], now=lambda: 1_700_000_000.0)
    headers, origins = {"Authorization": "Bearer sesame"}, Origins("https://firmware.example.com")
    async with PortServer(
        tmp_path, admission=admission, origins=origins, channels=frozenset({Channel("beta")})
    ) as server:
        server.publish(OLD)
        server.publish(release("acme/lamp", "1.9.1-beta.1", b"beta"), channel="beta")
        query = "channel=beta&unit=u7&current=1.9.0"
        reply = await server.get(f"/repos/acme/lamp/releases/latest?{query}", headers)
        told = json.loads(reply.body)
        assert told["tag_name"] == "1.9.1-beta.1"
        path = told["assets"][0]["url"].removeprefix("https://firmware.example.com")
        assert "/sha256/" not in path
        assert (await server.get(path)).body == b"beta"
        seen = server.units.find(Device("acme/lamp"), "u7")
        assert seen is not None
        assert (seen.runs, seen.told, seen.protocol) == ("1.9.0", "1.9.1-beta.1", "github")


async def test_esp32fota_remembers_what_a_unit_named_by_id_runs(server: PortServer) -> None:
    """`id` and `current` together."""
    await server.get("/esp32fota/acme/lamp.json?id=e1&current=1.9.0")
    seen = server.units.find(Device("acme/lamp"), "e1")
    assert seen is not None
    assert (seen.runs, seen.protocol) == ("1.9.0", "esp32fota")


async def test_github_for_devices_of_one_part(server: PortServer) -> None:
    """They are at `otaflux/D`, unless a device is called so."""
    server.publish(release("fan", "2.0.0", b"fan"))
    server.publish(release("otaflux/hub", "3.0.0", b"hub"))
    told = json.loads((await server.get("/repos/otaflux/fan/releases/latest")).body)
    assert told["tag_name"] == "2.0.0"
    told = json.loads((await server.get("/repos/otaflux/hub/releases/latest")).body)
    assert told["tag_name"] == "3.0.0"


async def test_swupdate_general(server: PortServer) -> None:
    """302 to the bytes, 404 where the unit runs them; other words count for nothing."""
    asked = "/swupdate?device=acme/lamp&unit=U1&hw=rev-b&hw=rev-c&version="
    reply = await server.get(f"{asked}1.9.0")
    assert (reply.status, reply.body) == (302, b"")
    assert await fetched(server, reply["Location"]) == b"new" * 100
    assert (await server.get(f"{asked}1.10.0_b7")).status == 404
    same = asked.replace("version=", "current=")
    assert (await server.get(f"{same}1.10.0_b7")).status == 404
    assert (await server.get("/swupdate?device=")).status == 400


async def test_swupdate_is_never_told_to_wait(tmp_path: Path) -> None:
    """No `Retry-After`, which it would keep as its interval: what is not known yet is 404."""
    async with PortServer(tmp_path, patience=0.01) as server:
        reply = await server.get("/swupdate?device=new")
        assert reply.status == 404
        assert "Retry-After" not in reply.names


async def test_sysupdate(server: PortServer) -> None:
    """A line for the current and each kept release, as systemd reads it, and the files behind."""
    lines = (await server.get("/sysupdate/acme/lamp/SHA256SUMS")).body.decode()
    expected = [("lamp_1.10.0+b7.bin", b"new" * 100), ("lamp_1.9.0.bin", b"old" * 100)]
    assert lines == "".join(
        f"{hashlib.sha256(content).hexdigest()} *{name}\n" for name, content in expected
    )
    for name, content in expected:
        assert (await server.get(f"/sysupdate/acme/lamp/{name}")).body == content
    await server.get("/sysupdate/acme/lamp/SHA256SUMS?unit=s1&current=1.9.0")
    seen = server.units.find(Device("acme/lamp"), "s1")
    assert seen is not None
    assert (seen.runs, seen.protocol) == ("1.9.0", "sysupdate")
    part = await server.get("/sysupdate/acme/lamp/lamp_1.9.0.bin", {"Range": "bytes=3-5"})
    assert (part.status, part.body) == (206, b"old")
    for name in ("lamp_1.8.0.bin", "SHA256SUMS.gpg", "..%2flamp_1.9.0.bin"):
        assert (await server.get(f"/sysupdate/acme/lamp/{name}")).status in {400, 404}


async def test_sysupdate_lists_nothing_of_other_channels(tmp_path: Path) -> None:
    """A pre-release of a channel is no file for those who follow the stable one."""
    async with PortServer(tmp_path, channels=frozenset({"beta"})) as server:
        server.publish(OLD)
        server.publish(release("acme/lamp", "2.0.0-beta.1", b"beta"), channel="beta")
        lines = (await server.get("/sysupdate/acme/lamp/SHA256SUMS")).body.decode()
        assert [line.split("*")[1] for line in lines.splitlines()] == ["lamp_1.9.0.bin"]
        assert (await server.get("/sysupdate/acme/lamp/lamp_2.0.0-beta.1.bin")).status == 404
        lines = (await server.get("/sysupdate/acme/lamp/SHA256SUMS?channel=beta")).body.decode()
        assert lines.count("\n") == 2


async def test_esp32fota(server: PortServer) -> None:
    """One object with type, version and address; `?id=` is the unit."""
    told = json.loads((await server.get("/esp32fota/acme/lamp.json?id=24:0A")).body)
    assert (told["type"], told["version"]) == ("acme/lamp", "1.10.0+b7")
    assert await fetched(server, told["url"]) == b"new" * 100
    assert server.units.find(Device("acme/lamp"), "24:0A") is not None


async def test_ota_pull(server: PortServer) -> None:
    """One configuration for every board."""
    told = json.loads((await server.get("/ota-pull/acme/lamp.json")).body)
    (entry,) = told["Configurations"]
    assert set(entry) == {"Version", "URL"}
    assert await fetched(server, entry["URL"]) == b"new" * 100


async def test_the_zigbee_index(server: PortServer) -> None:
    """One array for all devices, from the files' own headers; others are not in it."""
    bulb, plug = zigbee_file(0x01020304, hardware=(1, 9)), zigbee_file(5)
    server.publish(zigbee("zb/bulb", "1.2.3", bulb))
    server.publish(zigbee("zb/plug", "0.0.5", plug))
    first, second = json.loads((await server.get("/zigbee/index.json")).body)
    url = first.pop("url")
    assert first == {
        "fileName": "bulb_1.2.3.ota",
        "fileVersion": 0x01020304,
        "fileSize": len(bulb),
        "imageType": 7,
        "manufacturerCode": 0x1234,
        "otaHeaderString": "Lamp OTA",
        "hardwareVersionMin": 1,
        "hardwareVersionMax": 9,
        "sha512": hashlib.sha512(bulb).hexdigest(),
    }
    assert await fetched(server, url) == bulb
    assert second["sha512"] == hashlib.sha512(plug).hexdigest()
    assert "hardwareVersionMin" not in second


async def test_the_zigbee_index_follows(server: PortServer) -> None:
    """What is told now is in it, and nothing else; with none it is an empty array."""
    assert (await server.get("/zigbee/index.json")).body == b"[]"
    server.publish(zigbee("zb/bulb", "1.0.0", zigbee_file(1)))
    server.publish(zigbee("zb/bulb", "2.0.0", zigbee_file(2)))
    replies = await asyncio.gather(*(server.get("/zigbee/index.json") for _ in range(5)))
    for reply in replies:
        assert [entry["fileVersion"] for entry in json.loads(reply.body)] == [2]
    server.publish(release("zb/bulb", "3.0.0", b"no Zigbee file"))
    assert (await server.get("/zigbee/index.json")).body == b"[]"


async def test_the_zigbee_index_is_made_once_until_a_file_of_it_changes(tmp_path: Path) -> None:
    """By whoever asks first, for all who ask in the same way; what fails is made again."""
    files = ZigbeeFiles(Store(tmp_path), REAL_MACHINE)
    made: list[str] = []

    async def make(name: str) -> Answer:
        made.append(name)
        await asyncio.sleep(0)
        if name == "bad":
            raise Busy("not now", retry_after=1.0)
        return json_body([name])

    bulb, lamp = zigbee("zb/bulb", "1.0.0", zigbee_file(1)), release("lamp", "1.0.0")
    files.hear(bulb.device, record(bulb))
    answers = await asyncio.gather(*(files.kept("a", lambda: make("a")) for _ in range(5)))
    files.hear(lamp.device, record(lamp))
    files.hear(bulb.device, record(bulb))
    assert await files.kept("a", lambda: make("a")) is answers[0]
    await files.kept("b", lambda: make("b"))
    files.hear(bulb.device, None)
    await files.kept("a", lambda: make("a"))
    for _ in range(2):
        with pytest.raises(Busy):
            await files.kept("c", lambda: make("bad"))
    assert made == ["a", "b", "a", "bad", "bad"]


async def test_a_zigbee_file_that_cannot_be_read_is_missing_alone(server: PortServer) -> None:
    """The others are listed; it is listed too once it is whole again."""
    files = {name: zigbee_file(number) for number, name in enumerate("abc", 1)}
    for name, content in files.items():
        server.publish(zigbee(f"zb/{name}", "1.0.0", content))
    path = server.store.path(Digest("sha256", hashlib.sha256(files["a"]).hexdigest()))
    for spoilt in (None, files["a"][:-1]):
        path.unlink(missing_ok=True)
        if spoilt is not None:
            path.write_bytes(spoilt)
        reply = await server.get("/zigbee/index.json")
        assert [entry["fileVersion"] for entry in json.loads(reply.body)] == [2, 3]
        path.write_bytes(files["a"])
    first, *_ = json.loads((await server.get("/zigbee/index.json")).body)
    assert first["sha512"] == hashlib.sha512(files["a"]).hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        "/repos/acme/nobody/releases/latest",
        "/sysupdate/nobody/SHA256SUMS",
        "/esp32fota/nobody.json",
        "/ota-pull/nobody.json",
        "/swupdate?device=nobody",
        "/api/v0/releases/latest/url?software_type=nobody",
    ],
)
async def test_nothing_there(server: PortServer, path: str) -> None:
    """A device that does not exist is 404, after one look that says so."""
    asking = asyncio.create_task(server.get(path))
    await server.queue.touched.wait()
    (touch,) = server.queue.touches
    server.queue.end(touch.device.name, Done())
    assert (await asking).status == 404


@pytest.mark.parametrize(
    "path",
    ["/repos/A%00/b/releases/latest", "/sysupdate/%ff/SHA256SUMS", "/esp32fota/a%20b.json",
     "/ota-pull/-.json?unit=%00", "/swupdate?device=../x", "/zigbee/index.json/"],
)  # fmt: skip
async def test_odd_names(server: PortServer, path: str) -> None:
    """What cannot be a name is refused in a short text."""
    reply = await server.get(path)
    assert reply.status in {200, 400, 404}
    assert len(reply.body) < 200
