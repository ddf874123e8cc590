"""The embedded folder beside other tools: skopeo, umoci and python oras write and read it too.

What docs/embedded.md says of each tool is held here against the tool itself.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import time
import zlib
from pathlib import Path

import oras.client
import oras.provider
import pytest
from layout_files import LayoutFiles, whole
from oras.layout import NewLayout, NewLayoutFromRegistry
from programs import Server, server
from real_registry import docker_registry

from otaflux.errors import Undecided
from otaflux.model.artifact import Manifest
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.source import File, Source

LAMP = Device("lamp")
SOON = 10.0  # seconds; the folder is looked at each second, but the machine may be busy


def firmware(name: str, size: int = 100_000) -> bytes:
    """Some bytes, the same each time."""
    return random.Random(name).randbytes(size)


def tool(*command: str | Path) -> str:
    """Run another tool; answers its output, and fails with it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo(*command: str | Path) -> str:
    """Run skopeo, which needs no policy here."""
    return tool("skopeo", "--insecure-policy", *command)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The embedded folder of a server whose data lie below `data`."""
    (tmp_path / "data" / "registry").mkdir(parents=True)
    return tmp_path / "data" / "registry"


async def push(root: Path, tag: str, content: bytes) -> str:
    """Push as `otaflux push` does; answers the digest."""
    path = root.parent / "build.bin"
    path.write_bytes(content)
    files = [File(path, "firmware.bin", "application/octet-stream")]
    return str(await Layout(root).push(LAMP, Tag(tag), files, annotations={}, force=False))


async def read(source: Source, tag: str) -> tuple[str, bytes]:
    """The manifest's digest of a tag, and the bytes of its only layer."""
    found = await source.resolve(LAMP, Tag(tag))
    assert isinstance(found, Manifest)
    (layer,) = found.layers
    async with source.open_blob(LAMP, layer, max_bytes=10_000_000) as reader:
        parts = await asyncio.to_thread(lambda: list(iter(reader.read, b"")))
    return str(found.digest), b"".join(parts)


async def tags(root: Path) -> set[str]:
    """The lamp's tags."""
    return {tag.text for tag in (await Layout(root).tags(LAMP)).tags}


@pytest.mark.real("skopeo")
async def test_skopeo_reads_what_is_pushed_and_writes_it_back(tmp_path: Path, root: Path) -> None:
    """There and back, into another tag and another device: the digest stays, so do the bytes."""
    digest = await push(root, "1.0.0", firmware("one"))
    skopeo("copy", f"oci:{root}/lamp:1.0.0", f"dir:{tmp_path}/away")
    skopeo("copy", f"dir:{tmp_path}/away", f"oci:{root}/lamp:1.1.0")
    skopeo("copy", f"dir:{tmp_path}/away", f"oci:{root}/fan:1.1.0")
    assert await tags(root) == {"1.0.0", "1.1.0"}
    skopeo("copy", f"dir:{tmp_path}/away", f"oci:{root}/pump:1.0.0+build.5")
    assert [tag.text for tag in (await Layout(root).tags(Device("pump"))).tags] == ["1.0.0_build.5"]
    assert await read(Layout(root), "1.1.0") == (digest, firmware("one"))
    assert await Layout(root).devices() == {LAMP, Device("fan"), Device("pump")}
    after = await push(root, "1.2.0", firmware("two"))
    assert whole(root / "lamp") == {"1.0.0": digest, "1.1.0": digest, "1.2.0": after}


