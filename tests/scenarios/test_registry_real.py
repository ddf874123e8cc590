"""The client against the real docker-registry from Debian: open, with htpasswd, with tokens."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from real_registry import PASSWORD, USER, Notify, RealRegistry, docker_registry
from registry_client import ACME, FAST, SENSOR

from otaflux.errors import Refused, Undecided, Unreachable, Unusable
from otaflux.model.artifact import Descriptor, Digest, Gone, Manifest
from otaflux.model.names import Device, Tag
from otaflux.registry.remote.credentials import Credentials
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.registry.remote.source import Remote
from otaflux.registry.source import BlobReader, File, Unchanged
from otaflux.secret import Fixed, Secret

pytestmark = pytest.mark.real("docker-registry")

ONE = Tag("1.0.0")
FIRMWARE = random.Random(2).randbytes(2_000_000)


def client(real: RealRegistry, password: str | None = PASSWORD, **more: Any) -> Remote:
    """A client of the real one."""
    endpoint = Endpoint.parse(real.url)
    secret = None if password is None else Fixed(Secret(password))
    credentials = Credentials(endpoint, username=USER, password=secret)
    return Remote(endpoint, ACME, credentials, policy=FAST, **more)


def drained(reader: BlobReader) -> bytes:
    """All of a blob, in a thread."""
    chunks = []
    while chunk := reader.read():
        chunks.append(chunk)
    return b"".join(chunks)


async def read(remote: Remote, blob: Descriptor) -> bytes:
    """All of a blob."""
    async with remote.open_blob(SENSOR, blob, max_bytes=10_000_000) as reader:
        return await asyncio.to_thread(drained, reader)


@pytest.mark.parametrize("auth", ["none", "htpasswd", "token"])
async def test_everything_that_is_asked_of_a_registry_works(tmp_path: Path, auth: Any) -> None:
    """Push, list, resolve, re-check, read, delete: with each way to log in that it has."""
    build = tmp_path / "build.bin"
    build.write_bytes(FIRMWARE)
    files = [File(build, "firmware.bin", "application/octet-stream")]
    async with docker_registry(tmp_path, auth=auth) as real, client(real) as remote:
        assert not (await remote.tags(SENSOR)).repository_known
        digest = await remote.push(SENSOR, ONE, files, annotations={}, force=False)
        assert await remote.push(SENSOR, ONE, files, annotations={}, force=False) == digest
        other = await real.put("acme/sensor", "1.10.0", layers=[b"other"])
        listing = await remote.tags(SENSOR)
        assert {tag.text for tag in listing.tags} == {"1.0.0", "1.10.0"}
        manifest = await remote.resolve(SENSOR, ONE)
        assert isinstance(manifest, Manifest)
        assert manifest.digest == digest
        assert await remote.resolve(SENSOR, ONE, known=digest) == Unchanged()
        assert await remote.resolve(SENSOR, ONE, known=other) == manifest
        assert await read(remote, manifest.layers[0]) == FIRMWARE
        with pytest.raises(Refused):
            await remote.push(SENSOR, Tag("1.10.0"), files, annotations={}, force=False)
        assert await remote.attached(SENSOR, digest) == ()
        await real.delete("acme/sensor", digest)
        assert await remote.resolve(SENSOR, ONE, known=digest) == Gone()
        assert await remote.resolve(SENSOR, Tag("9.9.9")) == Gone()
        await real.delete("acme/sensor", other)
        empty = await remote.tags(SENSOR)
        assert (empty.tags, empty.repository_known) == ((), True)


@pytest.mark.parametrize("auth", ["none", "htpasswd", "token"])
async def test_the_catalog_is_listed(tmp_path: Path, auth: Any) -> None:
    """Page by page, for an account that may."""
    async with docker_registry(tmp_path, auth=auth) as real, client(real) as remote:
        for name in ("acme/a", "acme/b/c", "other/x"):
            await real.put(name, "1.0.0", layers=[b"x"])
        assert await remote.devices() == {Device("a"), Device("b/c")}


@pytest.mark.parametrize("auth", ["htpasswd", "token"])
@pytest.mark.parametrize("password", ["wrong", None])
async def test_a_wrong_or_missing_password_says_what_to_set(
    tmp_path: Path, auth: Any, password: str | None
) -> None:
    """401 of the real thing is `Undecided`, with the settings' names."""
    async with docker_registry(tmp_path, auth=auth) as real, client(real, password) as remote:
        await real.put("acme/sensor", "1.0.0", layers=[b"x"])
        with pytest.raises(Undecided) as refusal:
            await remote.tags(SENSOR)
        assert "REGISTRY_PASSWORD" in refusal.value.hint


