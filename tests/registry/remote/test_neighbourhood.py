"""Where a registry may send us: not into a network that it is no part of."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from fake_faults import Redirect
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote
from yarl import URL

from otaflux.errors import Undecided
from otaflux.model.artifact import Manifest
from otaflux.model.names import Tag
from otaflux.registry.remote.endpoint import Endpoint, read_url
from otaflux.registry.remote.neighbourhood import REMEMBERED, GuardedResolver, Neighbourhood
from otaflux.registry.remote.source import Remote

ADDRESSES = {
    "reg.example": ("93.184.216.34", "2606:2800:220:1::1"),
    "auth.example": ("93.184.216.35",),
    "storage.example": ("93.184.216.36",),
    "inside.example": ("10.0.0.5",),
    "both.example": ("93.184.216.37", "fd00::7"),
    "metadata.example": ("169.254.169.254",),
    "reg.lan": ("192.168.1.5",),
    "auth.lan": ("192.168.1.6",),
}


async def lookup(host: str) -> tuple[str, ...]:
    """A name server of these names alone."""
    return ADDRESSES.get(host, ())


def neighbourhood(registry: str) -> Neighbourhood:
    """That of a registry, as that name server has it."""
    return Neighbourhood(Endpoint.parse(registry), is_proxied=lambda _: False, lookup=lookup)


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("https://reg.example", "https://auth.example/token", True),
        ("https://reg.example", "https://reg.example:8443/token", True),
        ("https://reg.example", "http://auth.example/token", False),
        ("https://reg.example", "http://reg.example/token", False),
        ("https://reg.example", "https://169.254.169.254/", False),
        ("https://reg.example", "https://[fe80::1]/", False),
        ("https://reg.example", "https://[::ffff:169.254.1.1]/", False),
        ("https://reg.example", "https://10.0.0.5/token", False),
        ("https://reg.example", "https://127.0.0.1/token", False),
        ("https://reg.example", "https://2130706433/token", False),
        ("https://reg.example", "https://localhost/token", False),
        ("https://10.0.0.5:5000", "https://10.0.0.6/token", True),
        ("https://10.0.0.5:5000", "https://10.0.0.5:5001/token", True),
        ("https://10.0.0.5:5000", "https://169.254.169.254/token", False),
        ("http://localhost:5000", "http://127.0.0.1:5001/token", True),
        ("http://reg.lan:5000", "http://auth.lan/token", True),
        ("http://reg.lan:5000", "http://169.254.169.254/", False),
        ("https://169.254.7.7", "https://169.254.7.7/token", True),
        ("https://reg.example", "https://inside.example/token", False),
        ("https://inside.example", "https://10.0.0.6/token", True),
        ("https://inside.example", "https://metadata.example/token", False),
    ],
)
async def test_which_realms_may_hear_of_credentials(
    registry: str, realm: str, allowed: bool
) -> None:
    """As secret as the registry, and not an inside address that the registry has no part of."""
    near = neighbourhood(registry)
    if allowed:
        await near.check_realm(URL(realm))
    else:
        with pytest.raises(Undecided, match="refused"):
            await near.check_realm(URL(realm))


@pytest.mark.parametrize(
    ("target", "content_addressed", "allowed"),
    [
        ("https://storage.example/x", False, True),
        ("http://storage.example/x", False, False),
        ("http://storage.example/x", True, True),
        ("http://169.254.169.254/x", True, False),
        ("https://10.0.0.9/x", True, False),
        ("https://127.0.0.1/x", True, False),
        ("https://[::1]/x", True, False),
        ("https://0x7f.1/x", True, False),
        ("https://localhost:9090/x", True, False),
        ("https://100.64.0.9/x", True, False),
        ("https://inside.example/x", True, False),
        ("https://both.example/x", True, False),
        ("https://metadata.example/x", True, False),
        ("https://nowhere.example/x", True, True),
        ("https://reg.example:8443/x", True, True),
    ],
)
async def test_which_redirects_are_followed(
    target: str, content_addressed: bool, allowed: bool
) -> None:
    """Bytes that a digest covers may come over plain http, a listing may not."""
    origin = URL("https://reg.example/v2/")
    near = neighbourhood("https://reg.example")
    if allowed:
        await near.check_redirect(origin, URL(target), content_addressed=content_addressed)
    else:
        with pytest.raises(Undecided):
            await near.check_redirect(origin, URL(target), content_addressed=content_addressed)


async def test_what_a_proxy_looks_up_is_not_looked_up_here() -> None:
    """Behind a proxy this machine often has no name server; literals are judged all the same."""
    asked = []

    async def unasked(host: str) -> tuple[str, ...]:
        asked.append(host)
        return ()

    endpoint = Endpoint.parse("https://reg.example")
    near = Neighbourhood(endpoint, is_proxied=lambda _: True, lookup=unasked)
    origin = endpoint.base
    await near.check_redirect(origin, URL("https://inside.example/x"), content_addressed=True)
    with pytest.raises(Undecided):
        await near.check_redirect(origin, URL("https://10.0.0.9/x"), content_addressed=True)
    assert asked == []


async def test_a_name_is_looked_up_once_a_minute() -> None:
    """A pull of many layers from one storage costs one question."""
    asked, now = [], [0.0]

    async def counted(host: str) -> tuple[str, ...]:
        asked.append(host)
        return ("93.184.216.36",)

    endpoint = Endpoint.parse("https://reg.example")
    near = Neighbourhood(endpoint, is_proxied=lambda _: False, lookup=counted, clock=lambda: now[0])
    for _ in range(3):
        await near.check_redirect(endpoint.base, URL("https://s.example/"), content_addressed=True)
    assert asked == ["s.example", "reg.example"]
    now[0] += REMEMBERED + 1
    await near.check_redirect(endpoint.base, URL("https://s.example/"), content_addressed=True)
    assert asked == ["s.example", "reg.example"] * 2


async def _asked(client: Remote, kind: str) -> None:
    if kind == "tags":
        await client.tags(SENSOR)
        return
    manifest = await client.resolve(SENSOR, Tag("1.4.0"))
    assert isinstance(manifest, Manifest)
    async with client.open_blob(SENSOR, manifest.layers[0], max_bytes=100) as reader:
        await asyncio.to_thread(reader.read)


@pytest.mark.parametrize("kind", ["manifest", "tags", "blob"])
@pytest.mark.parametrize("host", ["127.0.0.1", "inside.test"])
async def test_a_public_registry_redirects_nothing_into_this_machine(kind: str, host: str) -> None:
    """Neither manifests nor listings nor blobs are fetched there, by literal or by name."""

    async def public(name: str) -> tuple[str, ...]:
        return ("127.0.0.1",) if name == "inside.test" else ("93.184.216.34",)

    async with FakeRegistry() as other, FakeRegistry() as registry:
        registry.content.put("acme/sensor", "1.4.0", layers=[b"firmware"])
        url = registry.url.replace("127.0.0.1", "127.0.0.1.nip.test")
        async with remote(
            registry,
            url=url,
            lookup=public,
            environ={"http_proxy": registry.url, "no_proxy": f"{host},127.0.0.1"},
        ) as client:
            port = other.url.rpartition(":")[2]
            registry.fail(kind, Redirect(f"http://{host}:{port}/x"), times=None)
            with pytest.raises(Undecided, match="refused"):
                await _asked(client, kind)
        assert other.requests == []


async def test_a_name_that_turns_inside_after_it_was_looked_up_is_not_connected_to() -> None:
    """The storage of a public registry, say, whose name server answers otherwise the next time."""
    near = neighbourhood("https://reg.example")
    target = URL("https://storage.example/x")
    await near.check_redirect(URL("https://reg.example/"), target, content_addressed=True)
    near.check_connection("storage.example", ["93.184.216.36"])
    for turned in ("10.0.0.5", "127.0.0.1", "::1", "fe80::1%eth0", "169.254.169.254"):
        with pytest.raises(OSError, match="private network"):
            near.check_connection("storage.example", ["93.184.216.36", turned])
    near.check_connection("auth.example", ["10.0.0.5"])  # nobody sent us there


@pytest.mark.parametrize(
    ("named", "connected_to"),
    [
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("Storage.example", "storage.example"),
        ("unknown.example..", "unknown.example."),
    ],
)
async def test_however_a_name_is_written_it_is_not_connected_to_inside(
    named: str, connected_to: str
) -> None:
    """The session asks for it as it is on the wire, with one dot at its end where it had two."""
    near = neighbourhood("https://reg.example")
    target = read_url(f"https://{named}/x", base=URL("https://reg.example/"))
    await near.check_redirect(URL("https://reg.example/"), target, content_addressed=True)
    with pytest.raises(OSError, match="private network"):
        near.check_connection(connected_to, ["10.0.0.5"])


async def test_the_resolver_gives_no_forbidden_address() -> None:
    """What it asks is what is connected to."""
    asked: list[tuple[str, list[str]]] = []

    def check(host: str, addresses: Sequence[str]) -> None:
        asked.append((host, list(addresses)))
        if len(asked) > 1:
            raise OSError

    resolver = GuardedResolver(check)
    assert await resolver.resolve("localhost", 80, socket.AF_INET)
    assert asked == [("localhost", ["127.0.0.1"])]
    with pytest.raises(OSError, match=r"^$"):
        await resolver.resolve("localhost", 80, socket.AF_INET)
