"""Who a client is and how it reached us: what anybody may write is believed of nobody."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from otaflux.web.origin import Origins, reached

TRUSTING = Origins(trusted=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
ANYTHING = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=80)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("192.0.2.1", False),
        ("::1", False),
        ("", False),
        ("/run/socket", False),
    ],
)
def test_trusted_networks(peer: str, trusted: bool) -> None:
    """Networks of both families, also where the socket is of the other one."""
    assert TRUSTING.trusts(peer) is trusted
    assert Origins().trusts(peer) is False


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.5:40000", "203.0.113.5"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", '"[::ffff:203.0.113.5]:443"', "203.0.113.5"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7:1, [fd00::2]:2, 10.0.0.2:3", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.5:x", "10.0.0.1"),
        ("10.0.0.1", "[203.0.113.5", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "no address", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
    ],
)
def test_the_client_is_the_nearest_that_is_vouched_for(peer: str, hops: str, client: str) -> None:
    """What a client itself writes before its own address is not believed."""
    assert TRUSTING.client(peer, CIMultiDict({"X-Forwarded-For": hops})) == client


@given(st.sampled_from(["10.0.0.1", "192.0.2.1"]), ANYTHING, ANYTHING, ANYTHING, st.booleans())
def test_a_link_is_a_link_whatever_the_headers(
    peer: str, host: str, forwarded: str, proto: str, secure: bool
) -> None:
    """Scheme and host of a link are always a scheme and a host."""
    headers = CIMultiDict({"Host": host, "X-Forwarded-Host": forwarded, "X-Forwarded-Proto": proto})
    trusted = TRUSTING.trusts(peer)
    url = TRUSTING.url_for(headers, trusted=trusted, secure=secure, local="127.0.0.1:8080")
    assert re.fullmatch(r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", url, re.ASCII)
    assert TRUSTING.client(peer, CIMultiDict({"X-Forwarded-For": forwarded}))


@pytest.mark.parametrize(
    ("trusted", "forwarded", "host", "target", "origin"),
    [
        (True, "pub.example", "a", "", "http://pub.example"),
        (True, "", "a", "", "http://a"),
        (True, 'no"host', "a:81", "", "http://a:81"),
        (True, 'no"host', "a/b", "", "http://10.9.9.9:8080"),
        (False, "pub.example", "a:", "", "http://a"),
        (False, "", "[2001:db8::1]:", "", "http://[2001:db8::1]"),
        (False, "", "a:81", "b.example:82", "http://b.example:82"),
        (True, "pub.example", "a", "b.example", "http://pub.example"),
        (False, "", "a", "user@b", "http://10.9.9.9:8080"),
        (False, "", "", "", "http://10.9.9.9:8080"),
    ],
)
def test_a_link_has_the_first_host_that_can_be_one(
    trusted: bool, forwarded: str, host: str, target: str, origin: str
) -> None:
    """A proxy's, then the target's or the client's `Host`, then the address that was reached."""
    headers = CIMultiDict({"Host": host, "X-Forwarded-Host": forwarded})
    url = TRUSTING.url_for(
        headers, trusted=trusted, secure=False, local="10.9.9.9:8080", host=target
    )
    assert url == origin


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (("10.0.0.1", 8080), "10.0.0.1:8080"),
        (("::ffff:10.0.0.1", 8080, 0, 0), "10.0.0.1:8080"),
        (("2001:db8::1", 80, 0, 0), "[2001:db8::1]:80"),
        (("fe80::1%eth0", 80, 0, 2), "[fe80::1]:80"),
        (None, "localhost:80"),
        ("/run/socket", "localhost:80"),
    ],
)
def test_the_address_that_was_reached_is_one_that_a_link_can_have(name: object, shown: str) -> None:
    """An IPv4 client of a server on [::] gets an IPv4 address."""
    assert reached(name) == shown
