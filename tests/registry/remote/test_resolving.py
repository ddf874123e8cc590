"""What a tag stands for: verified, cheap where unchanged, and gone only by the registry's word."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fake_faults import Body, Cut, Headers, Page, Status, WrongByte
from fake_registry import FakeRegistry
from registry_client import ACME, SENSOR, remote

from otaflux.errors import Undecided, Unusable
from otaflux.model.artifact import OCI_INDEX, OCI_MANIFEST, Digest, Gone, Index, Manifest
from otaflux.model.names import Device, Namespace, Tag
from otaflux.registry.manifest import MAX_MANIFEST, digest_of
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.registry.remote.source import Remote
from otaflux.registry.source import Unchanged

ONE = Tag("1.0.0")
NOBODY = Digest("sha256", "ab" * 32)


def put(registry: FakeRegistry, content: bytes = b"x", tag: str | None = "1.0.0") -> Digest:
    """One release of the sensor."""
    return registry.content.put("acme/sensor", tag, layers=[content])


async def test_a_tag_and_a_digest_are_resolved() -> None:
    """By name and by digest the same manifest comes, asked for with every type that is read."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = put(registry)
        for reference in (ONE, digest):
            manifest = await client.resolve(SENSOR, reference)
            assert isinstance(manifest, Manifest)
            assert manifest.digest == digest
        accept = registry.seen("manifest")[0].headers.getall("Accept")
        assert len(accept) == 1
        assert {part.strip() for part in accept[0].split(",")} == {
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        }


async def test_unchanged_costs_one_request_without_a_body() -> None:
    """With the digest that is known the registry answers 304, and it is told no more."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = put(registry)
        assert await client.resolve(SENSOR, ONE, known=digest) == Unchanged()
        (seen,) = registry.seen("manifest")
        assert (seen.status, seen.headers["If-None-Match"]) == (304, f'"{digest}"')


async def test_a_registry_with_etags_of_its_own_is_asked_by_those() -> None:
    """An ETag that is no digest is remembered with the digest that it stood for."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = put(registry)
        registry.fail("manifest", Headers({"ETag": 'W/"17"'}))
        await client.resolve(SENSOR, ONE)
        await client.resolve(SENSOR, ONE, known=digest)
        await client.resolve(SENSOR, ONE, known=NOBODY)
        sent = [seen.headers.get("If-None-Match") for seen in registry.seen("manifest")]
        assert sent == [None, 'W/"17"', f'"{NOBODY}"']


