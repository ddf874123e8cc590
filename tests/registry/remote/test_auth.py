"""Which credentials go where: proved on the wire, by what each server saw."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from fake_faults import Body, Cut, Drip, Headers, Page, Redirect, Status
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import Undecided
from otaflux.model.names import Device, Namespace, Tag
from otaflux.registry.remote.tokens import MAX_LIFETIME, MIN_LIFETIME

ROBOT = ("robot", "s3cret")
BASIC = "Basic " + base64.b64encode(b"robot:s3cret").decode()


def pushed(registry: FakeRegistry) -> FakeRegistry:
    """The registry with one release in it."""
    registry.content.put("acme/sensor", "1.4.0", layers=[b"firmware"])
    return registry


def authorizations(registry: FakeRegistry, kind: str) -> list[str]:
    """What requests of a kind carried: the scheme, or the whole of a Basic one."""
    return [
        header if header.startswith("Basic") else header.partition(" ")[0]
        for header in (seen.headers.get("Authorization", "") for seen in registry.seen(kind))
    ]


async def test_an_open_registry_never_sees_credentials() -> None:
    """Credentials are sent where they are asked for, and nowhere else."""
    async with FakeRegistry() as registry, remote(pushed(registry), login=ROBOT) as client:
        await client.tags(SENSOR)
        assert authorizations(registry, "tags") == [""]


async def test_basic_is_asked_for_once_and_then_remembered() -> None:
    """`/v2/` is challenged, and each request carries name and password from the first on."""
    async with (
        FakeRegistry(auth="basic") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        await client.tags(SENSOR)
        await client.tags(SENSOR)
        assert authorizations(registry, "ping") == [""]
        assert authorizations(registry, "tags") == [BASIC, BASIC]


async def test_a_token_is_fetched_with_the_scope_and_used() -> None:
    """A Bearer challenge is answered at its realm, with name, password, service and our scope."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        await client.tags(SENSOR)
        await client.resolve(SENSOR, Tag("1.4.0"))
        assert authorizations(registry, "tags") == ["Bearer"]
        assert authorizations(registry, "manifest") == ["Bearer"]
        (token,) = registry.seen("token")
        assert token.headers["Authorization"] == BASIC
        assert token.query["service"] == "fake.registry"
        assert token.query["scope"] == "repository:acme/sensor:pull"
        assert token.query["account"] == "robot"


async def test_other_repositories_get_their_token_before_they_ask() -> None:
    """Once the registry showed how it challenges, a device costs no 401."""
    async with FakeRegistry(auth="bearer") as registry, remote(registry, login=ROBOT) as client:
        for name in ("a", "b", "c"):
            registry.content.put(f"acme/{name}", "1.0.0", layers=[b"x"])
            await client.tags(Device(name))
        assert [seen.status for seen in registry.seen("tags")] == [200, 200, 200]
        assert len(registry.seen("ping")) == 1
        assert len(registry.seen("token")) == 3


async def test_anonymous_tokens_are_fetched_without_credentials() -> None:
    """Public registries give tokens to everybody."""
    async with FakeRegistry(auth="bearer") as registry, remote(pushed(registry)) as client:
        registry.tokens.anonymous = True
        await client.tags(SENSOR)
        assert authorizations(registry, "token") == [""]


@pytest.mark.parametrize("field", ["token", "access_token"])
async def test_both_names_of_the_token_are_taken(field: str) -> None:
    """`token` and `access_token` mean the same."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        registry.tokens.field = field
        assert (await client.tags(SENSOR)).tags


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (None, MIN_LIFETIME),
        (1, MIN_LIFETIME),
        (-5, MIN_LIFETIME),
        ("300", MIN_LIFETIME),
        (300, 300.0),
        (299.5, 299.5),
        (10**300, MAX_LIFETIME),
    ],
)
async def test_a_token_lives_as_long_as_it_says_and_60_seconds_at_least(
    expires_in: Any, lifetime: float
) -> None:
    """Until it ends it is used again, from then on a new one is there before the request."""
    clock = Clock()
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT, clock=clock) as client,
    ):
        registry.tokens.expires_in = expires_in
        await client.tags(SENSOR)
        clock.now += lifetime - 0.5
        await client.tags(SENSOR)
        assert len(registry.seen("token")) == 1
        clock.now += 1
        await client.tags(SENSOR)
        assert len(registry.seen("token")) == 2
        assert [seen.status for seen in registry.seen("tags")] == [200, 200, 200]


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    """A registry may forget its tokens; a new one is fetched, and only one."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        await client.tags(SENSOR)
        registry.tokens.revoke()
        await client.tags(SENSOR)
        assert [seen.status for seen in registry.seen("tags")] == [200, 401, 200]
        assert len(registry.seen("token")) == 2


