"""What Harbor answers, and what OtaFlux makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from fake_faults import Page, Status
from fake_harbor import QUOTA, FakeHarbor
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import OtaFluxError, Undecided
from otaflux.model.artifact import Gone
from otaflux.model.names import Device, Namespace, Tag
from otaflux.registry.remote.harbor import REMEMBERED
from otaflux.registry.source import File

ROBOT = ("robot", "s3cret")
OPEN = Namespace("")


def filled(registry: FakeHarbor) -> FakeHarbor:
    """Harbor with one release."""
    registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
    return registry


async def test_a_repository_without_a_project_is_one_that_is_not_there() -> None:
    """Harbor's 400 says that it can have no such name: no releases, and no fault."""
    async with FakeHarbor() as registry, remote(registry, login=ROBOT, namespace=OPEN) as client:
        assert not (await client.tags(Device("lamp"))).repository_known


async def test_a_project_that_is_not_there_is_said_in_harbors_words() -> None:
    """The cause is the prefix and not the password, which is good."""
    async with FakeHarbor(projects=("other",)) as registry:
        async with remote(filled(registry), login=ROBOT) as client:
            with pytest.raises(Undecided) as failed:
                await client.tags(SENSOR)
        assert "project acme not found" in str(failed.value)
        assert "REPOSITORY_PREFIX" in failed.value.hint
        assert "REGISTRY_PASSWORD" not in failed.value.hint


async def test_a_catalog_that_wants_basic_keeps_nobody_off_tokens() -> None:
    """Harbor names Basic for the catalog alone; devices go on with tokens, before and after."""
    async with FakeHarbor() as registry, remote(filled(registry), login=ROBOT) as client:
        for _ in range(2):
            assert await client.devices() == {SENSOR}
            assert (await client.tags(SENSOR)).tags
        schemes = {seen.headers["Authorization"].split()[0] for seen in registry.seen("tags")}
        assert schemes == {"Bearer"}


async def test_a_token_that_ended_is_renewed_though_harbor_names_basic() -> None:
    """To whoever sent a token Harbor's challenge is Basic, whatever was wrong with it."""
    clock = Clock()
    async with (
        FakeHarbor() as registry,
        remote(filled(registry), login=ROBOT, clock=clock) as client,
    ):
        await client.tags(SENSOR)
        registry.tokens.revoke()
        assert (await client.tags(SENSOR)).tags
        assert [seen.headers["Authorization"].split()[0] for seen in registry.seen("tags")] == [
            "Bearer"
        ] * 3


async def test_what_the_account_may_not_read_locks_no_other_project() -> None:
    """A device that polls named, in a project of somebody else's, says nothing of the login."""
    async with FakeHarbor(projects=("acme", "other")) as registry:
        registry.unreadable.add("other")
        async with remote(filled(registry), login=ROBOT, namespace=OPEN) as client:
            for name in ("other/a", "other/b", "other/c"):
                with pytest.raises(Undecided, match="unauthorized to access repository"):
                    await client.tags(Device(name))
            assert (await client.tags(Device("acme/sensor"))).tags


@pytest.mark.parametrize("trouble", ["full", "read_only"])
async def test_an_upload_that_is_refused_says_why_in_harbors_words(
    trouble: str, tmp_path: Path
) -> None:
    """A quota is no password, and the right that lacks is the one to push."""
    file = tmp_path / "firmware.bin"
    file.write_bytes(b"x" * 1000)
    async with FakeHarbor() as registry, remote(filled(registry), login=ROBOT) as client:
        getattr(registry, trouble).add("acme")
        with pytest.raises(OtaFluxError) as failed:
            await client.push(
                SENSOR,
                Tag("2.0.0"),
                [File(file, "firmware.bin", "application/octet-stream")],
                annotations={},
                force=False,
            )
        words = f"{failed.value} {getattr(failed.value, 'hint', '')}"
        if trouble == "full":
            assert QUOTA in words
            assert "quota" in words
            assert "wrong, expired" not in words
        else:
            assert "action: push" in words
            assert "right to push" in words
        assert "right to read" not in words


async def test_a_repository_that_harbor_does_not_know_is_no_tag_that_is_gone() -> None:
    """Its 404 has the same code for both, and its sentence tells them apart."""
    async with FakeHarbor() as registry, remote(filled(registry), login=ROBOT) as client:
        assert await client.resolve(SENSOR, Tag("9.9.9")) == Gone()
        registry.content.drop("acme/sensor")
        with pytest.raises(Undecided, match="repository acme/sensor not found"):
            await client.resolve(SENSOR, Tag("1.0.0"))


@pytest.mark.parametrize("is_cache", [False, True])
async def test_a_project_that_caches_another_registry_is_told_apart(is_cache: bool) -> None:
    """Harbor's API says so, and is asked once in a while."""
    async with FakeHarbor() as registry, remote(filled(registry), login=ROBOT) as client:
        registry.proxies |= {"acme"} if is_cache else set()
        for _ in range(5):
            assert (await client.tags(SENSOR)).is_cache == is_cache
        assert len(registry.seen("project")) == 1


@pytest.mark.parametrize("fault", [Status(403, code="FORBIDDEN"), Status(500), Page()], ids=repr)
async def test_a_project_that_may_not_be_asked_about_is_no_fault(fault: Any) -> None:
    """A robot account often has no right to it: looks go on, and nothing else changes."""
    async with FakeHarbor() as registry, remote(filled(registry), login=ROBOT) as client:
        registry.proxies.add("acme")
        registry.fail("project", fault, times=None)
        for _ in range(3):
            listing = await client.tags(SENSOR)
            assert (len(listing.tags), listing.is_cache) == (1, False)


@pytest.mark.parametrize("fault", [Status(403, code="FORBIDDEN"), Status(500), Page()], ids=repr)
async def test_a_project_that_was_a_cache_is_one_while_its_api_says_nothing(fault: Any) -> None:
    """What it lacks may be there all the same, and its API may be away with its upstream."""
    clock = Clock()
    async with (
        FakeHarbor() as registry,
        remote(filled(registry), login=ROBOT, clock=clock) as client,
    ):
        registry.proxies.add("acme")
        assert (await client.tags(SENSOR)).is_cache
        registry.fail("project", fault, times=None)
        clock.now += REMEMBERED
        assert (await client.tags(SENSOR)).is_cache


async def test_no_other_registry_is_asked_about_projects() -> None:
    """A request that means nothing there would be one more for each device."""
    async with FakeRegistry(auth="bearer") as registry, remote(registry, login=ROBOT) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        await client.tags(SENSOR)
        assert not registry.seen("project")
