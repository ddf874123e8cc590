"""Credentials that are set are offered from the first request on, as docker does."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from fake_answers import Seen
from fake_faults import Redirect, Reply, Status
from fake_quay import FakeQuay
from fake_registry import FakeRegistry
from fake_zot import FakeZot
from registry_client import SENSOR, remote

from otaflux.errors import Undecided

ROBOT = ("robot", "s3cret")


async def test_zot_with_an_anonymous_policy_shows_the_login_all() -> None:
    """Its catalog answers strangers with the public part, and challenges nobody."""
    async with FakeZot(public=("acme/lamp",)) as registry:
        for name in ("lamp", "sensor"):
            registry.content.put(f"acme/{name}", "1.0.0", layers=[b"x"])
        async with remote(registry, login=ROBOT) as client:
            assert await client.devices() == {SENSOR, *(await client.devices() or ())}
            assert (await client.tags(SENSOR)).tags
        async with remote(registry) as stranger:
            assert {str(device) for device in await stranger.devices() or ()} == {"lamp"}


async def test_quays_catalog_is_empty_for_strangers_only() -> None:
    """An empty listing challenges nobody either."""
    async with FakeQuay() as registry:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        async with remote(registry, login=ROBOT) as client:
            assert await client.devices() == {SENSOR}


class _Hiding(FakeRegistry):
    """Answers strangers 404, `/v2/` too, and challenges nobody."""

    def _admit(self, seen: Seen) -> Reply | None:
        known = self.tokens.basic(seen.headers.get("Authorization", ""))
        return None if known else Reply(404, b"404 page not found\n")


async def test_a_registry_that_hides_from_strangers_is_shown_the_login() -> None:
    """404 without any challenge is no reason to keep credentials back."""
    async with _Hiding() as registry:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        async with remote(registry, login=ROBOT) as client:
            assert (await client.tags(SENSOR)).tags
            assert await client.devices() == {SENSOR}


async def test_a_registry_that_sends_everybody_elsewhere_is_shown_nothing() -> None:
    """Plain http that only leads to https, say: a password would go over the wire for nothing."""
    async with FakeRegistry() as there, FakeRegistry() as registry:
        registry.fail("*", Redirect(f"{there.url}/v2/"), times=None)
        async with remote(registry, login=ROBOT) as client:
            with pytest.raises(Undecided):
                await client.tags(SENSOR)
        assert all("Authorization" not in seen.headers for seen in registry.requests)


async def test_a_challenge_is_asked_for_again_where_the_registry_was_away() -> None:
    """A fault of the registry is no answer to what it asks for."""
    async with FakeRegistry(auth="basic") as registry, remote(registry, login=ROBOT) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        registry.fail("ping", Status(503), times=2)
        with pytest.raises(Undecided):
            await client.tags(SENSOR)
        assert (await client.tags(SENSOR)).tags


async def test_line_ends_in_the_base64_of_a_credentials_file_are_no_part_of_it(
    tmp_path: Path,
) -> None:
    """`base64` breaks its output into lines, and people paste that."""
    auth = base64.b64encode(b"robot:s3cret").decode()
    async with FakeRegistry(auth="basic") as registry:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        host = registry.url.removeprefix("http://")
        file = tmp_path / "auth.json"
        broken = f"{auth[:8]}\\r\\n{auth[8:]}\\n"
        file.write_text(f'{{"auths": {{"{host}": {{"auth": "{broken}"}}}}}}')
        async with remote(registry, files=[file]) as client:
            assert (await client.tags(SENSOR)).tags


@pytest.mark.parametrize("login", [ROBOT, None])
async def test_an_api_that_lies_elsewhere_is_named(login: Any) -> None:
    """Credentials are not sent there, so they are not what is wrong: the address to set is said."""
    async with FakeRegistry(auth="basic") as there, FakeRegistry() as registry:
        there.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        registry.fail("tags", Redirect(f"{there.url}/v2/acme/sensor/tags/list"), times=None)
        async with remote(registry, login=login) as client:
            with pytest.raises(Undecided) as failed:
                await client.tags(SENSOR)
        assert f"REGISTRY_URL={there.url}" in failed.value.hint
        assert "were not sent" in str(failed.value)
        assert all("Authorization" not in seen.headers for seen in there.requests)


@pytest.mark.parametrize("where", ["a file.bin", "größe.bin", "caf%C3%A9 x.bin"])
async def test_a_location_with_spaces_or_other_letters_is_followed(where: str) -> None:
    """Storages put names of files into it as they are; percent signs stay what they were."""
    async with FakeRegistry(redirect_blobs=True) as registry, remote(registry) as client:
        digest = registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        assert digest
        target = f"{registry.url}/v2/acme/sensor/tags/list?name={where}"
        registry.fail("tags", Redirect(target), times=1)
        assert (await client.tags(SENSOR)).tags
        assert registry.seen("tags")[-1].query["name"] == where.replace("%C3%A9", "é")