@pytest.mark.real("skopeo", "docker-registry")
async def test_skopeo_carries_releases_between_a_registry_and_the_folder(
    tmp_path: Path, root: Path
) -> None:
    """For a site without a network: what the registry holds is served from the folder."""
    async with docker_registry(tmp_path) as registry:
        content = firmware("carried")
        digest = str(await registry.put("acme/lamp", "1.0.0", layers=[content]))
        source = f"docker://{registry.host}/acme/lamp"
        await asyncio.to_thread(
            skopeo, "copy", "--src-tls-verify=false", f"{source}:1.0.0", f"oci:{root}/lamp:1.0.0"
        )
        assert await read(Layout(root), "1.0.0") == (digest, content)
        ours = await push(root, "1.1.0", firmware("ours"))
        await asyncio.to_thread(
            skopeo, "copy", "--dest-tls-verify=false", f"oci:{root}/lamp:1.1.0", f"{source}:1.1.0"
        )
        inspected = await asyncio.to_thread(
            skopeo, "inspect", "--tls-verify=false", "--raw", f"{source}:1.1.0"
        )
    assert inspected.encode() == (root / "lamp" / "blobs" / Path(*ours.split(":"))).read_bytes()


@pytest.mark.real("skopeo")
async def test_of_two_entries_with_one_tag_the_same_counts_as_for_skopeo(root: Path) -> None:
    """Else a copy made with skopeo would hold another firmware than devices are told."""
    files = LayoutFiles(root / "lamp")
    for name in ("text", "first", "second"):
        files.artifact([name.encode()], tag="1.0.0")
    files.entries[0]["mediaType"] = "text/plain"
    files.write()
    raw = skopeo("inspect", "--raw", f"oci:{root}/lamp:1.0.0")
    found = await Layout(root).resolve(LAMP, Tag("1.0.0"))
    assert isinstance(found, Manifest)
    assert str(found.layers[0].digest) == json.loads(raw)["layers"][0]["digest"]
    assert (await read(Layout(root), "1.0.0"))[1] == b"first"


@pytest.mark.real("skopeo")
async def test_tags_never_vanish_while_skopeo_writes_the_index(tmp_path: Path, root: Path) -> None:
    """It writes in place: a look in the middle says nothing, or what was there before or after."""
    await push(root, "1.0.0", firmware("one"))
    skopeo("copy", f"oci:{root}/lamp:1.0.0", f"dir:{tmp_path}/away")

    def copies() -> None:
        for minor in range(1, 9):
            skopeo("copy", f"dir:{tmp_path}/away", f"oci:{root}/lamp:1.{minor}.0")

    copying = asyncio.ensure_future(asyncio.to_thread(copies))
    seen: set[str] = set()
    while not copying.done():
        try:
            found = await tags(root)
        except Undecided:
            continue
        assert seen <= found
        seen = found
    await copying
    assert len(await tags(root)) == 9


@pytest.mark.real("umoci")
async def test_umoci_lists_and_keeps_what_is_pushed(root: Path) -> None:
    """Its collection of garbage removes what no tag needs, and nothing that one does."""
    first = await push(root, "1.0.0", firmware("one"))
    inner = LayoutFiles(root / "lamp" / "inner").artifact(tag="2.0.0")
    await push(root, "1.1.0", firmware("two"))
    assert tool("umoci", "ls", "--layout", root / "lamp").split() == ["1.0.0", "1.1.0"]
    tool("umoci", "tag", "--image", f"{root}/lamp:1.0.0", "1.2.0")
    tool("umoci", "rm", "--image", f"{root}/lamp:1.1.0")
    before = len(list((root / "lamp" / "blobs" / "sha256").iterdir()))
    tool("umoci", "gc", "--layout", root / "lamp")
    assert len(list((root / "lamp" / "blobs" / "sha256").iterdir())) == before - 2
    assert whole(root / "lamp") == {"1.0.0": first, "1.2.0": first}
    assert await read(Layout(root), "1.2.0") == (first, firmware("one"))
    assert whole(root / "lamp" / "inner") == {"2.0.0": inner}


