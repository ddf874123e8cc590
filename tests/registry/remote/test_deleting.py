"""Taking a tag back at a registry: that tag and no other, by whatever way the registry has."""

from __future__ import annotations

from typing import Any

import pytest
from fake_content import Child
from fake_faults import Status
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import NotFound, Refused, Undecided
from otaflux.model.names import Tag

ROBOT = ("robot", "s3cret")
REPOSITORY = "acme/sensor"
ONE, TWO = Tag("1.0.0"), Tag("2.0.0")


def filled(registry: FakeRegistry) -> str:
    """Two tags with bytes of their own; answers the digest of the first."""
    digest = registry.content.put(REPOSITORY, "1.0.0", layers=[b"one"])
    registry.content.put(REPOSITORY, "2.0.0", layers=[b"two"])
    return str(digest)


def tags(registry: FakeRegistry) -> set[str]:
    """What is left."""
    return set(registry.content.repositories[REPOSITORY].tags)


@pytest.mark.parametrize("auth", ["none", "basic", "bearer"])
@pytest.mark.parametrize("deletes", ["tag", "digest"])
async def test_a_tag_is_taken_back(auth: Any, deletes: Any) -> None:
    """By tag where the registry can, else by digest; the other tag stays."""
    async with FakeRegistry(auth=auth) as registry, remote(registry, login=ROBOT) as client:
        digest = filled(registry)
        registry.uploads.deletes = deletes
        assert await client.delete(SENSOR, ONE) == digest
        assert tags(registry) == {"2.0.0"}
        last = registry.seen("manifest", method="DELETE")[-1].reference
        assert last == ("1.0.0" if deletes == "tag" else digest)


async def test_a_tag_whose_bytes_are_shared_goes_alone() -> None:
    """By tag the others stay; by digest they would go too, so nothing is deleted at all."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = filled(registry)
        registry.content.put(REPOSITORY, "latest", layers=[b"one"])
        registry.uploads.deletes = "digest"
        with pytest.raises(Refused, match=r"same bytes as latest, .* Nothing was deleted"):
            await client.delete(SENSOR, ONE)
        assert tags(registry) == {"1.0.0", "2.0.0", "latest"}
        assert [x.reference for x in registry.seen("manifest", method="DELETE")] == ["1.0.0"]
        registry.uploads.deletes = "tag"
        assert await client.delete(SENSOR, ONE) == digest
        assert tags(registry) == {"2.0.0", "latest"}


async def test_a_child_of_another_tag_s_index_is_not_deleted() -> None:
    """By digest it would leave a hole in what the other tag names."""
    async with FakeRegistry() as registry, remote(registry) as client:
        child = registry.content.put(REPOSITORY, "1.0.0", layers=[b"one"])
        registry.content.put_index(REPOSITORY, "3.0.0", [Child(child)])
        registry.uploads.deletes = "digest"
        with pytest.raises(Refused, match=r"same bytes as 3\.0\.0"):
            await client.delete(SENSOR, ONE)
        assert tags(registry) == {"1.0.0", "3.0.0"}


async def test_what_cannot_be_looked_up_stops_a_deletion_by_digest() -> None:
    """A tag that the registry errs for could be one that goes along."""
    async with FakeRegistry() as registry, remote(registry) as client:
        filled(registry)
        registry.uploads.deletes = "digest"
        registry.fail("manifest", Status(500), times=None, when=lambda x: x.reference == "2.0.0")
        with pytest.raises(Undecided):
            await client.delete(SENSOR, ONE)
        assert tags(registry) == {"1.0.0", "2.0.0"}


async def test_a_registry_that_deletes_nothing_says_what_to_set() -> None:
    """docker-registry deletes only where it is told that it may."""
    async with FakeRegistry() as registry, remote(registry) as client:
        filled(registry)
        registry.uploads.deletes = "off"
        with pytest.raises(Undecided, match=r"does not delete .*1\.0\.0.* 405") as caught:
            await client.delete(SENSOR, ONE)
        assert "REGISTRY_STORAGE_DELETE_ENABLED" in caught.value.hint
        assert tags(registry) == {"1.0.0", "2.0.0"}


async def test_a_rule_of_the_registry_is_shown() -> None:
    """An immutable tag is refused in the registry's words."""
    async with FakeRegistry() as registry, remote(registry) as client:
        filled(registry)
        registry.fail("manifest", Status(412), when=lambda x: x.method == "DELETE")
        with pytest.raises(Undecided, match=r"did not delete .* 412") as caught:
            await client.delete(SENSOR, ONE)
        assert "immutab" in caught.value.hint


async def test_missing_rights_are_told_as_such() -> None:
    """Who may read and push may not always delete, and hears that it is about deleting."""
    async with FakeRegistry() as registry, remote(registry, login=ROBOT) as client:
        filled(registry)
        registry.fail("manifest", Status(403), when=lambda x: x.method == "DELETE")
        with pytest.raises(Undecided, match=r"delete acme/sensor:1\.0\.0") as caught:
            await client.delete(SENSOR, ONE)
        assert "allowed to delete" in caught.value.hint


async def test_a_tag_that_is_not_there_is_told() -> None:
    """A missing tag, and a missing repository, and nothing is asked to be deleted."""
    async with FakeRegistry() as registry, remote(registry) as client:
        filled(registry)
        with pytest.raises(NotFound, match=r"no tag 9\.9\.9"):
            await client.delete(SENSOR, Tag("9.9.9"))
        registry.content.drop(REPOSITORY)
        with pytest.raises(NotFound):
            await client.delete(SENSOR, TWO)
        assert registry.seen("manifest", method="DELETE") == []


async def test_a_yes_is_not_believed() -> None:
    """A registry that says yes and keeps the tag is told of."""
    async with FakeRegistry() as registry, remote(registry) as client:
        filled(registry)
        registry.uploads.keeps = True
        with pytest.raises(Undecided, match="still has it"):
            await client.delete(SENSOR, ONE)


async def test_a_repository_that_goes_with_its_last_tag_is_a_tag_that_is_gone() -> None:
    """What would be no word on a tag elsewhere is one after the registry took its deletion."""
    async with FakeRegistry() as registry:

        async def forgets(_: float) -> None:
            registry.fail("manifest", Status(404, code="NAME_UNKNOWN"), times=None)

        registry.content.put("acme/sensor", ONE.text, layers=[b"x"])
        async with remote(registry, sleep=forgets) as client:
            await client.delete(SENSOR, ONE)
            assert [seen.reference for seen in registry.seen("manifest", method="DELETE")] == [
                "1.0.0"
            ]
