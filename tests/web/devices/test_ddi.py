"""hawkBit's protocol, by the requests of its clients in their own order, and by each rule."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from device_server import Connection, DeviceServer, Reply, release

from otaflux.model.image import Image, ImageKind
from otaflux.model.names import Device
from otaflux.model.release import Release
from otaflux.web.devices.admission import Admission
from otaflux.web.origin import Origins

U = "/lamp/controller/v1/u1"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DeviceServer]:
    """A server whose device `lamp` has 1.4.0."""
    async with DeviceServer(tmp_path) as server:
        server.publish(release("lamp", "1.4.0", b"firmware of 1.4.0"))
        yield server


async def say(server: DeviceServer, method: str, path: str, body: object) -> Reply:
    """A request with a body, and its answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = await server.connect()
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: ota\r\nContent-Length: {len(data)}\r\n\r\n"
        await connection.send(head.encode() + data)
        return await connection.reply()
    finally:
        await connection.close()


def feedback(execution: str, finished: str = "none") -> dict[str, Any]:
    """As clients write it."""
    status = {"execution": execution, "result": {"finished": finished}, "details": ["words"]}
    return {"id": "1", "time": "20260101T000000", "status": status}


async def links(server: DeviceServer, path: str = U) -> dict[str, str]:
    """What a poll's links are, below the unit's address."""
    reply = await server.get(path)
    assert reply.status == 200
    told = json.loads(reply.body)["_links"]
    return {name: link["href"].split("/controller/v1/")[1] for name, link in told.items()}


async def action(server: DeviceServer, path: str = U) -> str:
    """The action that a unit is told; empty for none."""
    return (await links(server, path)).get("deploymentBase", "").rpartition("/")[2]


async def close(server: DeviceServer, number: str, finished: str, path: str = U) -> int:
    """The status of feedback that closes an action."""
    where = f"{path}/deploymentBase/{number}/feedback"
    return (await say(server, "POST", where, feedback("closed", finished))).status


async def test_the_first_poll_asks_who_it_is_and_the_next_has_the_deployment(
    server: DeviceServer,
) -> None:
    """A unit that was forgotten says what it runs before it is told to install anything."""
    first = json.loads((await server.get(U)).body)
    assert first["config"]["polling"]["sleep"] == "00:00:10"
    assert list(first["_links"]) == ["configData"]
    second = json.loads((await server.get(U)).body)
    assert second["config"]["polling"]["sleep"] == "00:05:00"
    assert set(second["_links"]) == {"deploymentBase", "configData"}


async def test_a_deployment_is_what_clients_take(server: DeviceServer) -> None:
    """One chunk, one artifact, all sums, a link below the tenant; and its bytes, in parts too."""
    await links(server)
    number = await action(server)
    reply = await server.get(f"{U}/deploymentBase/{number}")
    assert (reply.status, reply["Content-Type"]) == (200, "application/json")
    told = json.loads(reply.body)
    assert told["id"] == number
    ((chunk),) = told["deployment"]["chunks"]
    ((artifact),) = chunk["artifacts"]
    assert (chunk["part"], chunk["version"]) == ("bApp", "1.4.0")
    assert (artifact["filename"], artifact["size"]) == ("lamp.bin", 17)
    assert set(artifact["hashes"]) == {"sha1", "md5", "sha256"}
    href = artifact["_links"]["download-http"]["href"]
    assert href == artifact["_links"]["download"]["href"]
    assert href.startswith(f"http://ota{U}/softwaremodules/{number}/artifacts/")
    whole = await server.get(href.removeprefix("http://ota"))
    assert whole.body == b"firmware of 1.4.0"
    part = await server.get(href.removeprefix("http://ota"), {"Range": "bytes=9-"})
    assert (part.status, part.body) == (206, b"of 1.4.0")
    other = await server.get(href.removeprefix("http://ota").replace("lamp.bin", "other.bin"))
    assert other.status == 404


@pytest.mark.parametrize("finished", ["success", "none"])
async def test_what_went_well_is_not_offered_again(server: DeviceServer, finished: str) -> None:
    """Whatever it says it runs in a file that never changes; and attributes are wanted once."""
    await links(server)
    await say(server, "PUT", f"{U}/configData", {"data": {"version": "1.3.0"}})
    number = await action(server)
    assert await close(server, number, finished) == 200
    assert await links(server) == {"configData": "u1/configData"}
    await say(server, "PUT", f"{U}/configData", {"data": {"version": "1.3.0"}})
    assert await links(server) == {}
    assert await close(server, number, finished) == 200  # it did not hear the answer
    assert await links(server) == {}


