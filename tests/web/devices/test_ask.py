"""What is asked: every target has one defined meaning, or one refusal that repeats nothing."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from otaflux.errors import BadName, NotFound, Refused
from otaflux.model.names import Device
from otaflux.model.version import Version
from otaflux.web.devices.ask import Ask, Channels, read, wants_digest
from otaflux.web.devices.polls import read_poll
from otaflux.web.devices.protocols.table import find
from otaflux.web.target import Target

CHANNELS = Channels(frozenset({"beta", "rc"}))
DEVICES = st.from_regex(
    r"[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,5})?(?:/[a-z0-9]{1,8}){0,2}", fullmatch=True
)


def ask(target: str, **headers: str) -> Ask:
    """What a request asks, with headers named with `_` for `-`."""
    lines = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    asked = Target.parse(target)
    _, named = find(asked.path, lines)
    return read(asked, lines, device=named.get("device", ""), channels=CHANNELS)


def refusal(target: str, **headers: str) -> str:
    """The text of the refusal of a request, empty where it has a meaning."""
    try:
        ask(target, **headers)
    except Refused as refused:
        return str(refused)
    return ""


@given(DEVICES)
def test_a_device_is_asked_for_in_each_form(name: str) -> None:
    """Query, escaped query, path and absolute target name the same device."""
    device = Device(name)
    for target in (
        f"/version?device={name}",
        f"/version?device={quote(name, safe='')}",
        f"/version?x=1&device={name}&y",
        f"http://ota.example:8080/version?device={name}",
        f"/firmware?device={name}",
        f"/firmware/{name}/firmware.bin",
        f"/firmware/{quote(name, safe='')}/firmware.bin",
        f"/esphome/{name}/manifest.json",
    ):
        assert ask(target).device == device


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("/health", "/health"),
        ("/version?device=a", "/version"),
        ("/version/?device=a", "/version"),
        ("//version?device=a", "/version"),
        ("/firmware?device=a", "/firmware"),
        ("/firmware/a/firmware.bin", "/firmware/D/firmware.bin"),
        ("///firmware//a/b///firmware.bin/", "/firmware/D/firmware.bin"),
        ("/firmware/sha256/firmware.bin", "/firmware/D/firmware.bin"),
        ("/firmware/sha256/" + "0f" * 32, "/firmware/sha256/HEX"),
        ("/esphome/a/b/manifest.json", "/esphome/D/manifest.json"),
    ],
)
def test_each_address_means_one_thing(target: str, address: str) -> None:
    """Also where a device is called as part of another address; empty parts count for nothing."""
    route, _ = find(Target.parse(target).path, CIMultiDict())
    assert route.name == address


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "",
        "lamp:443",
        "/Version?device=a",
        "/firmware/a",
        "/firmware/a/firmware-minimal.bin",
        "/firmware/a/firmware.bin.gz",
        "/firmware/a/firmware-safeboot.bin",
        "/firmware/a/firmware.bin%00",
        "/firmware/firmware.bin",
        "/firmware/sha256/" + "0F" * 32,
        "/firmware/sha256/" + "0f" * 31,
        "/firmware/sha512/" + "0f" * 64,
        "/esphome/a/",
        "/%00",
        "/\udcff",
        "ftp://host/version?device=a",
    ],
)
def test_other_addresses_are_not_there(target: str) -> None:
    """What is no address is not there, file names that Tasmota tries among them."""
    with pytest.raises(NotFound):
        ask(target)


@pytest.mark.parametrize("target", ["/version", "/version?", "/firmware?device=", "/version?x=1"])
def test_a_missing_device_is_named(target: str) -> None:
    """Without a device the refusal has the words that clients know from before."""
    with pytest.raises(BadName) as refusal:
        ask(target)
    assert str(refusal.value) == "Missing required query parameter: 'device'"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/version?device=" + "a" * 5000, "at most 200 characters, not 5000"),
        ("/version?device=a%00b", "device's name is"),
        ("/version?device=a%0d%0ab", "device's name is"),
        ("/version?device=%ff%fe", "device's name is"),
        ("/version?device=\udcff", "device's name is"),
        ("/version?device=..", "device's name is"),
        ("/version?device=../../etc", "device's name is"),
        ("/version?device=Lamp", "device's name is"),
        ("/version?device=a+b", "device's name is"),
        ("/version?device=lamp?mac=aa", "begin with '&', not with '\\?'"),
        ("/version?device=lamp%3Fmac=aa", "begin with '&', not with '\\?'"),
        ("/version?device=lamp;mac=aa", "begin with '&', not with ';'"),
        ("/version?device=lamp%26mac=aa", "begin with '&', not with '&'"),
        ("/version?device=lamp&version=1.0.0?mac=aa", "begin with '&', not with '\\?'"),
        ("/version?device=lamp&channel=beta?mac=aa", "begin with '&', not with '\\?'"),
        ("/version?device=%zz", "device's name is"),
        ("/firmware/../firmware.bin", "device's name is"),
        ("/version?device=a&device=b", "'device' is given more than once"),
        ("/version?device=a&d%65vice=a", "'device' is given more than once"),
        ("/firmware/a/firmware.bin?device=a", "named twice"),
        ("/version?device=a&version=1.2", "SemVer"),
        ("/version?device=a&version=", "SemVer"),
        ("/version?device=a&version=" + "1" * 200, "128 characters"),
        ("/version?device=a&channel=", "channel's name"),
        ("/version?device=a&channel=b%20c", "channel's name"),
        ("/version?device=a&channel=gamma", "there are: stable, beta, rc"),
        ("/version?device=a&unit=a%20b", "unit's name"),
        ("/version?device=a&unit=" + "u" * 65, "unit's name"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_saying_which(target: str, said: str) -> None:
    """The refusal says what is wrong, and whose."""
    with pytest.raises(BadName, match=said):
        ask(target)


@pytest.mark.parametrize(
    "text", ["1.2.3+b1", "1.2.3%2Bb1", "1.2.3%2bb1", "1.2.3_b1", "1.2.3%20b1", "v1.2.3+b1"]
)
def test_a_pin_is_understood_in_each_spelling(text: str) -> None:
    """Plus, space, `%2B`, underscore and a leading `v` name the same version."""
    assert ask(f"/version?device=a&version={text}").version == Version("1.2.3+b1")


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from(["device", "version"]))
def test_no_refusal_repeats_what_was_sent(text: str, parameter: str) -> None:
    """Whatever a parameter holds, it does not come back in the refusal."""
    marked = "zq" + text + "qz"
    target = f"/version?device=a&{parameter}={quote(marked)}".replace("device=a&device", "device")
    said = refusal(target)
    assert marked not in said
    assert said.isprintable()


@given(
    st.text(max_size=200),
    st.dictionaries(
        st.sampled_from(["Accept", "Want-Repr-Digest", "RAUC-Serial", "Via", "X-ESP32-STA-MAC"]),
        st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=40),
    ),
)
def test_every_target_has_a_meaning_or_a_refusal(target: str, headers: dict[str, str]) -> None:
    """No target or header makes anything but an `Ask` or a refusal."""
    for form in (target, "/" + target, "/version?device=" + target, "/firmware/" + target):
        assert len(refusal(form, **headers)) < 200


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/json;q=0.1", True),
        ("text/html, Application/JSON ; q=0.9", True),
        ("text/plain;q=0.5, application/json", True),
        ("application/json;q=0.5, text/plain", False),
        ("application/json;q=0", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/jsonp", False),
        ("", False),
    ],
)
def test_json_is_for_those_who_name_it(accept: str, json: bool) -> None:
    """Only an `Accept` that names JSON, and does not like text better, gets it."""
    assert ask("/version?device=a", Accept=accept).json is json


@pytest.mark.parametrize(
    ("want", "wanted"),
    [
        ("sha-256=10", True),
        ("sha-512=3, sha-256=10", True),
        ("sha-256", True),
        ("sha-256=0", False),
        ("sha-512=10", False),
    ],
)
def test_a_digest_is_for_those_who_want_it(want: str, wanted: bool) -> None:
    """`Want-Repr-Digest` has to name SHA-256 with a weight above none."""
    assert wants_digest(CIMultiDict({"Want-Repr-Digest": want})) is wanted


def test_units_are_named_by_query_or_header() -> None:
    """A board is named by the query first, then by the headers that boards send."""
    assert ask("/firmware?device=a&unit=u1", RAUC_Serial="r1").unit.name == "u1"
    assert ask("/firmware?device=a", RAUC_Serial="r1").unit.name == "r1"
    assert ask("/firmware?device=a", x_ESP32_STA_MAC="24:0A:C4:00:00:01").unit.name == (
        "24:0A:C4:00:00:01"
    )
    assert ask("/firmware?device=a", x_ESP8266_STA_MAC="18:FE:34:00:00:02").unit.name == (
        "18:FE:34:00:00:02"
    )
    assert ask("/firmware?device=a", RAUC_Serial="S/N 0042 b").unit.name == "S/N 0042 b"
    assert ask("/firmware?device=a", RAUC_Serial="no \x01 name").unit.name == ""
    assert ask("/firmware?device=a&unit=").unit.name == ""


@pytest.mark.parametrize("name", ["Via", "Forwarded", "X-Forwarded-For"])
def test_proxies_name_themselves(name: str) -> None:
    """A request that came through a proxy says so."""
    assert read(Target("/version", "device=a"), CIMultiDict({name: "1.1 proxy"})).proxied


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("HEAD", "/version?device=a"),
        ("POST", "/version?device=a"),
        ("GET", "/firmware?device=a"),
        ("GET", "/versions?device=a"),
        ("GET", "/health"),
    ],
)
def test_a_poll_is_a_get_of_a_version(method: str, target: str) -> None:
    """Nothing else is read as one, and a poll is read as any request."""
    assert read_poll(method, target, CIMultiDict(), channels=CHANNELS) is None
    poll = read_poll("GET", "/version?device=a&unit=u", CIMultiDict(), channels=CHANNELS)
    assert poll == ask("/version?device=a&unit=u")


def test_header_names_have_no_case() -> None:
    """Names of headers are taken in any case."""
    lines = CIMultiDict({"ACCEPT": "application/json", "rauc-serial": "7"})
    asked = read(Target("/version", "device=a"), lines)
    assert asked.json
    assert asked.unit.name == "7"
