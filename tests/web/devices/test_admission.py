"""Who may ask as a device: tokens, certificates and links that were signed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import release
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from structlog.testing import capture_logs

from otaflux.errors import Unproven
from otaflux.units.seen import can_be_unit
from otaflux.web.devices.admission import PERIOD, Admission, Admitted, unit_of
from otaflux.web.target import Target

DAY = 24 * 3600.0
NOW = 1_700_000_000.0
CLOSED = Admission(lambda: ["first", "p+s/w=rd"], now=lambda: NOW)


def basic(password: str) -> str:
    """A header's value with that password."""
    return "Basic " + base64.b64encode(f"whoever:{password}".encode()).decode()


def check(
    admission: Admission, target: str, *headers: tuple[str, str], certified: bool = False
) -> Admitted:
    """How a request proves itself."""
    return admission.check(Target.parse(target), CIMultiDict(headers), certified=certified)


PROOFS = [
    ("/version", ("Authorization", "Bearer first")),
    ("/version", ("authorization", "bearer  p+s/w=rd ")),
    ("/version", ("Authorization", "TargetToken first")),
    ("/version", ("Authorization", "GatewayToken first")),
    ("/version", ("Authorization", basic("first"))),
    ("/version", ("Authorization", basic("p+s/w=rd"))),
    ("/api/v0/releases/latest/url", ("Memfault-Project-Key", "first")),
    ("/version?device=lamp&token=first", ("Accept", "*/*")),
    ("/version?token=p%2Bs/w%3Drd&device=lamp", ("Accept", "*/*")),
    ("/version?token=p+s/w=rd", ("Authorization", "Bearer wrong")),
]
NONE = [
    ("/version", ("Authorization", "Bearer firs")),
    ("/version", ("Authorization", "Bearer first2")),
    ("/version", ("Authorization", "Bearer")),
    ("/version", ("Authorization", "first")),
    ("/version", ("Authorization", "Digest first")),
    ("/version", ("Authorization", basic(""))),
    ("/version", ("Authorization", "Basic %%%")),
    ("/version", ("Memfault-Project-Key", "first")),
    ("/version?token=", ("Accept", "*/*")),
    ("/version?token=FIRST", ("Accept", "*/*")),
    ("/version?xtoken=first", ("Accept", "*/*")),
    ("/version?sig=", ("Accept", "*/*")),
    ("/version?sig=first", ("Accept", "*/*")),
    ("/healthy", ("Accept", "*/*")),
]


@pytest.mark.parametrize(("target", "header"), PROOFS)
def test_a_token_counts_in_each_form(target: str, header: tuple[str, str]) -> None:
    """One proof that holds is enough."""
    assert check(CLOSED, target, header) is Admitted.TOKEN


@pytest.mark.parametrize(("target", "header"), NONE)
def test_what_is_no_token_is_refused(target: str, header: tuple[str, str]) -> None:
    """And the refusal repeats nothing of it."""
    with pytest.raises(Unproven) as refused:
        check(CLOSED, target, header)
    assert "first" not in str(refused.value).lower()


def test_health_and_an_open_door_ask_for_nothing() -> None:
    """Whoever watches the process has no token."""
    assert check(CLOSED, "/health") is Admitted.NOTHING
    assert check(Admission(), "/version") is Admitted.NOTHING
    assert Admission().is_open
    assert Admission().signed("/firmware/x") == "/firmware/x"


def test_certificates_alone_close_the_door_too() -> None:
    """The port has judged them; tokens count beside them."""
    alone = Admission(by_certificate=True, now=lambda: NOW)
    assert not alone.is_open
    assert check(alone, "/version", certified=True) is Admitted.CERTIFICATE
    with pytest.raises(Unproven):
        check(alone, "/version")
    with pytest.raises(Unproven):
        check(CLOSED, "/version", certified=True)
    both = Admission(lambda: ["first"], by_certificate=True, now=lambda: NOW)
    assert check(both, "/version?token=first") is Admitted.TOKEN


def test_a_link_holds_for_a_day_and_its_path() -> None:
    """With the same tokens in any order, by any replica, and at most some hours longer."""
    link = CLOSED.signed("/firmware/sha256/00")
    assert "first" not in link
    for hours, tokens in ((0, ["first"]), (24, ["new", "first"]), (23.9, ["p+s/w=rd", "first"])):
        later = Admission(lambda tokens=tokens: tokens, now=lambda h=hours: NOW + h * 3600)
        assert check(later, link) is Admitted.LINK
        assert check(later, link.replace("/firmware", "//firmware")) is Admitted.LINK
    for later, target in (
        (Admission(lambda: ["first"], now=lambda: NOW + 30 * 3600 + 1), link),
        (Admission(lambda: ["other"], now=lambda: NOW), link),
        (Admission(by_certificate=True, now=lambda: NOW), link),
        (CLOSED, link.replace("/00", "/01")),
        (CLOSED, link[:-1] + ("A" if link[-1] != "A" else "B")),
        (CLOSED, link.replace("sig=", "sig=f")),
    ):
        with pytest.raises(Unproven):
            check(later, target)