async def test_a_registry_without_conditions_still_says_unchanged() -> None:
    """Where the whole manifest comes each time, its digest is compared."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = put(registry)
        body = registry.content.resolve("acme/sensor", "1.0.0")
        assert body is not None
        registry.fail("manifest", _Whole(body.body), times=None)
        assert await client.resolve(SENSOR, ONE, known=digest) == Unchanged()


class _Whole(Status):
    """200 with a body, whatever was asked for."""

    def __init__(self, body: bytes) -> None:
        super().__init__(200, body=body, headers={"Content-Type": OCI_MANIFEST})


async def test_a_304_that_nobody_asked_for_is_undecided() -> None:
    """Unchanged from what, it does not say."""
    async with FakeRegistry() as registry, remote(registry) as client:
        put(registry)
        registry.fail("manifest", Status(304), times=None)
        with pytest.raises(Undecided):
            await client.resolve(SENSOR, ONE)


async def test_a_moved_tag_gives_its_new_manifest() -> None:
    """With another digest known, the answer is the whole new artifact, in one request."""
    async with FakeRegistry() as registry, remote(registry) as client:
        old = put(registry)
        new = put(registry, b"other")
        manifest = await client.resolve(SENSOR, ONE, known=old)
        assert isinstance(manifest, Manifest)
        assert manifest.digest == new
        assert len(registry.seen("manifest")) == 1


@pytest.mark.parametrize("harbor", [False, True])
async def test_gone_is_what_the_registry_says_is_gone(harbor: bool) -> None:
    """404 with MANIFEST_UNKNOWN, NOT_FOUND as Harbor has it, or TAG_EXPIRED as Quay does."""
    async with FakeRegistry(harbor=harbor) as registry, remote(registry) as client:
        put(registry)
        assert await client.resolve(SENSOR, Tag("9.9.9")) == Gone()
        assert await client.resolve(SENSOR, Tag("9.9.9"), known=NOBODY) == Gone()
        assert await client.resolve(SENSOR, NOBODY) == Gone()
        registry.fail("manifest", Status(404, code="TAG_EXPIRED"))
        assert await client.resolve(SENSOR, Tag("9.9.9")) == Gone()


@pytest.mark.parametrize(
    "fault",
    [
        Status(404),
        Status(404, body=b"404 page not found"),
        Status(404, body=b"<html>"),
        Status(404, body=b'{"errors":[]}'),
        Status(404, body=b'{"errors":{"code":"MANIFEST_UNKNOWN"}}'),
        Status(404, code="NAME_UNKNOWN"),
        Status(404, code="BLOB_UNKNOWN"),
        Status(404, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN"},{"code":"DENIED"}]}'),
        Status(410, code="MANIFEST_UNKNOWN"),
        Status(400, code="MANIFEST_UNKNOWN"),
        Status(403, code="MANIFEST_UNKNOWN"),
        Status(500, code="MANIFEST_UNKNOWN"),
        Status(200, code="MANIFEST_UNKNOWN"),
        Status(204, body=b""),
        Page(),
        Cut(at=30),
    ],
    ids=repr,
)
@pytest.mark.parametrize("is_known", [False, True])
async def test_nothing_else_is_gone(fault: Any, is_known: bool) -> None:
    """Errors, pages and half answers say nothing of a tag."""
    async with FakeRegistry() as registry, remote(registry) as client:
        put(registry)
        registry.fail("manifest", fault, times=None)
        with pytest.raises(Undecided):
            await client.resolve(SENSOR, ONE, known=NOBODY if is_known else None)


async def test_a_proxy_that_takes_accept_away_takes_no_tag_away() -> None:
    """docker-registry 2 says MANIFEST_UNKNOWN where only the type was not asked for."""
    async with FakeRegistry() as registry, remote(registry) as client:
        put(registry)
        message = "OCI manifest found, but accept header does not support OCI manifests"
        error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": message}]}
        registry.fail("manifest", Status(404, body=json.dumps(error).encode()), times=None)
        with pytest.raises(Undecided):
            await client.resolve(SENSOR, ONE)


async def test_other_bytes_than_the_digest_says_are_undecided() -> None:
    """One wrong byte, by tag or by digest, is the registry's fault and no verdict."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = put(registry)
        for reference in (ONE, digest):
            registry.fail("manifest", WrongByte(at=30))
            with pytest.raises(Undecided, match="digest"):
                await client.resolve(SENSOR, reference)


@pytest.mark.parametrize("header", [None, "", "nonsense", "sha256:abc", "md5:" + "a" * 32])
async def test_a_digest_header_that_says_nothing_is_done_without(header: str | None) -> None:
    """Old registries and some proxies give none; the digest is our own then."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = put(registry)
        registry.fail("manifest", Headers({"Docker-Content-Digest": header}), times=None)
        manifest = await client.resolve(SENSOR, ONE)
        assert isinstance(manifest, Manifest)
        assert manifest.digest == digest


async def test_a_digest_header_of_other_bytes_is_undecided() -> None:
    """A registry that contradicts itself is not believed."""
    async with FakeRegistry() as registry, remote(registry) as client:
        put(registry)
        registry.fail("manifest", Headers({"Docker-Content-Digest": str(NOBODY)}), times=None)
        with pytest.raises(Undecided):
            await client.resolve(SENSOR, ONE)


async def test_a_digest_in_another_algorithm_is_checked() -> None:
    """The header may be sha512; the bytes are held against that."""
    async with FakeRegistry() as registry, remote(registry) as client:
        put(registry)
        stored = registry.content.resolve("acme/sensor", "1.0.0")
        assert stored is not None
        long = digest_of(stored.body, "sha512")
        registry.fail("manifest", Headers({"Docker-Content-Digest": str(long)}))
        manifest = await client.resolve(SENSOR, ONE)
        assert isinstance(manifest, Manifest)
        assert manifest.digest == long


async def test_a_manifest_that_is_verified_and_unreadable_is_a_verdict() -> None:
    """The bytes have the digest, and nothing can be made of them: final, with that digest."""
    async with FakeRegistry() as registry, remote(registry) as client:
        bad = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "manifests": []}
        for body in (b"no JSON", json.dumps(bad).encode()):
            digest = registry.content.put_raw("acme/sensor", "1.0.0", body)
            with pytest.raises(Unusable) as refusal:
                await client.resolve(SENSOR, ONE)
            assert refusal.value.digest == str(digest)


async def test_a_manifest_above_4_mib_is_a_verdict_where_it_is_verified() -> None:
    """Its digest is taken without keeping it; without a digest it may be anybody's page."""
    async with FakeRegistry() as registry, remote(registry) as client:
        body = b'{"schemaVersion":2,"layers":[],"x":"' + b"x" * MAX_MANIFEST + b'"}'
        digest = registry.content.put_raw("acme/sensor", "1.0.0", body)
        with pytest.raises(Unusable, match="larger") as refusal:
            await client.resolve(SENSOR, ONE)
        assert refusal.value.digest == str(digest)
        registry.fail("manifest", Headers({"Docker-Content-Digest": None}), times=None)
        with pytest.raises(Undecided, match="larger"):
            await client.resolve(SENSOR, ONE)
        registry.heal()
        registry.fail("manifest", Body(body + b" "), times=None)
        with pytest.raises(Undecided):
            await client.resolve(SENSOR, ONE)


