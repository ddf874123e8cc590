"""A login that was refused is not tried for each device: servers lock accounts for that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from clock import Clock
from fake_faults import Hang, Status
from fake_registry import FakeRegistry
from registry_client import FAST, SENSOR, remote

from otaflux.errors import Undecided
from otaflux.model.names import Device, Namespace
from otaflux.registry.remote.credentials import Credentials
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.registry.remote.lockout import FIRST, MAX_KEPT, MOST, MOST_RIGHTS, Lockout
from otaflux.registry.remote.source import Remote
from otaflux.secret import Secret

DEVICES = [Device(f"d{number}") for number in range(30)]
SCHEMES = pytest.mark.parametrize("auth", ["basic", "bearer"])


def filled(registry: FakeRegistry) -> FakeRegistry:
    """A release for each device."""
    for device in DEVICES:
        registry.content.put(f"acme/{device}", "1.0.0", layers=[b"x"])
    return registry


def refused(registry: FakeRegistry, auth: str) -> int:
    """How many log-ins the server refused."""
    kinds = {"token"} if auth == "bearer" else {"tags", "ping"}
    return sum(
        seen.status == 401 and seen.headers.get("Authorization", "").startswith("Basic")
        for seen in registry.requests
        if seen.kind in kinds
    )


async def failing(client: Remote, devices: Iterable[Device]) -> set[tuple[str, str]]:
    """What a look at each of them says."""
    said = set()
    for device in devices:
        with pytest.raises(Undecided) as failed:
            await client.tags(device)
        assert 0 < (failed.value.retry_after or 0) <= MOST
        said.add((str(failed.value), failed.value.hint))
    return said


@SCHEMES
async def test_an_expired_password_is_tried_twice_and_then_now_and_then(auth: Any) -> None:
    """All devices hear the same; one tries after 10 s, 20 s and so on, up to five minutes."""
    clock = Clock()
    async with (
        FakeRegistry(auth=auth) as registry,
        remote(filled(registry), login=("robot", "s3cret"), clock=clock) as client,
    ):
        for device in DEVICES:
            await client.tags(device)
        registry.tokens.users = {"robot": "changed"}
        registry.tokens.revoke()
        clock.now += 3600
        said = await failing(client, DEVICES * 3)
        assert refused(registry, auth) == 2  # a device, and then the login itself
        assert len(said) == 1
        ((message, hint),) = said
        assert "refuses those credentials" in message
        assert "REGISTRY_PASSWORD" in hint
        for wait in (10, 20, 40, 80, 160, 300, 300):
            before = refused(registry, auth)
            clock.now += wait - 0.5
            await failing(client, DEVICES)
            assert refused(registry, auth) == before
            clock.now += 1
            await failing(client, DEVICES)
            assert refused(registry, auth) == before + 1


@SCHEMES
async def test_a_password_that_is_good_again_opens_the_way_for_all(auth: Any) -> None:
    """The one that tries first tells for the others."""
    clock = Clock()
    async with (
        FakeRegistry(auth=auth) as registry,
        remote(filled(registry), login=("robot", "s3cret"), clock=clock) as client,
    ):
        registry.tokens.users = {}
        await failing(client, DEVICES)
        registry.tokens.users = {"robot": "s3cret"}
        clock.now += FIRST + 1
        for device in reversed(DEVICES):
            assert (await client.tags(device)).tags


@SCHEMES
async def test_other_credentials_are_tried_at_once(auth: Any) -> None:
    """A refusal is of that password: a rotated file counts with the next request."""

    class Turning:
        value = "old"

        def current(self) -> Secret:
            return Secret(self.value)

    password = Turning()
    async with FakeRegistry(auth=auth, users={"robot": "new"}) as registry:
        endpoint = Endpoint.parse(filled(registry).url)
        credentials = Credentials(endpoint, username="robot", password=password)
        async with Remote(endpoint, Namespace("acme"), credentials, policy=FAST) as client:
            await failing(client, DEVICES)
            password.value = "new"
            for device in DEVICES:
                assert (await client.tags(device)).tags


@pytest.mark.parametrize("status", [401, 403])
async def test_one_repository_without_rights_holds_up_no_other(status: int) -> None:
    """Some token servers refuse what is about rights; the login is good for the others."""
    clock = Clock()
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(filled(registry), login=("robot", "s3cret"), clock=clock) as client,
    ):
        secret = DEVICES[3]
        registry.fail(
            "token",
            Status(status),
            times=None,
            when=lambda seen: f"/{secret}:" in seen.query.get("scope", ""),
        )
        for _ in range(3):
            for device in DEVICES:
                if device == secret:
                    await failing(client, [device])
                else:
                    assert (await client.tags(device)).tags
        tried = [seen for seen in registry.seen("token") if seen.status == status]
        assert len(tried) == 1
        clock.now += MOST_RIGHTS
        await failing(client, [secret])
        assert len([seen for seen in registry.seen("token") if seen.status == status]) == 2


async def test_a_catalog_for_administrators_is_no_refused_login() -> None:
    """Devices are looked at whatever the registry says to a listing."""
    async with (
        FakeRegistry(auth="basic", catalog=False) as registry,
        remote(filled(registry), login=("robot", "s3cret")) as client,
    ):
        for device in DEVICES[:5]:
            assert await client.devices() is None
            assert (await client.tags(device)).tags


async def test_a_token_server_that_errs_is_no_refusal() -> None:
    """5xx says nothing about a password: each device asks for itself, as before."""
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(filled(registry), login=("robot", "s3cret")) as client,
    ):
        registry.fail("token", Status(500), times=None)
        for device in DEVICES[:4]:
            with pytest.raises(Undecided):
                await client.tags(device)
        registry.heal()
        assert (await client.tags(DEVICES[0])).tags


async def test_while_one_tries_the_others_do_not() -> None:
    """A token server that is slow to refuse hears of the password once at a time."""
    clock = Clock()
    async with (
        FakeRegistry(auth="bearer", users={"nobody": "x"}) as registry,
        remote(filled(registry), login=("robot", "s3cret"), clock=clock) as client,
    ):
        await failing(client, DEVICES)
        clock.now += FIRST + 1
        registry.fail("token", Hang(), times=None)
        first = asyncio.create_task(client.tags(DEVICES[0]))
        await registry.arrived("token", 3)
        await failing(client, DEVICES[1:])
        assert len(registry.seen("token")) == 3
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_without_credentials_each_device_asks_for_itself() -> None:
    """Nobody can be locked out, and what one may not read says nothing of another."""
    async with FakeRegistry(auth="bearer") as registry, remote(filled(registry)) as client:
        for device in (SENSOR, *DEVICES[:3], SENSOR):
            with pytest.raises(Undecided):
                await client.tags(device)
        assert len(registry.seen("token")) == 5


def test_what_is_remembered_is_bounded() -> None:
    """Names are cheap for whoever polls them: the oldest refusals are forgotten."""
    lockout = Lockout(lambda: 0.0)
    for number in range(MAX_KEPT + 10):
        lockout.scope_refused("robot", f"repository:d{number}:pull", "no")
    assert lockout.standing("robot", "repository:d0:pull") is None
    assert lockout.standing("robot", f"repository:d{MAX_KEPT + 9}:pull") is not None


@SCHEMES
@pytest.mark.parametrize("known_first", [True, False])
async def test_names_that_strangers_made_up_lock_no_login(auth: Any, known_first: bool) -> None:
    """Some registries, and token servers, answer 401 for what a login may not read."""
    others = [Device(f"other{number}") for number in range(5)]
    async with (
        FakeRegistry(auth=auth) as registry,
        remote(filled(registry), login=("robot", "s3cret")) as client,
    ):
        if known_first:
            assert (await client.tags(DEVICES[0])).tags
        registry.fail(
            "token" if auth == "bearer" else "tags",
            Status(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
            times=None,
            when=lambda seen: "other" in f"{seen.path}{seen.query.get('scope', '')}",
        )
        await failing(client, others * 3)
        for device in DEVICES[:3]:
            assert (await client.tags(device)).tags