async def test_a_registry_that_refuses_its_own_tokens_is_not_asked_for_ever() -> None:
    """A fresh token that is refused ends it, and the reader hears where to look."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        registry.fail(
            "tags", Status(401, headers={"WWW-Authenticate": _bearer(registry)}), times=None
        )
        with pytest.raises(Undecided) as denied:
            await client.tags(SENSOR)
        assert "REGISTRY_USERNAME" in denied.value.hint
        assert len(registry.seen("tags")) == 1
        assert len(registry.seen("token")) == 1


def _bearer(registry: FakeRegistry) -> str:
    return f'Bearer realm="{registry.token_url}",service="fake.registry"'


async def test_many_at_once_fetch_one_token() -> None:
    """Requests that need the same token wait for the one that is being fetched."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        await asyncio.gather(*(client.tags(SENSOR) for _ in range(8)))
        assert len(registry.seen("token")) == 1
        registry.tokens.revoke()
        await asyncio.gather(*(client.tags(SENSOR) for _ in range(8)))
        assert len(registry.seen("token")) == 2


async def test_who_is_cancelled_takes_no_token_from_the_others() -> None:
    """The fetch goes on when the request that began it is given up."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        await client.tags(SENSOR)
        registry.tokens.revoke()
        registry.fail("token", Drip(size=20))
        first = asyncio.create_task(client.tags(SENSOR))
        await registry.arrived("token", 2)
        second = asyncio.create_task(client.tags(SENSOR))
        first.cancel()
        assert (await second).tags
        assert first.cancelled()
        assert len(registry.seen("token")) == 2


async def test_commas_in_scopes_and_several_challenges_are_understood() -> None:
    """The Bearer one is found wherever it stands, and its scope never widens ours."""
    async with FakeRegistry(auth="bearer") as registry, remote(registry, login=ROBOT) as client:
        pushed(registry)
        registry.challenge = [
            "Negotiate, NTLM",
            'Basic realm="a, b", bEaReR REALM="' + registry.token_url + '",'
            'service="x",scope="repository:acme/sensor:pull,push,delete"',
        ]
        await client.tags(SENSOR)
        (token,) = registry.seen("token")
        assert token.query["scope"] == "repository:acme/sensor:pull"


async def test_a_registry_that_calls_a_repository_otherwise_is_followed() -> None:
    """Behind a path a repository has another name, and the token is for that one."""
    async with FakeRegistry(auth="bearer") as registry, remote(registry, login=ROBOT) as client:
        pushed(registry)
        scope = "repository:docker-local/acme/sensor:pull"
        challenge = f'Bearer realm="{registry.token_url}",service="fake.registry",scope="{scope}"'
        registry.fail("tags", Status(401, headers={"WWW-Authenticate": challenge}), times=None)
        with pytest.raises(Undecided):
            await client.tags(SENSOR)
        assert registry.seen("token")[-1].query["scope"] == scope


async def test_a_rotated_password_counts_at_once() -> None:
    """What is asked for credentials is asked each time, so nothing has to be restarted."""
    from otaflux.registry.remote.credentials import Credentials
    from otaflux.registry.remote.endpoint import Endpoint
    from otaflux.registry.remote.source import Remote
    from otaflux.secret import Secret

    class Turning:
        value = "old"

        def current(self) -> Secret:
            return Secret(self.value)

    password = Turning()
    async with FakeRegistry(auth="basic", users={"robot": "new"}) as registry:
        endpoint = Endpoint.parse(pushed(registry).url)
        credentials = Credentials(endpoint, username="robot", password=password)
        async with Remote(endpoint, Namespace("acme"), credentials) as client:
            with pytest.raises(Undecided):
                await client.tags(SENSOR)
            password.value = "new"
            assert (await client.tags(SENSOR)).tags


async def test_an_identity_token_is_exchanged() -> None:
    """An identity token goes to the realm as a refresh token, in a form, not in a header."""
    async with FakeRegistry(auth="bearer") as registry:
        registry.tokens.identity_tokens.add("identity-xyz")
        async with remote(pushed(registry), login=("<token>", "identity-xyz")) as client:
            assert (await client.tags(SENSOR)).tags
        (token,) = registry.seen("token")
        assert token.method == "POST"
        assert "Authorization" not in token.headers


async def test_an_identity_token_falls_back_to_a_get() -> None:
    """A token server that knows no refresh tokens gets it as a password."""
    async with FakeRegistry(auth="bearer") as registry:
        registry.tokens.identity_tokens.add("identity-xyz")
        registry.tokens.oauth = False
        async with remote(pushed(registry), login=("<token>", "identity-xyz")) as client:
            assert (await client.tags(SENSOR)).tags
        assert [token.method for token in registry.seen("token")] == ["POST", "GET"]


@pytest.mark.parametrize(
    "fault",
    [
        Page(),
        Body(b"{}"),
        Body(b'{"token": 5}'),
        Body(json.dumps({"token": "a b"}).encode()),
        Body(json.dumps({"token": "x" * 17_000}).encode()),
        Body(b" " * 100_000),
        Cut(at=5),
        Status(400),
        Status(500),
    ],
    ids=repr,
)
async def test_a_token_server_that_errs_decides_nothing(fault: Any) -> None:
    """Nothing that a token server sends is more than a token or an `Undecided`."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        registry.fail("token", fault, times=None)
        with pytest.raises(Undecided):
            await client.tags(SENSOR)