async def test_an_index_is_resolved() -> None:
    """An index comes as one."""
    from fake_content import Child

    async with FakeRegistry() as registry, remote(registry) as client:
        child = put(registry, tag=None)
        digest = registry.content.put_index("acme/sensor", "1.0.0", [Child(child)])
        index = await client.resolve(SENSOR, ONE)
        assert isinstance(index, Index)
        assert (index.digest, index.media_type) == (digest, OCI_INDEX)


# --- Docker Hub, where pulls are counted ----------------------------------------------------------


def hub(registry: FakeRegistry, namespace: Namespace = ACME) -> Remote:
    """A client that takes the fake for Docker Hub."""
    return Remote(replace(Endpoint.parse(registry.url), is_docker_hub=True), namespace)


async def test_an_unchanged_tag_costs_a_head_on_docker_hub() -> None:
    """No GET of a manifest, which would count as a pull."""
    async with FakeRegistry() as registry, hub(registry) as client:
        digest = put(registry)
        assert await client.resolve(SENSOR, ONE, known=digest) == Unchanged()
        assert [seen.method for seen in registry.seen("manifest")] == ["HEAD"]


@pytest.mark.parametrize(
    "fault",
    [
        Headers({"Docker-Content-Digest": None}),
        Headers({"Docker-Content-Digest": "x"}),
        Status(405),
        Status(403),
        Status(404),
    ],
    ids=repr,
)
async def test_a_head_that_says_nothing_is_followed_by_a_get(fault: Any) -> None:
    """Where HEAD gives no digest or is refused, a conditional GET says it."""
    async with FakeRegistry() as registry, hub(registry) as client:
        digest = put(registry)
        registry.fail("manifest", fault, times=None, when=lambda seen: seen.method == "HEAD")
        assert await client.resolve(SENSOR, ONE, known=digest) == Unchanged()
        assert [seen.method for seen in registry.seen("manifest")] == ["HEAD", "GET"]
        assert registry.seen("manifest")[1].headers["If-None-Match"] == f'"{digest}"'


async def test_what_is_gone_on_docker_hub_is_said_by_a_get() -> None:
    """A HEAD has no body to say so."""
    async with FakeRegistry() as registry, hub(registry) as client:
        digest = put(registry)
        registry.content.delete_tag("acme/sensor", "1.0.0")
        assert await client.resolve(SENSOR, ONE, known=digest) == Gone()


async def test_docker_hubs_own_images_are_asked_for_in_library() -> None:
    """One name without a slash lies in library/."""
    async with FakeRegistry() as registry, hub(registry, Namespace()) as client:
        registry.content.put("library/nginx", "1.0.0", layers=[b"x"])
        assert (await client.tags(Device("nginx"))).tags == (ONE,)