async def test_of_attributes_and_a_closed_action_the_later_counts(server: DeviceServer) -> None:
    """A unit that was set back by hand says so, and is told again."""
    await links(server)
    await close(server, await action(server), "success")
    await say(server, "PUT", f"{U}/configData", {"data": {"sw_version": "v1.3.0"}})
    assert await action(server)
    await say(server, "PUT", f"{U}/configData", {"data": {"fw_version": "v1.4.0"}})
    assert not await action(server)


async def test_words_that_are_no_version_say_nothing(server: DeviceServer) -> None:
    """A unit that calls its software otherwise is not told again what it closed well."""
    await links(server)
    await close(server, await action(server), "success")
    await say(server, "PUT", f"{U}/configData", {"data": {"version": "autumn"}})
    assert not await action(server)


async def test_who_installs_sees_its_action_until_it_closed_it(server: DeviceServer) -> None:
    """SWUpdate restarts with the new version, and then looks for the action to confirm it."""
    await links(server)
    number = await action(server)
    await server.get(f"{U}/deploymentBase/{number}")
    await say(server, "POST", f"{U}/deploymentBase/{number}/feedback", feedback("proceeding"))
    await say(server, "PUT", f"{U}/configData", {"data": {"version": "1.4.0"}})
    assert await action(server) == number
    assert await close(server, number, "success") == 200
    assert not await action(server)


async def test_what_failed_is_offered_again_with_patience(server: DeviceServer) -> None:
    """At once, after an hour, after six, and then once a day."""
    await links(server)
    number = await action(server)
    for wait in (0, 3600, 6 * 3600, 24 * 3600, 24 * 3600):
        await server.get(f"{U}/deploymentBase/{number}")
        assert await close(server, number, "failure") == 200
        assert await close(server, number, "failure") == 200  # the same failure, said twice
        if wait:
            server.clock.value += wait - 1
            assert not await action(server)
            server.clock.value += 1
        assert await action(server) == number
    seen = server.units.find(Device("lamp"), "u1")
    assert seen is not None
    assert (seen.failed, seen.failures) == ("1.4.0", 5)
    server.publish(release("lamp", "1.5.0", b"mended"))
    assert await action(server) not in {"", number}


async def test_a_withdrawn_release_is_cancelled_where_it_was_begun(server: DeviceServer) -> None:
    """Who fetched it is told to end it; who did not is told what stands now."""
    await links(server)
    await links(server, U + "2")
    number = await action(server)
    await server.get(f"{U}/deploymentBase/{number}")
    server.publish(None, withdrawn=True)
    assert await links(server) == {
        "cancelAction": f"u1/cancelAction/{number}",
        "configData": "u1/configData",
    }
    assert "cancelAction" not in await links(server, U + "2")
    assert (await server.get(f"{U}2/cancelAction/{number}")).status == 404
    reply = await server.get(f"{U}/cancelAction/{number}")
    assert json.loads(reply.body) == {"id": number, "cancelAction": {"stopId": number}}
    where = f"{U}/cancelAction/{number}/feedback"
    assert (await say(server, "POST", where, feedback("closed", "success"))).status == 200
    assert "cancelAction" not in await links(server)
    assert (await server.get(f"{U}/deploymentBase/{number}")).status == 404


async def test_a_unit_may_refuse_a_cancel(server: DeviceServer) -> None:
    """Then its action goes on, to its end."""
    await links(server)
    number = await action(server)
    await server.get(f"{U}/deploymentBase/{number}")
    server.publish(None, withdrawn=True)
    where = f"{U}/cancelAction/{number}/feedback"
    assert (await say(server, "POST", where, feedback("rejected"))).status == 200
    assert await action(server) == number
    assert (await server.get(f"{U}/deploymentBase/{number}")).status == 200
    assert await close(server, number, "success") == 200
    assert not await action(server)


async def test_who_speaks_up_for_a_withdrawn_release_gets_no_byte_of_it(
    server: DeviceServer,
) -> None:
    """Feedback is taken, and answered with a cancel; refusing that brings nothing either."""
    await links(server)
    number = await action(server)
    await server.get(f"{U}/deploymentBase/{number}")
    file = f"softwaremodules/{number}/artifacts/lamp.bin"
    server.publish(release("lamp", "1.3.0", b"firmware of 1.3.0"), withdrawn=True)
    server.clock.value += 3600
    stranger = U + "9"
    await links(server, stranger)
    for said in ("proceeding", "rejected", "proceeding"):
        where = f"{stranger}/deploymentBase/{number}/feedback"
        assert (await say(server, "POST", where, feedback(said))).status == 200
        assert (await links(server, stranger))["cancelAction"] == f"u19/cancelAction/{number}"
        assert (await server.get(f"{stranger}/{file}")).status == 404
        assert (await server.get(f"{stranger}/deploymentBase/{number}")).status == 404
    where = f"{stranger}/cancelAction/{number}/feedback"
    assert (await say(server, "POST", where, feedback("rejected"))).status == 200
    assert await action(server, stranger) not in {"", number}, "what stands now"
    assert (await server.get(f"{stranger}/{file}")).status == 404
    assert (await server.get(f"{U}/{file}")).status == 200, "who fetched it before may end it"


