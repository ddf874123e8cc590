"""Pushing to a registry: once, the tag last, and refused where it would change what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_faults import Disconnect, Page, Redirect, Status
from fake_registry import FakeRegistry, Seen
from registry_client import SENSOR, remote

from otaflux.errors import Refused, Undecided
from otaflux.model.artifact import Digest, Manifest
from otaflux.model.names import Tag
from otaflux.registry.remote.source import Remote
from otaflux.registry.source import File

ONE = Tag("1.0.0")
ROBOT = ("robot", "s3cret")


@pytest.fixture
def firmware(tmp_path: Path) -> File:
    """A file of a few pieces."""
    path = tmp_path / "build.bin"
    path.write_bytes(bytes(range(256)) * 8192)
    return File(path, "firmware.bin", "application/octet-stream")


async def push(
    client: Remote, *files: File, force: bool = False, progress: Any = lambda _: None
) -> Digest:
    """Push under 1.0.0."""
    return await client.push(SENSOR, ONE, files, annotations={}, force=force, progress=progress)


def methods(registry: FakeRegistry) -> Sequence[tuple[str, str]]:
    """What was asked, in order."""
    return [(seen.kind, seen.method) for seen in registry.requests if seen.kind != "token"]


def is_large(seen: Seen) -> bool:
    """Whether a request brings the firmware's bytes, and not the empty config's two."""
    return seen.method == "PUT" and int(seen.headers["Content-Length"]) > 2


def is_writing(seen: Seen) -> bool:
    """Whether a request belongs to the push itself."""
    return seen.method in {"PUT", "POST", "HEAD"}


@pytest.mark.parametrize("auth", ["none", "basic", "bearer"])
async def test_a_push_can_be_pulled(firmware: File, auth: Any) -> None:
    """Blobs first, the tag last; what comes back is what went."""
    async with FakeRegistry(auth=auth) as registry, remote(registry, login=ROBOT) as client:
        went: list[int] = []
        digest = await push(client, firmware, progress=went.append)
        manifest = await client.resolve(SENSOR, ONE)
        assert isinstance(manifest, Manifest)
        assert manifest.digest == digest
        assert sum(went) == manifest.layers[0].size == firmware.path.stat().st_size
        assert methods(registry)[-2] == ("manifest", "PUT")
        blobs = registry.content.repositories["acme/sensor"].blobs
        assert blobs[str(manifest.layers[0].digest)] == firmware.path.read_bytes()


async def test_a_token_to_push_is_asked_for_with_both_actions(firmware: File) -> None:
    """Pull and push, and nothing more."""
    async with FakeRegistry(auth="bearer") as registry, remote(registry, login=ROBOT) as client:
        await push(client, firmware)
        scopes = {seen.query["scope"] for seen in registry.seen("token")}
        assert scopes == {"repository:acme/sensor:pull,push"}


async def test_the_same_again_changes_nothing(firmware: File) -> None:
    """The same digest, no upload, no manifest put; the bar still comes to its end."""
    async with FakeRegistry() as registry, remote(registry) as client:
        digest = await push(client, firmware)
        before = len(registry.requests)
        went: list[int] = []
        assert await push(client, firmware, progress=went.append) == digest
        assert sum(went) == firmware.path.stat().st_size
        again = methods(registry)[before:]
        assert {method for _, method in again} == {"GET", "HEAD"}


async def test_the_same_again_brings_back_what_was_lost(firmware: File) -> None:
    """A registry that lost a blob gets it, though the tag is right."""
    async with FakeRegistry() as registry, remote(registry) as client:
        await push(client, firmware)
        blobs = registry.content.repositories["acme/sensor"].blobs
        lost = max(blobs, key=lambda digest: len(blobs[digest]))
        del blobs[lost]
        await push(client, firmware)
        assert lost in blobs


async def test_a_tag_that_is_taken_is_refused_unless_forced(firmware: File) -> None:
    """Other bytes under the tag stay there; nothing is uploaded before that is known."""
    async with FakeRegistry() as registry, remote(registry) as client:
        taken = registry.content.put("acme/sensor", "1.0.0", layers=[b"other"])
        with pytest.raises(Refused, match="--force"):
            await push(client, firmware)
        assert methods(registry) == [("manifest", "GET")]
        assert await push(client, firmware, force=True) != taken


async def test_a_page_is_no_tag_that_is_taken(firmware: File) -> None:
    """A log-in portal in front of the registry is named as what it may be."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("manifest", Page(), times=None)
        with pytest.raises(Undecided) as caught:
            await push(client, firmware)
        assert "login page" in str(caught.value)
        assert not [seen for seen in registry.requests if is_writing(seen)]


