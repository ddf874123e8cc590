"""A signature goes up with what it signs: before its tag, once, into the list that others keep."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from attaching import BUNDLE, signed
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import Refused
from otaflux.model.artifact import OCI_INDEX, Digest
from otaflux.model.names import Tag
from otaflux.registry.remote.source import Remote
from otaflux.registry.source import Attach, File

ONE = Tag("1.0.0")
NAME = "acme/sensor"


async def push(client: Remote, file: File, attach: Attach | None = None) -> Digest:
    """Push under 1.0.0."""
    return await client.push(
        SENSOR, ONE, [file], annotations={}, force=False, attach=attach or signed()
    )


def written(registry: FakeRegistry) -> list[str]:
    """What manifests were put under, in order: by digest `@`, as their tag else."""
    puts = [seen for seen in registry.seen("manifest") if seen.method == "PUT"]
    return ["@" if ":" in seen.reference else seen.reference for seen in puts]


def listing(registry: FakeRegistry, subject: Digest) -> dict[str, Any]:
    """The list under the fallback tag."""
    stored = registry.content.resolve(NAME, f"sha256-{subject.hex}")
    assert stored is not None
    assert stored.media_type == OCI_INDEX
    return dict(json.loads(stored.body))


async def test_a_signature_is_there_before_its_tag(firmware: File) -> None:
    """Manifest, signature, tag: nobody who sees the tag finds it unsigned. The API has the list."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = await push(client, firmware)
        assert written(registry) == ["@", "@", "1.0.0"]
        (found,) = await client.attached(SENSOR, digest)
        assert found.artifact_type == BUNDLE


async def test_a_registry_without_the_api_gets_a_list(firmware: File) -> None:
    """Under the tag that clients keep, before the version's tag."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        digest = await push(client, firmware)
        assert written(registry) == ["@", "@", f"sha256-{digest.hex}", "1.0.0"]
        (found,) = await client.attached(SENSOR, digest)
        (entry,) = listing(registry, digest)["manifests"]
        assert entry["digest"] == str(found.digest)
        assert entry["artifactType"] == BUNDLE
        assert entry["annotations"] == {"by": "a"}


@pytest.mark.parametrize("api", [True, False])
async def test_the_same_signature_again_changes_nothing(firmware: File, *, api: bool) -> None:
    """No manifest is put, no blob is sent."""
    async with FakeRegistry(referrers=api) as registry, remote(registry) as client:
        digest = await push(client, firmware)
        registry.requests.clear()
        assert await push(client, firmware) == digest
        assert {seen.method for seen in registry.requests} <= {"GET", "HEAD"}


@pytest.mark.parametrize("api", [True, False])
async def test_a_release_that_is_there_is_signed_later(firmware: File, *, api: bool) -> None:
    """By the same command: the tag stays as it is."""
    async with FakeRegistry(referrers=api) as registry, remote(registry) as client:
        digest = await client.push(SENSOR, ONE, [firmware], annotations={}, force=False)
        registry.requests.clear()
        assert await push(client, firmware) == digest
        assert "1.0.0" not in written(registry)
        assert len(await client.attached(SENSOR, digest)) == 1


async def test_what_others_listed_stays(firmware: File) -> None:
    """Field for field, also what nobody here knows."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        digest = await push(client, firmware, signed("a"))
        before = listing(registry, digest)
        before["manifests"][0]["theirs"] = {"x": [1]}
        before["annotations"] = {"kept": "yes"}
        body = json.dumps(before).encode()
        registry.content.put_raw(NAME, f"sha256-{digest.hex}", body, OCI_INDEX)
        await push(client, firmware, signed("b"))
        after = listing(registry, digest)
        assert after["manifests"][0] == before["manifests"][0]
        assert len(after["manifests"]) == 2
        assert after["annotations"] == {"kept": "yes"}


async def test_signatures_that_come_at_once_are_all_listed(firmware: File) -> None:
    """The list has no lock: who finds that another overwrote it writes it again."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        names = [f"key {number}" for number in range(3)]
        digests = await asyncio.gather(*(push(client, firmware, signed(name)) for name in names))
        found = {entry["annotations"]["by"] for entry in listing(registry, digests[0])["manifests"]}
        assert found == set(names)


async def test_a_tag_that_holds_no_list_is_left_alone(firmware: File) -> None:
    """It is somebody's image: the release is not pushed as if it were signed."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        digest = await push(client, firmware)
        body = b'{"schemaVersion": 2, "layers": []}'
        registry.content.put_raw(NAME, f"sha256-{digest.hex}", body, OCI_INDEX)
        with pytest.raises(Refused, match="holds no list"):
            await push(client, firmware)
        stored = registry.content.resolve(NAME, f"sha256-{digest.hex}")
        assert stored is not None
        assert stored.body == body
