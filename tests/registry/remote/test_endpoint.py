"""Addresses: the registry's own, those that it names, and the proxies between."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from otaflux.errors import BadSetting, Undecided
from otaflux.model.names import Repository
from otaflux.registry.remote.endpoint import (
    Endpoint,
    read_url,
)
from otaflux.registry.remote.proxies import proxy_for


@pytest.mark.parametrize(
    ("text", "insecure", "api", "name"),
    [
        ("https://reg.example", False, "https://reg.example/v2/x", "https://reg.example"),
        ("https://reg.example:443/", False, "https://reg.example/v2/x", "https://reg.example"),
        ("reg.example:5000", False, "https://reg.example:5000/v2/x", "https://reg.example:5000"),
        ("reg.example", True, "http://reg.example/v2/x", "http://reg.example"),
        ("https://reg.example", True, "https://reg.example/v2/x", "https://reg.example"),
        ("http://h/a/b/", False, "http://h/a/b/v2/x", "http://h/a/b"),
        ("https://h/a/v2/", False, "https://h/a/v2/x", "https://h/a"),
        ("http://[::1]:5000", False, "http://[::1]:5000/v2/x", "http://[::1]:5000"),
        ("HTTPS://Reg.Example", False, "https://reg.example/v2/x", "https://reg.example"),
        ("docker.io", False, "https://registry-1.docker.io/v2/x", "https://docker.io"),
        (
            "https://index.docker.io/v1/",
            False,
            "https://registry-1.docker.io/v2/x",
            "https://docker.io",
        ),
    ],
)
def test_a_registry_url_is_read(text: str, insecure: bool, api: str, name: str) -> None:
    """Scheme, port, path and IPv6 are kept; docker.io is what people call Docker Hub."""
    endpoint = Endpoint.parse(text, insecure=insecure)
    assert (str(endpoint.api("x")), endpoint.name) == (api, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "ftp://h",
        "https://u:hunter2@h",
        "https://[]@/",
        "https://h?q=1",
        "https://h#f",
        "https://h:0",
    ],
)
def test_what_is_no_registry_url_is_refused_without_its_password(text: str) -> None:
    """The complaint says what was expected, and never shows what may be a secret."""
    with pytest.raises(BadSetting, match="REGISTRY_URL") as refusal:
        Endpoint.parse(text)
    assert "hunter2" not in str(refusal.value)


def test_images_of_docker_hub_itself_are_in_library() -> None:
    """`nginx` is `library/nginx` on the wire there, and itself everywhere else."""
    hub, other = Endpoint.parse("docker.io"), Endpoint.parse("https://reg.example")
    assert hub.wire_name(Repository("nginx")) == "library/nginx"
    assert hub.wire_name(Repository("acme/nginx")) == "acme/nginx"
    assert other.wire_name(Repository("nginx")) == "nginx"


@pytest.mark.parametrize(
    ("base", "link", "page"),
    [
        ("https://r", "/v2/a/tags/list?last=b%2Bc&n=1", "https://r/v2/a/tags/list?last=b%2Bc&n=1"),
        ("https://r", "?last=b", "https://r/v2/a/tags/list?last=b"),
        ("https://r", "https://r/v2/a/tags/list?last=b", "https://r/v2/a/tags/list?last=b"),
        ("https://r", "http://inner:5000/v2/a/tags/list?x", "https://r/v2/a/tags/list?x"),
        ("https://r", "//evil.example/v2/a/tags/list", "https://r/v2/a/tags/list"),
        ("https://r/sub", "/v2/a/tags/list?last=b", "https://r/sub/v2/a/tags/list?last=b"),
        ("https://r/sub", "/sub/v2/a/tags/list", "https://r/sub/v2/a/tags/list"),
    ],
)
def test_a_next_page_is_always_at_the_registry(base: str, link: str, page: str) -> None:
    """Of a link only path and query count, byte for byte, below the registry's own path."""
    endpoint = Endpoint.parse(base)
    assert str(endpoint.page(endpoint.api("a/tags/list"), link)) == page


PARTS = [
    *("http:", "https:", "//", "/", ":", "@", "?", "#", "%", "[", "]", ".", "..", "&", "=", " "),
    *(
        "xn--",
        "xn--a",
        "xn--\x80",
        "reg.example",
        "user",
        "pw",
        "::1",
        "fe80::1%25eth0",
        "0",
        "443",
    ),
    *("99999", "-1", "%zz", "%ff", "\udcff", "ü", "\u3002", "a" * 64, "\\", "\x00", "v1.a", "2e1"),
]
ADDRESSES = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(PARTS), max_size=12).map("".join),
    st.lists(st.sampled_from(PARTS), max_size=8).map(lambda parts: "http://" + "".join(parts)),
)