async def test_a_blob_that_is_there_is_not_sent(firmware: File) -> None:
    """Only what is missing goes."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.content.put("acme/sensor", "0.9.0", layers=[firmware.path.read_bytes()])
        await push(client, firmware)
        assert [seen for seen in registry.seen("upload") if seen.method == "PUT"] == []


@pytest.mark.parametrize("where", ["absolute", "other scheme"])
async def test_the_address_for_the_bytes_may_be_written_in_any_way(
    firmware: File, where: str
) -> None:
    """Absolute, relative, with a query that is kept, or as a proxy's registry calls itself."""
    async with (
        FakeRegistry(auth="basic") as registry,
        remote(registry, login=ROBOT) as client,
    ):
        origin = registry.url
        if where == "other scheme":
            origin = "https://127.0.0.1:1"
        registry.uploads.location = lambda path: origin + path
        await push(client, firmware)
        assert registry.content.resolve("acme/sensor", "1.0.0")


async def test_an_address_elsewhere_hears_no_credentials(firmware: File) -> None:
    """Bytes may go to another origin, name and password do not."""
    async with FakeRegistry() as other, FakeRegistry(auth="basic") as registry:
        async with remote(registry, login=ROBOT) as client:
            registry.uploads.location = lambda path: (
                other.url.replace("127.0.0.1", "localhost") + path
            )
            with pytest.raises((Refused, Undecided)):
                await push(client, firmware)
        assert other.requests
        assert all("Authorization" not in seen.headers for seen in other.requests)


@pytest.mark.parametrize("fault", [Status(503), Status(500), Disconnect()], ids=repr)
async def test_an_upload_that_breaks_begins_again(firmware: File, fault: Any) -> None:
    """A second upload is begun, and the bar goes back before it goes on."""
    async with FakeRegistry() as registry, remote(registry) as client:
        went: list[int] = []
        registry.fail("upload", fault, when=is_large)
        await push(client, firmware, progress=went.append)
        assert sum(went) == firmware.path.stat().st_size
        assert registry.content.resolve("acme/sensor", "1.0.0")


async def test_a_token_that_ends_on_the_way_is_renewed(firmware: File) -> None:
    """A 401 for the bytes begins the upload again with a new token, once."""
    async with FakeRegistry(auth="bearer") as registry, remote(registry, login=ROBOT) as client:
        challenge = f'Bearer realm="{registry.token_url}",service="fake.registry"'
        fault = Status(401, headers={"WWW-Authenticate": challenge})
        registry.fail("upload", fault, when=is_large)
        await push(client, firmware)
        assert registry.content.resolve("acme/sensor", "1.0.0")


@pytest.mark.parametrize(
    ("kind", "fault", "error"),
    [
        ("manifest", Status(500), Undecided),
        ("manifest", Status(403, code="DENIED"), Undecided),
        ("manifest", Status(404), Refused),
        ("upload", Status(403, code="DENIED"), Undecided),
        ("upload", Status(405, code="UNSUPPORTED"), Refused),
        ("upload", Status(413), Refused),
        ("upload", Status(202), Undecided),
        ("upload", Status(202, headers={"Location": "http://169.254.169.254/"}), Undecided),
        ("upload", Status(202, headers={"Location": "http://[/"}), Undecided),
        ("upload", Redirect("http://127.0.0.1:1/"), Undecided),
        ("blob", Status(500), Undecided),
    ],
    ids=repr,
)
async def test_a_registry_that_will_not_have_it_says_why(
    firmware: File, kind: str, fault: Any, error: type[Exception]
) -> None:
    """A no is refused, a fault is undecided, and the tag is not there."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail(kind, fault, times=None, when=is_writing)
        if kind == "manifest" and isinstance(fault, Status) and fault.status == 404:
            registry.heal()
            registry.fail(kind, fault, times=None, when=lambda seen: seen.method == "PUT")
        with pytest.raises(error):
            await push(client, firmware)
        if kind != "manifest":
            assert registry.content.resolve("acme/sensor", "1.0.0") is None


async def test_a_tag_that_may_not_move_is_the_registrys_no(firmware: File) -> None:
    """Where the registry keeps tags from moving, --force does not help, and its word is shown."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.content.put("acme/sensor", "1.0.0", layers=[b"other"])
        registry.uploads.immutable = True
        with pytest.raises(Refused, match="PRECONDITION"):
            await push(client, firmware, force=True)


async def test_a_file_that_changes_meanwhile_is_refused(firmware: File) -> None:
    """Bytes that are no longer those that were measured do not become a release."""
    async with FakeRegistry() as registry, remote(registry) as client:

        def changes(_sent: int) -> None:
            with firmware.path.open("r+b") as file:
                file.seek(1_900_000)
                file.write(b"changed")

        with pytest.raises(Refused, match="changed"):
            await push(client, firmware, progress=changes)
        assert registry.content.resolve("acme/sensor", "1.0.0") is None


async def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Before anything is asked of the registry."""
    async with FakeRegistry() as registry, remote(registry) as client:
        with pytest.raises(Refused):
            await push(client, File(tmp_path / "missing", "firmware.bin", "x/y"))
        assert registry.requests == []