@pytest.mark.real("umoci")
async def test_a_layout_that_umoci_made_is_served(tmp_path: Path, root: Path) -> None:
    """A new one has no tags; a container image in it is one, and a push joins it."""
    tool("umoci", "init", "--layout", root / "lamp")
    assert await tags(root) == set()
    tool("umoci", "new", "--image", f"{root}/lamp:1.0.0")
    (tmp_path / "firmware.bin").write_bytes(firmware("inside"))
    image = f"{root}/lamp:1.0.0"
    tool("umoci", "insert", "--rootless", "--image", image, tmp_path / "firmware.bin", "/f.bin")
    found = await Layout(root).resolve(LAMP, Tag("1.0.0"))
    assert isinstance(found, Manifest)
    assert found.is_container_image
    await push(root, "1.1.0", firmware("ours"))
    assert whole(root / "lamp").keys() == {"1.0.0", "1.1.0"}


@pytest.mark.real("docker-registry")
async def test_python_oras_reads_and_writes_the_folder(tmp_path: Path, root: Path) -> None:
    """It finds a pushed layout valid, carries it into a registry, and makes one from there."""
    digest = await push(root, "1.0.0", firmware("one"))
    async with docker_registry(tmp_path) as registry:
        provider = oras.provider.Registry(hostname=registry.host, insecure=True)
        target = f"{registry.host}/acme/lamp:1.0.0"

        def there_and_back() -> None:
            layout = NewLayout(str(root / "lamp"))
            assert layout.get_ordered_blobs("1.0.0")[-1] == digest
            layout.push_to_registry(provider, target, tag="1.0.0")
            shutil.rmtree(root / "lamp")
            NewLayoutFromRegistry(str(root / "lamp"), provider, target, tag="1.0.0")

        await asyncio.to_thread(there_and_back)
    assert await tags(root) == {"1.0.0"}
    assert await read(Layout(root), "1.0.0") == (digest, firmware("one"))


@pytest.mark.real("skopeo", "umoci")
def test_a_running_server_tells_what_any_tool_wrote(tmp_path: Path, root: Path) -> None:
    """Pushed, copied, tagged, removed: devices are told soon, and given the right bytes.

    The folder of a device removed withdraws it, and an index that does not parse changes nothing.
    """
    builds = {tag: tmp_path / f"{tag}.bin" for tag in ("1.0.0", "1.1.0", "1.2.0")}
    for tag, path in builds.items():
        path.write_bytes(firmware(tag))

    def check(running: Server, version: str, content: bytes) -> None:
        answer = running.told("lamp", version, within=SOON)
        assert answer.body.decode() == f"{version}\n{zlib.crc32(content)}\n{len(content)}"
        assert running.get("/firmware?device=lamp").body == content

    with server(tmp_path) as running:
        assert running.run("push", "lamp:1.0.0", builds["1.0.0"]).returncode == 0
        check(running, "1.0.0", firmware("1.0.0"))
        assert running.run("push", "spare:1.2.0", builds["1.2.0"]).returncode == 0
        skopeo("copy", f"oci:{root}/spare:1.2.0", f"oci:{root}/lamp:1.2.0")
        check(running, "1.2.0", firmware("1.2.0"))
        tool("umoci", "rm", "--image", f"{root}/lamp:1.2.0")
        check(running, "1.0.0", firmware("1.0.0"))
        tool("umoci", "tag", "--image", f"{root}/lamp:1.0.0", "1.0.1")
        check(running, "1.0.1", firmware("1.0.0"))

        index = (root / "lamp" / "index.json").read_bytes()
        (root / "lamp" / "index.json").write_bytes(index[:-2])
        time.sleep(1.5)
        check(running, "1.0.1", firmware("1.0.0"))
        (root / "lamp" / "index.json").write_bytes(index)

        shutil.rmtree(root / "lamp")
        until = time.monotonic() + SOON
        while running.get("/version?device=lamp").status != 404:
            assert time.monotonic() < until, running.log()
            time.sleep(0.05)
        assert running.run("push", "lamp:1.1.0", builds["1.1.0"]).returncode == 0
        check(running, "1.1.0", firmware("1.1.0"))
