"""What Harbor answers, and what OtaFlux makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from clock import Clock
from fake_harbor import QUOTA, FakeHarbor
from registry_client import SENSOR, remote

from otaflux.errors import OtaFluxError, Undecided
from otaflux.model.names import Device, Namespace, Tag
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