@given(ADDRESSES)
@example("http://xn--/v2/_catalog?last=x")
@example("http://:x@host/")
@example("http://xn--\x80/")
@example("http://[::1")
@example("http://[]@/")
@example("http://h:99999/")
@example("")
def test_any_text_as_an_address_is_an_address_or_undecided(text: str) -> None:
    """A hostile header never raises anything else, and never gets credentials elsewhere."""
    endpoint = Endpoint.parse("https://reg.example/sub")
    try:
        url = read_url(text, base=endpoint.base)
    except Undecided:
        return
    assert url.scheme in {"http", "https"}
    assert url.user is None
    assert url.password is None
    assert endpoint.owns(endpoint.page(endpoint.base, text))
    assert url.update_query({"scope": "x"}).host == url.host
    proxy_for(url, PROXY | {"NO_PROXY": "10.0.0.0/8, .test"})


@pytest.mark.parametrize(
    "text",
    [
        "http://eve:hunter2@h/token",
        "http://:hunter2@h/token",
        "//eve:hunter2@h:x/",
        "eve:hunter2@h",
        "http://h:99999/x?X-Amz-Signature=hunter2",
        "http://h:99999/x?a=b@hunter2",
    ],
)
def test_a_refused_address_is_shown_without_what_may_be_secret(text: str) -> None:
    """Neither a password in it nor a signature in its query gets into a message."""
    with pytest.raises(Undecided) as refusal:
        read_url(f"http://h:99999/{text}" if text.startswith("eve") else text, base=URL("http://h"))
    assert "hunter2" not in str(refusal.value)


@given(ADDRESSES)
def test_any_text_as_a_setting_is_a_registry_or_said(text: str) -> None:
    """REGISTRY_URL and HTTPS_PROXY never end in a traceback either."""
    with suppress(BadSetting):
        Endpoint.parse(text)
    with suppress(Undecided):
        proxy_for(URL("https://reg.example/"), {"HTTPS_PROXY": text})


PROXY = {"HTTPS_PROXY": "http://proxy:3128", "http_proxy": "proxy:8080"}


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://reg.example/", PROXY, "http://proxy:3128"),
        ("http://reg.example/", PROXY, "http://proxy:8080"),
        ("http://localhost:5000/", PROXY, None),
        ("http://127.0.0.2:5000/", PROXY, None),
        ("https://[::1]/", PROXY, None),
        ("https://reg.example/", {}, None),
        ("https://reg.example/", PROXY | {"NO_PROXY": "*"}, None),
        ("https://reg.example/", PROXY | {"NO_PROXY": "other, example"}, None),
        ("https://reg.example/", PROXY | {"no_proxy": ".example"}, None),
        ("https://reg.example/", PROXY | {"NO_PROXY": "*.example"}, None),
        ("https://notexample/", PROXY | {"NO_PROXY": "example"}, "http://proxy:3128"),
        ("https://reg.example/", PROXY | {"NO_PROXY": "reg.example:443"}, None),
        ("https://reg.example/", PROXY | {"NO_PROXY": "reg.example:80"}, "http://proxy:3128"),
        ("https://10.1.2.3/", PROXY | {"NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3/", PROXY | {"NO_PROXY": "10.0.0.0/8"}, "http://proxy:3128"),
        ("https://[fd00::5]/", PROXY | {"NO_PROXY": "fd00::/8"}, None),
        ("https://reg.example/", PROXY | {"https_proxy": "http://low:1"}, "http://low:1"),
    ],
)
def test_which_proxy_is_used(url: str, environ: dict[str, str], proxy: str | None) -> None:
    """HTTPS_PROXY, HTTP_PROXY and NO_PROXY in either case, as Go's clients have it."""
    found = proxy_for(URL(url), environ)
    assert (found.url if found else None) == (URL(proxy) if proxy else None)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"HTTPS_PROXY": "p:1", "ALL_PROXY": "q:1"}, "HTTPS_PROXY"),
        ({"ALL_PROXY": "q:1"}, "ALL_PROXY"),
        ({"all_proxy": "http://q:1", "HTTP_PROXY": "p:1"}, "ALL_PROXY"),
        ({"ALL_PROXY": "q:1", "no_proxy": "reg.example"}, None),
        ({"https_proxy": "", "ALL_PROXY": "q:1"}, "ALL_PROXY"),
    ],
)
def test_what_a_proxy_is_set_with_is_told(environ: dict[str, str], name: str | None) -> None:
    """ALL_PROXY counts where there is none for the scheme, and people read which one it was."""
    found = proxy_for(URL("https://reg.example/"), environ)
    assert (found.name if found else None) == name


@pytest.mark.parametrize("proxy", ["socks5://p:1", "http://", "http://p:99999", "http://[x"])
def test_a_proxy_that_cannot_be_one_is_said(proxy: str) -> None:
    """A wrong HTTPS_PROXY is named, and nothing goes around it."""
    with pytest.raises(Undecided) as refusal:
        proxy_for(URL("https://reg.example/"), {"HTTPS_PROXY": proxy})
    assert "HTTPS_PROXY" in refusal.value.hint
