"""What is attached to a manifest, by the API or by the fallback tag; errors are never "none"."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_faults import Body, Cut, Page, Status, Throttled
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote

from otaflux.errors import Undecided, Unusable
from otaflux.model.artifact import OCI_INDEX, OCI_MANIFEST, Digest

REPOSITORY = "acme/sensor"


def signed(registry: FakeRegistry, number: int = 1) -> tuple[Digest, list[Digest]]:
    """A release and so many artifacts attached to it, in the way that the registry allows."""
    content = registry.content
    subject = content.put(REPOSITORY, "1.0.0", layers=[b"x"])
    attached = []
    for at in range(number):
        artifact = content.put(
            REPOSITORY, None, layers=[b"%d" % at], artifact_type="application/x", subject=subject
        )
        content.attach(REPOSITORY, subject, artifact, fallback=not registry.referrers)
        attached.append(artifact)
    return subject, attached


@pytest.mark.parametrize("referrers", [True, False])
async def test_what_is_attached_is_found(referrers: bool) -> None:
    """Through the API, and through the fallback tag where there is none; the last first."""
    async with FakeRegistry(referrers=referrers) as registry, remote(registry) as client:
        subject, attached = signed(registry, 3)
        found = await client.attached(SENSOR, subject)
        assert [descriptor.digest for descriptor in found] == attached[::-1]


@pytest.mark.parametrize("referrers", [True, False])
async def test_nothing_attached_is_an_answer(referrers: bool) -> None:
    """An empty list, or no fallback tag: there are none."""
    async with FakeRegistry(referrers=referrers) as registry, remote(registry) as client:
        subject, _ = signed(registry, 0)
        assert await client.attached(SENSOR, subject) == ()


async def test_pages_of_referrers_are_read_to_the_end() -> None:
    """Each `Link` is followed."""
    async with FakeRegistry(page_size=2) as registry, remote(registry) as client:
        subject, attached = signed(registry, 5)
        assert len(await client.attached(SENSOR, subject)) == len(attached)
        assert len(registry.seen("referrers")) == 3


@pytest.mark.parametrize(
    "fault", [Status(404), Status(400), Status(405), Status(406), Page(), Body(b"{}")], ids=repr
)
async def test_a_registry_without_the_api_has_the_fallback_tag(fault: Any) -> None:
    """Whatever else a registry says to an address that it does not know, the tag is looked at."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        subject, attached = signed(registry)
        registry.fail("referrers", fault, times=None)
        assert [found.digest for found in await client.attached(SENSOR, subject)] == attached


@pytest.mark.parametrize(
    "fault",
    [Status(500), Status(503), Status(501), Throttled(None), Status(401), Status(403), Cut(at=9)],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["referrers", "manifest"])
async def test_an_error_is_never_none(fault: Any, kind: str) -> None:
    """5xx, 429, lost rights and cut answers mean "ask again", on the API and on the tag."""
    async with (
        FakeRegistry(referrers=kind == "referrers") as registry,
        remote(registry) as client,
    ):
        subject, _ = signed(registry)
        registry.fail(kind, fault, times=None)
        with pytest.raises(Undecided):
            await client.attached(SENSOR, subject)


async def test_an_error_on_a_later_page_is_never_an_end() -> None:
    """Half a list of signatures is no list."""
    async with FakeRegistry(page_size=1) as registry, remote(registry) as client:
        subject, _ = signed(registry, 3)
        registry.fail("referrers", Status(404), times=None, when=lambda seen: "last" in seen.query)
        with pytest.raises(Undecided):
            await client.attached(SENSOR, subject)


async def test_a_404_that_is_nobodys_word_is_not_none() -> None:
    """A missing fallback tag has to be said by the registry."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        subject, _ = signed(registry, 0)
        registry.fail("manifest", Status(404), times=None)
        with pytest.raises(Undecided):
            await client.attached(SENSOR, subject)


async def test_what_was_attached_before_the_api_was_there_is_found() -> None:
    """A registry that was brought up to date lists nothing, and the tag is still there."""
    async with FakeRegistry() as registry, remote(registry) as client:
        subject, _ = signed(registry, 0)
        old = registry.content.put(REPOSITORY, None, layers=[b"signature"])
        registry.content.attach(REPOSITORY, subject, old, fallback=True)
        assert [found.digest for found in await client.attached(SENSOR, subject)] == [old]


async def test_a_fallback_tag_that_is_no_index_holds_nothing() -> None:
    """Somebody's image under that tag is no signature; garbage, or too much, is said to be so."""
    async with FakeRegistry(referrers=False) as registry, remote(registry) as client:
        subject, _ = signed(registry, 0)
        registry.content.put(REPOSITORY, f"sha256-{subject.hex}", layers=[b"x"])
        assert await client.attached(SENSOR, subject) == ()
        entry = {"mediaType": OCI_MANIFEST, "digest": str(subject), "size": 5}
        huge = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 10_000}
        for body in (b"garbage", json.dumps(huge).encode()):
            registry.content.put_raw(REPOSITORY, f"sha256-{subject.hex}", body)
            with pytest.raises(Unusable, match="the list of what is attached to it cannot be read"):
                await client.attached(SENSOR, subject)
