"""What people read where a connection fails: the cause, and what helps against that one."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from fake_faults import Disconnect, Redirect, Status
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import Undecided
from otaflux.model.artifact import Manifest
from otaflux.model.names import Tag

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def nobody() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serving(folder: Path, *names: str, **when: Any) -> tuple[ssl.SSLContext, Path]:
    """TLS with such a certificate, and the root to trust."""
    authority = trustme.CA()
    certificate = authority.issue_cert(*names, **when)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    root = folder / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    return context, root


async def failure(asked: Any) -> Undecided:
    """The error; its words are ours, sentences, and nobody's tuples."""
    with pytest.raises(Undecided) as failed:
        await asked
    error = failed.value
    assert "('" not in str(error)
    assert "Error" not in str(error)
    assert "Errno" not in str(error)
    assert not error.hint or error.hint[0].isupper()
    return error


@pytest.mark.parametrize(
    ("when", "names", "says", "hint"),
    [
        ({"not_after": NOW - DAY}, ["localhost"], "has expired", "Renew"),
        ({"not_before": NOW + DAY}, ["localhost"], "is not valid yet", "clock"),
        ({}, ["other.example"], "is for another name", "name in REGISTRY_URL"),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_said(
    tmp_path: Path, when: Any, names: list[str], says: str, hint: str
) -> None:
    """A root of one's own helps against none of these."""
    if "not_after" in when:
        when = {"not_before": NOW - 2 * DAY, **when}
    elif "not_before" in when:
        when = {**when, "not_after": NOW + 2 * DAY}
    context, root = serving(tmp_path, *names, **when)
    async with FakeRegistry(tls=context) as registry:
        url = registry.url.replace("127.0.0.1", "localhost")
        async with remote(registry, url=url, ca_cert_path=root) as client:
            error = await failure(client.tags(SENSOR))
    assert says in str(error)
    assert hint in error.hint
    assert "REGISTRY_CA_CERT_PATH" not in error.hint


async def test_an_unknown_root_is_where_the_setting_helps(tmp_path: Path) -> None:
    """And only there it is named."""
    context, _ = serving(tmp_path, "localhost")
    async with FakeRegistry(tls=context) as registry:
        url = registry.url.replace("127.0.0.1", "localhost")
        async with remote(registry, url=url) as client:
            error = await failure(client.tags(SENSOR))
    assert "REGISTRY_CA_CERT_PATH" in error.hint


async def test_plain_http_is_told_by_its_answer() -> None:
    """Https to a port that speaks http."""
    async with FakeRegistry() as registry:
        url = registry.url.replace("http://", "https://")
        async with remote(registry, url=url) as client:
            error = await failure(client.tags(SENSOR))
    assert "http://" in error.hint


async def test_a_registry_that_is_away_is_said_in_the_systems_words() -> None:
    """Refused is refused, and no tuple of address and port."""
    async with remote(None, url=f"http://127.0.0.1:{nobody()}") as client:
        error = await failure(client.tags(SENSOR))
    assert "connection refused" in str(error)
    assert "REGISTRY_URL" in error.hint


@pytest.mark.parametrize("name", ["127.0.0.1", "proxy.invalid"])
async def test_a_proxy_that_is_away_is_what_to_look_at(name: str) -> None:
    """Not the registry, which was never asked."""
    environ = {"http_proxy": f"http://{name}:{nobody()}"}
    async with remote(None, url="http://registry.example", environ=environ) as client:
        error = await failure(client.tags(SENSOR))
    assert "proxy" in str(error)
    assert "HTTP_PROXY" in error.hint
    assert "NO_PROXY" in error.hint


async def test_a_storage_that_cannot_be_reached_is_said_to_be_one() -> None:
    """The registry answers, its address is right, and the firewall knows only that."""
    async with FakeRegistry(redirect_blobs=True) as registry, remote(registry) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        manifest = await client.resolve(SENSOR, Tag("1.0.0"))
        assert isinstance(manifest, Manifest)
        await registry.stop("storage")
        registry.fail("tags", Redirect(f"http://127.0.0.1:{nobody()}/x"), times=None)
        error = await failure(client.tags(SENSOR))
    assert "has to reach it too" in error.hint
    assert "REGISTRY_URL" not in error.hint


async def test_a_connection_that_breaks_is_said_without_class_names() -> None:
    """The other side hung up."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("tags", Disconnect(), times=None)
        error = await failure(client.tags(SENSOR))
    assert "hung up" in str(error)


async def test_a_token_that_is_refused_as_soon_as_it_was_given_may_be_of_clocks() -> None:
    """Neither the password nor the right is what is wrong then."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(registry, login=("robot", "s3cret")) as client,
    ):
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        challenge = f'Bearer realm="{registry.token_url}",service="fake.registry"'
        registry.fail("tags", Status(401, headers={"WWW-Authenticate": challenge}), times=None)
        error = await failure(client.tags(SENSOR))
    assert "clocks" in error.hint


async def test_a_path_that_is_a_prefix_is_said() -> None:
    """`https://host/acme` for a registry that lies at the root of its host."""
    async with FakeRegistry() as registry:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        async with remote(registry, url=f"{registry.url}/acme") as client:
            for asked in (client.tags(SENSOR), client.ping()):
                error = await failure(asked)
                assert "REPOSITORY_PREFIX=acme" in error.hint
                assert f"REGISTRY_URL={registry.url}" in error.hint