async def test_a_wrong_password_says_which_setting() -> None:
    """401 from the token server is about credentials, and the hint names them, never their text."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=("robot", "wr0ng")) as client,
    ):
        with pytest.raises(Undecided) as denied:
            await client.tags(SENSOR)
        assert "REGISTRY_PASSWORD" in denied.value.hint
        assert "wr0ng" not in str(denied.value) + denied.value.hint
        assert [seen.query.get("scope", "") for seen in registry.seen("token")] == [
            "repository:acme/sensor:pull",
            "",  # whether the login is good for anything at all
        ]


async def test_a_password_of_bytes_that_are_no_text_is_sent_as_it_is() -> None:
    """An environment may hold any bytes, and Python reads them as lone surrogates."""
    password = b"caf\xe9".decode(errors="surrogateescape")
    async with (
        FakeRegistry(auth="basic") as registry,
        remote(pushed(registry), login=("robot", password)) as client,
    ):
        registry.fail("tags", Status(404, code="NAME_UNKNOWN"))
        await client.tags(SENSOR)
        sent = registry.seen("tags")[-1].headers["Authorization"].removeprefix("Basic ")
        assert base64.b64decode(sent) == b"robot:caf\xe9"


async def test_no_credentials_says_what_to_set() -> None:
    """A registry that wants a log-in and gets none leads to the settings."""
    async with FakeRegistry(auth="basic") as registry, remote(pushed(registry)) as client:
        with pytest.raises(Undecided) as denied:
            await client.tags(SENSOR)
        assert "Set REGISTRY_USERNAME and REGISTRY_PASSWORD" in denied.value.hint


async def test_403_is_about_rights_and_changes_nothing() -> None:
    """403 on a tag or a listing is `Undecided`, with the registry's own word."""
    async with FakeRegistry() as registry, remote(pushed(registry), login=ROBOT) as client:
        registry.fail("*", Status(403, code="DENIED"), times=None)
        for asked in (client.tags(SENSOR), client.resolve(SENSOR, Tag("1.4.0"))):
            with pytest.raises(Undecided, match="DENIED"):
                await asked