async def test_what_is_not_signed_any_more_nobody_gets(server: DeviceServer) -> None:
    """Neither who is amid it, who is told to end it, nor who refuses that, nor who asks anew."""
    await links(server)
    number = await action(server)
    reply = await server.get(f"{U}/deploymentBase/{number}")
    (chunk,) = json.loads(reply.body)["deployment"]["chunks"]
    file = chunk["artifacts"][0]["_links"]["download-http"]["href"].split(str(server.port))[-1]
    assert (await server.get(file)).status == 200
    server.publish(release("lamp", "1.3.0", b"firmware of 1.3.0"), unsigned=True)
    assert (await server.get(file)).status == 404
    assert "cancelAction" in await links(server)
    where = f"{U}/cancelAction/{number}/feedback"
    assert (await say(server, "POST", where, feedback("rejected"))).status == 200
    assert await action(server) not in {"", number}
    for unit in (U, U + "2"):
        assert (await server.get(f"{unit}/deploymentBase/{number}")).status == 404
    assert (await server.get(file)).status == 404
    assert await close(server, number, "failure") == 200


async def test_a_higher_release_replaces_an_offer_without_a_cancel(server: DeviceServer) -> None:
    """Who was amid the old one may end it, and is told the new one."""
    await links(server)
    number = await action(server)
    await server.get(f"{U}/deploymentBase/{number}")
    server.publish(release("lamp", "1.5.0", b"firmware of 1.5.0"))
    told = await links(server)
    assert "cancelAction" not in told
    assert not told["deploymentBase"].endswith(number)
    assert await close(server, number, "success") == 200


async def test_feedback_for_what_never_was_changes_nothing(server: DeviceServer) -> None:
    """404, and nothing is remembered of it."""
    await links(server)
    for number in ("1", "0", "4294967297", "-1", "x", "9" * 40):
        assert await close(server, number, "success") == 404
        assert (await server.get(f"{U}/deploymentBase/{number}")).status == 404
        where = f"{U}/cancelAction/{number}/feedback"
        assert (await say(server, "POST", where, feedback("closed"))).status == 404
    seen = server.units.find(Device("lamp"), "u1")
    assert seen is not None
    assert (seen.closed, seen.action) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"status":1,"data":1}', b"[" * 60_000, b"\xff\xfe"],
    ids=lambda body: repr(body[:12]),
)
async def test_a_body_that_is_none_is_refused(server: DeviceServer, body: bytes) -> None:
    """One short answer, and nothing changes."""
    await links(server)
    number = await action(server)
    where = f"{U}/deploymentBase/{number}/feedback"
    assert (await say(server, "POST", where, body)).status == 400
    assert (await say(server, "PUT", f"{U}/configData", body)).status == 400
    assert await action(server) == number