def test_links_are_the_same_for_some_hours() -> None:
    """An answer that holds one is the same too, and whoever waits for another is not woken."""
    links = {
        Admission(lambda: ["first"], now=lambda at=at: at * 3600.0).signed("/x") for at in range(48)
    }
    assert len(links) == 48 // PERIOD
    rig = Admission(lambda: ["first"], now=lambda: 0.0)
    assert rig.counting() != Admission(lambda: ["first"], now=lambda: PERIOD * 3600).counting()
    assert rig.counting() != Admission(lambda: ["other"], now=lambda: 0.0).counting()
    assert Admission(now=lambda: 0.0).counting() == Admission(now=lambda: 1e9).counting()


@given(st.text(), st.text(), st.text())
def test_any_request_is_judged(path: str, query: str, value: str) -> None:
    """Whatever comes is refused, or nothing is asked for."""
    headers = [("Authorization", scheme + value) for scheme in ("", "Bearer ", "Basic ")]
    for name in ("token", "sig"):
        target = Target("/" + path, f"{query}&{name}={value}")
        try:
            proof = CLOSED.check(target, CIMultiDict(headers))
        except Unproven:
            continue
        assert proof is Admitted.NOTHING or "first" in query + value


def test_a_certificate_names_its_unit() -> None:
    """By its common name, as `ssl` gives it."""
    subject = ((("organizationName", "acme"),), (("commonName", "pump-7"),))
    assert unit_of({"subject": subject}) == "pump-7"
    assert unit_of({"subject": ()}) == unit_of({}) == unit_of(None) == ""


@pytest.mark.parametrize(
    "name", ["ünit <b>", "a\n", "u" * 201, "%0A", "\udcff", "ü" * 64], ids=ascii
)
def test_any_common_name_names_a_unit(name: str) -> None:
    """One that no unit can have is written so that one can, and no other certificate's is alike."""
    unit, other = (unit_of({"subject": ((("commonName", each),),)}) for each in (name, f"{name} 2"))
    assert can_be_unit(unit)
    assert can_be_unit(other)
    assert unit != other
    assert unit_of({"subject": ((("commonName", unit),),)}) == unit


@pytest.mark.parametrize("shortcut", [True, False])
async def test_devices_prove_themselves(tmp_path: Path, shortcut: bool) -> None:
    """401 and an end without a token, answers from memory with one, and no token in the log."""
    tokens = ["first"]
    admission = Admission(lambda: tokens, now=lambda: NOW)
    async with PortServer(tmp_path, shortcut=shortcut, admission=admission) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        proof = {"Authorization": "Bearer first"}
        with capture_logs() as logs:
            for target in ("/version?device=lamp", "/firmware?device=lamp", "/nothing", "/"):
                for wrong in ({}, {"Authorization": "Bearer s3cr3t"}):
                    async with await server.connect() as connection:
                        reply = await connection.get(target, wrong)
                        assert (reply.status, reply["Connection"]) == (401, "close")
                        assert "Bearer" in reply["WWW-Authenticate"]
                        assert await connection.is_closed()
        assert [line["event"] for line in logs] == ["device_rejected"]
        assert "s3cr3t" not in str(logs)
        assert (await server.get("/health")).status == 200
        async with await server.connect() as connection:
            for _ in range(3):
                reply = await connection.get("/version?device=lamp", proof)
                assert reply.body.startswith(b"1.0.0\n")
        assert (await server.get("/version?device=lamp&token=first")).status == 200
        told = await server.get("/version?device=lamp", {**proof, "Accept": "application/json"})
        link = json.loads(told.body)["url"].partition("//")[2].partition("/")[2]
        content = await server.get(f"/{link}")
        assert content.body == b"firmware"
        assert content["Cache-Control"] == "private, max-age=31536000, immutable"
        same = await server.get(f"/{link}", {"If-None-Match": content["ETag"]})
        assert (same.status, same["Cache-Control"]) == (304, content["Cache-Control"])
        assert (await server.get(f"/{link}".partition("?")[0])).status == 401
        manifest = await server.get("/esphome/lamp/manifest.json", proof)
        ota = json.loads(manifest.body)["builds"][0]["ota"]
        assert (await server.get(ota["path"])).body == b"firmware"
        tokens[:] = ["second"]
        server.cache.forget_tokens()
        assert (await server.get("/version?device=lamp", proof)).status == 401
        assert (await server.get(f"/{link}")).status == 401