@pytest.mark.parametrize(
    "bearer",
    ['Bearer error="invalid_token"', "Bearer", 'Bearer realm="http://169.254.169.254/t"'],
)
@pytest.mark.parametrize("apart", [True, False])
async def test_a_token_server_that_cannot_be_asked_does_not_hide_basic(
    bearer: str, apart: bool
) -> None:
    """Of several challenges the first that OtaFlux can answer counts, in one header or in two."""
    async with (
        FakeRegistry(auth="basic") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        both = [bearer, 'Basic realm="x"']
        registry.challenge = both if apart else ", ".join(both)
        assert (await client.tags(SENSOR)).tags
        assert authorizations(registry, "tags") == [BASIC]


async def test_a_token_server_that_cannot_be_asked_is_said_where_nothing_else_is_left() -> None:
    """Without a name and password for Basic the reader hears of the realm."""
    async with FakeRegistry(auth="basic") as registry, remote(pushed(registry)) as client:
        registry.challenge = ['Bearer realm="http://169.254.169.254/t"', 'Basic realm="x"']
        with pytest.raises(Undecided, match="link-local"):
            await client.tags(SENSOR)


async def test_a_registry_that_turns_from_basic_to_tokens_is_followed() -> None:
    """From then on a request costs no refused Basic any more."""
    async with (
        FakeRegistry(auth="basic") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        await client.tags(SENSOR)
        registry.auth = "bearer"
        await client.tags(SENSOR)
        await client.tags(SENSOR)
        assert authorizations(registry, "tags") == [BASIC, BASIC, "Bearer", "Bearer"]


# --- where they never go --------------------------------------------------------------------------


async def test_credentials_do_not_follow_a_redirect_to_storage() -> None:
    """Object storage sees no Authorization, whether the registry had Basic or a token."""
    for auth in ("basic", "bearer"):
        async with (
            FakeRegistry(auth=auth, redirect_blobs=True) as registry,
            remote(pushed(registry), login=ROBOT) as client,
        ):
            manifest = await client.resolve(SENSOR, Tag("1.4.0"))
            async with client.open_blob(SENSOR, manifest.layers[0], max_bytes=100) as reader:
                assert await asyncio.to_thread(reader.read) == b"firmware"
            (stored,) = registry.seen("storage")
            assert "Authorization" not in stored.headers
            assert "Cookie" not in stored.headers
            assert "Authorization" in registry.seen("blob")[-1].headers


async def test_credentials_do_not_follow_any_other_redirect() -> None:
    """A registry that redirects its manifests to another origin gives it nothing either."""
    async with FakeRegistry() as other, FakeRegistry(auth="basic") as registry:
        pushed(other)
        async with remote(pushed(registry), login=ROBOT) as client:
            await client.tags(SENSOR)
            registry.fail("manifest", Redirect(f"{other.url}/v2/acme/sensor/manifests/1.4.0"))
            await client.resolve(SENSOR, Tag("1.4.0"))
        (seen,) = other.requests
        assert "Authorization" not in seen.headers


async def test_a_redirect_back_to_the_registry_keeps_them() -> None:
    """The same origin is the same registry."""
    async with FakeRegistry(auth="basic") as registry:
        async with remote(pushed(registry), login=ROBOT) as client:
            await client.tags(SENSOR)
            registry.fail("manifest", Redirect("/v2/acme/sensor/manifests/1.4.0"))
            await client.resolve(SENSOR, Tag("1.4.0"))
        assert registry.seen("manifest")[-1].headers["Authorization"] == BASIC


async def test_a_page_elsewhere_is_asked_for_at_the_registry() -> None:
    """A `Link` to another host is followed by its path alone, at the registry itself."""
    async with FakeRegistry() as other, FakeRegistry(auth="basic") as registry:
        async with remote(pushed(registry), login=ROBOT) as client:
            link = f'<{other.url}/v2/acme/sensor/tags/list?last=x>; rel="next"'
            registry.fail("tags", Headers({"Link": link}), when=lambda seen: seen.status == 200)
            await client.tags(SENSOR)
        assert other.requests == []
        assert registry.seen("tags")[-1].query["last"] == "x"


async def test_a_realm_elsewhere_hears_of_them_by_the_rules_only() -> None:
    """A realm that the registry made up gets no request at all."""
    async with FakeRegistry(auth="bearer") as registry:
        async with remote(pushed(registry), login=ROBOT) as client:
            for realm in (
                "http://169.254.169.254/latest/token",
                "http://[fe80::1]/token",
                "http://2852039166/token",
                "file:///etc/passwd",
                "http://user:pw@127.0.0.1/token",
                "http://127.0.0.1:99999/token",
                "",
                "http://\x7f/",
            ):
                registry.challenge = f'Bearer realm="{realm}",service="s"'
                with pytest.raises(Undecided):
                    await client.tags(SENSOR)
        assert registry.seen("token") == []


async def test_a_token_server_that_redirects_takes_no_password_along() -> None:
    """Another origin is asked without the password; a link-local one not at all."""
    async with (
        FakeRegistry() as other,
        FakeRegistry(auth="bearer") as registry,
        remote(pushed(registry), login=ROBOT) as client,
    ):
        registry.fail("token", Redirect(f"{other.token_url}?scope=x"))
        with pytest.raises(Undecided):
            await client.tags(SENSOR)
        (seen,) = other.seen("token")
        assert "Authorization" not in seen.headers
        registry.fail("token", Redirect("http://169.254.169.254/"))
        with pytest.raises(Undecided, match="link-local"):
            await client.tags(SENSOR)
        registry.fail("token", Redirect(registry.token_url), times=None)
        with pytest.raises(Undecided, match="circle"):
            await client.tags(SENSOR)


async def test_a_file_for_another_registry_is_not_used(tmp_path: Path) -> None:
    """A registry without credentials of its own gets none, and neither does its realm."""
    file = tmp_path / "auth.json"
    auth = base64.b64encode(b"robot:s3cret").decode()
    async with FakeRegistry(auth="bearer") as registry:
        realm_host = registry.token_url.split("/")[2]
        file.write_text(
            json.dumps({"auths": {realm_host: {"auth": auth}, "other": {"auth": auth}}})
        )
        async with remote(pushed(registry), files=[file]) as client:
            with pytest.raises(Undecided):
                await client.tags(SENSOR)
        assert all("Authorization" not in seen.headers for seen in registry.requests)