async def test_a_large_body_is_refused_and_the_connection_ends(server: DeviceServer) -> None:
    """By what its head says, before a byte of it is read."""
    async with await server.connect() as connection:
        await connection.send(
            f"PUT {U}/configData HTTP/1.1\r\nHost: ota\r\nContent-Length: 1048576\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        reply = await connection.reply()
        assert (reply.status, reply["Connection"]) == (413, "close")


async def test_swupdate_waits_to_be_asked_for_its_attributes(server: DeviceServer) -> None:
    """`Expect: 100-continue` is answered, as curl has it in swupdate."""
    body = json.dumps({"id": "", "status": {}, "mode": "merge", "data": {"version": "1.4.0"}})
    await links(server)
    connection = await server.connect()
    await connection.send(
        f"PUT {U}/configData HTTP/1.1\r\nHost: ota\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\n\r\n".encode()
    )
    assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await connection.send(body.encode())
    assert (await connection.reply()).status == 200
    await connection.close()
    assert not await action(server)


async def test_many_and_long_attributes_are_cut(server: DeviceServer) -> None:
    """Only the first are looked at, and only so much of each."""
    await links(server)
    data = {f"k{number}": "x" * 300 for number in range(32)} | {"version": "1.4.0"}
    assert (await say(server, "PUT", f"{U}/configData", {"data": data})).status == 200
    assert await action(server)
    data = {"version": "1.4.0", "other": {"nested": [1, None]}, "number": 5}
    assert (await say(server, "PUT", f"{U}/configData", {"data": data})).status == 200
    assert not await action(server)


@pytest.mark.parametrize(
    ("path", "device"),
    [
        ("/lamp/controller/v1/x", "lamp"),
        ("/acme~fan/controller/v1/x", "acme/fan"),
        ("/default/controller/v1/lamp-0123", "lamp"),
        ("/DEFAULT/controller/v1/lamp-mini-0123", "lamp-mini"),
        ("/DEFAULT/controller/v1/acme~fan-7", "acme/fan"),
        ("/other/controller/v1/lamp-7", "lamp"),
        ("/DEFAULT/controller/v1/lamp", ""),
        ("/other/controller/v1/x", ""),
        ("/%C3%A4/controller/v1/x", ""),
    ],
)
async def test_which_device_a_unit_is_of(server: DeviceServer, path: str, device: str) -> None:
    """The tenant where it names a known one, else the longest that the unit's name begins with."""
    server.publish(release("acme/fan", "1.0.0", b"fan"))
    server.publish(release("lamp-mini", "1.0.0", b"mini"))
    await links(server, path)
    told = await links(server, path)
    assert ("deploymentBase" in told) == bool(device)
    assert "configData" in told
    ((seen),) = server.units.page(0, 10)[0]
    assert (seen.device.name if seen.device else "") == device
    assert server.queue.touches == []


async def test_a_unit_may_name_its_device_in_its_attributes(server: DeviceServer) -> None:
    """Where no address does; no word of it makes anybody look at a registry."""
    path = "/DEFAULT/controller/v1/x"
    await links(server, path)
    await say(server, "PUT", f"{path}/configData", {"data": {"device": "other"}})
    assert not await action(server, path)
    await say(server, "PUT", f"{path}/configData", {"data": {"device": "lamp"}})
    number = await action(server, path)
    reply = await server.get(f"{path}/deploymentBase/{number}")
    assert "/DEFAULT/controller/v1/x/softwaremodules/" in reply.body.decode()
    assert await close(server, number, "success", path) == 200
    assert not await action(server, path)
    assert server.units.running(Device("lamp")) == {"1.4.0": 1}
    assert server.queue.touches == []


@pytest.mark.parametrize("unit", ["x" * 201, "a%0Ab", "%C3%A4", "a%2Fb", "a%2fb", "%00"])
async def test_what_cannot_be_a_unit_is_refused(server: DeviceServer, unit: str) -> None:
    """One short answer, and nothing is remembered."""
    assert (await server.get(f"/lamp/controller/v1/{unit}")).status == 400
    assert len(server.units) == 0


async def test_names_with_signs_come_back_in_links(server: DeviceServer) -> None:
    """A unit finds itself in its links, whatever is in its name."""
    path = "/lamp/controller/v1/a%20b%3Fc%23d%25e"
    await links(server, path)
    told = json.loads((await server.get(path)).body)["_links"]["deploymentBase"]["href"]
    assert told.startswith(f"http://ota{path}/deploymentBase/")
    assert (await server.get(told.removeprefix("http://ota"))).status == 200


@pytest.mark.parametrize(
    ("kind", "name"),
    [(ImageKind.SWU, "lamp.swu"), (ImageKind.RAUC, "lamp.raucb"), (ImageKind.ESP, "lamp.bin")],
)
async def test_a_file_is_called_what_it_is(
    server: DeviceServer, kind: ImageKind, name: str
) -> None:
    """SWUpdate installs nothing that is not called `.swu`."""
    server.publish(of_kind(release("lamp", "1.5.0", b"by its bytes"), kind))
    await links(server)
    number = await action(server)
    told = json.loads((await server.get(f"{U}/deploymentBase/{number}")).body)
    ((chunk),) = told["deployment"]["chunks"]
    assert chunk["artifacts"][0]["filename"] == name


def of_kind(release: Release, kind: ImageKind) -> Release:
    """The same with bytes of that kind."""
    return replace(release, firmware=replace(release.firmware, image=Image(kind)))


async def test_an_answer_fits_into_zephyr(tmp_path: Path) -> None:
    """1,100 bytes for a deployment, 49 characters for its link, 8 for `sleep`: for usual names."""
    path = "/default/controller/v1/nrf52840dk_nrf52840-0123456789abcdef"
    origins = Origins("http://updates.factory.example.com:8080")
    async with DeviceServer(tmp_path, origins=origins, poll_interval=86_399) as server:
        server.publish(release("nrf52840dk_nrf52840", "10.20.30-rc.1", b"zephyr"))
        await server.get(path)
        polled = json.loads((await server.get(path)).body)
        href = polled["_links"]["deploymentBase"]["href"]
        assert "/DEFAULT/controller/v1/nrf52840dk_nrf52840-" in href
        assert len("deploymentBase" + href.split("deploymentBase")[1]) <= 49
        assert polled["config"]["polling"]["sleep"] == "23:59:59"
        number = href.rpartition("/")[2]
        assert 0 < int(number) < 1 << 31
        told = await server.get(f"{path}/deploymentBase/{number}")
        assert len(told.body) <= 1100
        link = json.loads(told.body)["deployment"]["chunks"][0]["artifacts"][0]["_links"]
        assert len(link["download-http"]["href"].partition(":8080")[2]) <= 199


async def test_none_remembered_is_said(tmp_path: Path) -> None:
    """With `UNITS=0` nobody would know what was installed: it is refused, with the reason."""
    async with DeviceServer(tmp_path, most_units=0) as server:
        server.publish(release("lamp", "1.4.0", b"firmware"))
        reply = await server.get(U)
        assert reply.status == 404
        assert b"UNITS" in reply.body


async def test_a_link_carries_its_own_proof(tmp_path: Path) -> None:
    """Where tokens are asked for, for clients that send none with their download."""
    tokens = Admission(tokens=lambda: ["the-token"], now=lambda: 1_800_000_000.0)
    proof = {"Authorization": "TargetToken the-token"}
    async with DeviceServer(tmp_path, admission=tokens) as server:
        server.publish(release("lamp", "1.4.0", b"firmware of 1.4.0"))
        assert (await server.get(U)).status == 401
        await server.get(U, proof)
        polled = json.loads((await server.get(U, proof)).body)
        where = polled["_links"]["deploymentBase"]["href"].removeprefix("http://ota")
        told = json.loads((await server.get(where, proof)).body)
        artifact = told["deployment"]["chunks"][0]["artifacts"][0]
        link = artifact["_links"]["download-http"]["href"].removeprefix("http://ota")
        assert (await server.get(link)).body == b"firmware of 1.4.0"
        assert (await server.get(link.partition("?")[0])).status == 401


async def test_methods_are_those_of_the_protocol(server: DeviceServer) -> None:
    """Others are told which there are."""
    await links(server)
    for method, path in (
        ("POST", U),
        ("GET", f"{U}/configData"),
        ("DELETE", U),
        ("POST", f"{U}/x"),
    ):
        reply = await say(server, method, path, {})
        assert reply.status == 405
    assert (await server.get(f"{U}/nothing")).status == 404


async def test_one_connection_carries_a_whole_update(server: DeviceServer) -> None:
    """SWUpdate keeps one alive: requests with bodies and without follow each other."""
    connection: Connection = await server.connect()
    await connection.get(U)
    polled = json.loads((await connection.get(U)).body)
    number = polled["_links"]["deploymentBase"]["href"].rpartition("/")[2]
    for execution in ("proceeding", "closed"):
        body = json.dumps(feedback(execution, "success")).encode()
        where = f"{U}/deploymentBase/{number}/feedback"
        head = f"POST {where} HTTP/1.1\r\nHost: ota\r\nContent-Length: {len(body)}\r\n\r\n"
        await connection.send(head.encode() + body)
        assert (await connection.reply()).status == 200
    assert json.loads((await connection.get(U)).body)["_links"].keys() == {"configData"}
    await connection.close()


async def test_a_rumour_keeps_an_action_back_for_the_first_day_of_its_release_alone(
    server: DeviceServer,
) -> None:
    """Somebody at the broker may lie: not to a unit amid it, not for long, and not of others."""
    await server.get(U)
    number = int(await action(server))
    server.units.rumours.note(Device("lamp"), "u1", number)
    assert await action(server) == "", "another replica may have heard it, and cannot prove it"
    server.units.rumours.note(Device("lamp"), "u1", number + 1)
    assert await action(server) == str(number)
    await server.get(f"{U}/deploymentBase/{number}")
    server.units.rumours.note(Device("lamp"), "u1", number)
    assert await action(server) == str(number), "the unit is amid it"
    server.units.rumours.note(Device("lamp"), "u2", number)
    await server.get("/lamp/controller/v1/u2")
    assert await action(server, "/lamp/controller/v1/u2") == ""
    server.clock.value += 24 * 3600
    assert await action(server, "/lamp/controller/v1/u2") == str(number)