async def test_one_token_a_repository_is_enough(tmp_path: Path) -> None:
    """A look at a device fetches one token, and the next look none."""
    async with docker_registry(tmp_path, auth="token") as real, client(real) as remote:
        digest = await real.put("acme/sensor", "1.0.0", layers=[b"x"])
        for _ in range(3):
            await remote.tags(SENSOR)
            await remote.resolve(SENSOR, ONE, known=digest)
        assert real.tokens is not None
        assert [asked["scope"] for asked in real.tokens.asked] == ["repository:acme/sensor:pull"]


async def test_an_unchanged_device_costs_two_requests(tmp_path: Path) -> None:
    """One for the tags and one for the manifest, which answers 304."""
    counted: list[tuple[str, str]] = []
    async with (
        docker_registry(tmp_path) as real,
        client(real, on_request=lambda *seen: counted.append(seen)) as remote,
    ):
        digest = await real.put("acme/sensor", "1.0.0", layers=[b"x"])
        await remote.tags(SENSOR)
        await remote.resolve(SENSOR, ONE, known=digest)
        at_start = ("ping", "ok")  # what the registry asks for, once
        assert counted == [at_start, ("tags", "ok"), ("manifest", "ok")]


async def test_attached_artifacts_are_found_by_the_fallback_tag(tmp_path: Path) -> None:
    """docker-registry 2 has no referrers API; clients keep a tag."""
    async with docker_registry(tmp_path) as real, client(real) as remote:
        subject = await real.put("acme/sensor", "1.0.0", layers=[b"x"])
        artifact = await real.put("acme/sensor", None, layers=[b"signature"], subject=subject)
        stored = real.pushed("acme/sensor", artifact)
        await real.put_index("acme/sensor", f"sha256-{subject.hex}", [artifact])
        found = await remote.attached(SENSOR, subject)
        assert [(each.digest, each.size) for each in found] == [(artifact, len(stored))]


async def test_a_registry_that_goes_and_comes_back(tmp_path: Path) -> None:
    """Stopped it is `Unreachable`; started again everything is as it was."""
    async with docker_registry(tmp_path) as real, client(real) as remote:
        await real.put("acme/sensor", "1.0.0", layers=[b"x"])
        await remote.tags(SENSOR)
        await real.stop()
        with pytest.raises(Unreachable):
            await remote.tags(SENSOR)
        await real.start()
        assert (await remote.tags(SENSOR)).tags == (ONE,)


async def test_a_descriptor_that_claims_more_than_there_is_is_proved_wrong(tmp_path: Path) -> None:
    """docker-registry takes such a manifest; the bytes have the right digest, so they are right."""
    async with docker_registry(tmp_path) as real, client(real) as remote:
        await real.put("acme/sensor", "1.0.0", layers=[b"x" * 120_000])
        manifest = await remote.resolve(SENSOR, ONE)
        assert isinstance(manifest, Manifest)
        layer = manifest.layers[0]
        longer = Descriptor(layer.media_type, layer.digest, layer.size + 1)
        with pytest.raises(Unusable, match="120001"):
            await read(remote, longer)
        assert await read(remote, layer) == b"x" * 120_000


async def test_it_sends_its_notifications(tmp_path: Path) -> None:
    """What other scenarios build on: a push reaches the endpoint that was named."""
    came: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await came.put((request.headers["Authorization"], await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hooks", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        async with docker_registry(
            tmp_path, notify=[Notify(url, {"Authorization": "Bearer abc"})]
        ) as real:
            digest = await real.put("acme/sensor", "1.0.0", layers=[b"x"])
            while True:
                secret, envelope = await asyncio.wait_for(came.get(), 10)
                (event,) = envelope["events"]
                if event["target"].get("tag"):
                    break
        assert secret == "Bearer abc"
        assert (event["action"], event["target"]["tag"]) == ("push", "1.0.0")
        assert Digest.parse(event["target"]["digest"]) == digest
    finally:
        await runner.cleanup()
