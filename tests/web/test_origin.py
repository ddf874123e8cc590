"""Who a client is and how it reached us: what anybody may write is believed of nobody."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from otaflux.web.origin import Origins

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
    url = TRUSTING.url(peer, headers, secure=secure, local="127.0.0.1:8080")
    assert re.fullmatch(r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", url, re.ASCII)
    assert TRUSTING.client(peer, CIMultiDict({"X-Forwarded-For": forwarded}))
