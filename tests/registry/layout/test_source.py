"""`registry.layout`: what the embedded folder says, and what is done about folders that lie."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import threading
from pathlib import Path

import pytest
from layout_files import INDEX, MANIFEST, REF_NAME, LayoutFiles

from otaflux.errors import Incomplete, Refused, Undecided, Unusable
from otaflux.model.artifact import Descriptor, Digest, Gone, Index, Listing, Manifest
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.source import Source, Unchanged

LAMP = Device("lamp")
ONE = Tag("1.0.0")
LIMIT = 1024 * 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An embedded folder that is there, and empty."""
    (tmp_path / "registry").mkdir()
    return tmp_path / "registry"


@pytest.fixture
def layout(root: Path) -> Source:
    """The source under test."""
    return Layout(root)


def tags(listing: Listing) -> set[str]:
    """The texts of a listing's tags."""
    return {tag.text for tag in listing.tags}


def sparse_file(path: Path, size: int) -> None:
    """A file of zeros that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def is_open(name: str) -> bool:
    """Whether this process has a file of that name open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return any(link.exists() and link.readlink().name == name for link in links)


async def content(source: Source, device: Device, descriptor: Descriptor) -> bytes:
    """A blob, read to its end in a thread."""
    async with source.open_blob(device, descriptor, max_bytes=LIMIT) as reader:
        return b"".join(await asyncio.to_thread(lambda: list(iter(reader.read, b""))))


async def test_what_lies_in_the_folder_is_answered(root: Path, layout: Source) -> None:
    """Devices, tags, a manifest by tag and by digest, and its bytes."""
    digest = LayoutFiles(root / "lamp").artifact([b"firm", b"ware"], tag="1.0.0")
    assert await layout.devices() == {LAMP}
    assert await layout.tags(LAMP) == Listing((ONE,))
    found = await layout.resolve(LAMP, ONE)
    assert isinstance(found, Manifest)
    assert str(found.digest) == digest
    assert await layout.resolve(LAMP, found.digest) == found
    assert await layout.resolve(LAMP, ONE, known=found.digest) == Unchanged()
    assert [await content(layout, LAMP, part) for part in found.layers] == [b"firm", b"ware"]


async def test_a_device_may_lie_inside_another(root: Path, layout: Source) -> None:
    """`a`, `a/b` and `a/c/d` are three devices; `a/c` is none, and says that it is none."""
    for name in ("a", "a/b", "a/c/d"):
        LayoutFiles(root / name).artifact([name.encode()], tag="1.0.0")
    assert await layout.devices() == {Device("a"), Device("a/b"), Device("a/c/d")}
    assert await layout.tags(Device("a/c")) == Listing((), repository_known=False)
    inner = await layout.resolve(Device("a/b"), ONE)
    assert isinstance(inner, Manifest)
    assert await content(layout, Device("a/b"), inner.layers[0]) == b"a/b"


async def test_what_can_be_no_device_is_passed_over(root: Path, layout: Source) -> None:
    """Files, links, names that the grammar has not, parts of layouts, folders that hold none."""
    real = LayoutFiles(root / "lamp")
    real.artifact(tag="1.0.0")
    for name in ("Upper", ".hidden", "white space", "lamp/blobs/x", "x" * 201):
        LayoutFiles(root / name).artifact(tag="1.0.0")
    (root / "empty").mkdir()
    (root / "file").touch()
    (root / "link").symlink_to(root / "lamp")
    (root / "loop").symlink_to(root)
    shutil.copytree(root / "lamp", root, dirs_exist_ok=True)
    assert await layout.devices() == {LAMP}
    for name in ("link", "loop/lamp", "lamp/blobs/x", "index.json", "file", "file/x", "empty"):
        assert await layout.tags(Device(name)) == Listing((), repository_known=False)
        assert await layout.resolve(Device(name), ONE) == Gone()
        assert await layout.attached(Device(name), Digest("sha256", "0" * 64)) == ()


async def test_a_folder_that_is_gone_is_gone_only_while_the_others_are_there(
    root: Path, layout: Source
) -> None:
    """A device removed from `registry/` is unknown; without `registry/` nothing is learnt."""
    digest = Digest.parse(LayoutFiles(root / "lamp").artifact(tag="1.0.0"))
    shutil.rmtree(root / "lamp")
    assert await layout.tags(LAMP) == Listing((), repository_known=False)
    assert await layout.resolve(LAMP, ONE) == Gone()
    assert await layout.resolve(LAMP, digest) == Gone()
    shutil.rmtree(root)
    for ask in (
        layout.tags(LAMP),
        layout.tags(Device("index.json")),
        layout.resolve(LAMP, ONE),
        layout.resolve(LAMP, digest),
        layout.attached(LAMP, digest),
        layout.devices(),
        content(layout, LAMP, Descriptor("", digest, 1)),
    ):
        with pytest.raises(Undecided, match="missing"):
            await ask


async def test_preparing_makes_the_folder(tmp_path: Path) -> None:
    """A server that starts on an empty disk knows that there is nothing yet."""
    layout = Layout(tmp_path / "data" / "registry")
    await layout.prepare()
    await layout.prepare()
    assert await layout.devices() == frozenset()
    assert await layout.tags(LAMP) == Listing((), repository_known=False)
    assert layout.is_authoritative


@pytest.mark.parametrize("left", ["oci-layout", "blobs"])
async def test_half_a_layout_is_undecided(root: Path, layout: Source, left: str) -> None:
    """A folder that is being removed or written has not withdrawn anything yet."""
    files = LayoutFiles(root / "lamp")
    files.artifact(tag="1.0.0")
    for name in ("index.json", "oci-layout", "blobs"):
        path = root / "lamp" / name
        if name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(Undecided, match=left):
        await layout.tags(LAMP)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"not json",
        b'{"manifests":[]}',
        b'{"schemaVersion":2}',
        b'{"schemaVersion":1,"manifests":[]}',
        b'{"schemaVersion":2,"manifests":{}}',
        b'{"schemaVersion":2,"manifests":[null]}',
        b'{"schemaVersion":2,"manifests":[{"mediaType":"x"}]}',
        b'{"schemaVersion":2,"manifests":[{"digest":"sha256:0","size":-1}]}',
        b'{"schemaVersion":2,"manifests":[{"digest":"sha256:0","size":1,"annotations":{"org.opencontainers.image.ref.name":1}}]}',
        b'{"schemaVersion":2,"mediaType":"' + MANIFEST.encode() + b'","manifests":[]}',
        b'{"schemaVersion":2,"manifests":[],"x":"\xff"}',
        b'{"schemaVersion":2,"manifests":' + b"[" * 100_000,
        b'{"schemaVersion":2,"manifests":[]}' + b" " * (16 * 1024 * 1024),
    ],
)
async def test_an_index_that_is_none_says_nothing(
    root: Path, layout: Source, broken: bytes
) -> None:
    """Never an empty listing, for that would withdraw every release."""
    digest = Digest.parse(LayoutFiles(root / "lamp").artifact(tag="1.0.0"))
    (root / "lamp" / "index.json").write_bytes(broken)
    for ask in (layout.tags(LAMP), layout.resolve(LAMP, ONE), layout.attached(LAMP, digest)):
        with pytest.raises(Undecided) as caught:
            await ask
        assert str(root / "lamp" / "index.json") in str(caught.value)
        assert caught.value.hint
    assert await layout.devices() == {LAMP}


@pytest.mark.parametrize("nothing", [b"[]", b"null"])
async def test_an_index_without_manifests_has_no_tags(
    root: Path, layout: Source, nothing: bytes
) -> None:
    """An empty list is an answer, and so is the null that umoci writes for it."""
    LayoutFiles(root / "lamp")
    (root / "lamp" / "index.json").write_bytes(b'{"schemaVersion":2,"manifests":%s}' % nothing)
    assert await layout.tags(LAMP) == Listing(())


async def test_an_index_that_cannot_be_read_says_nothing(root: Path, layout: Source) -> None:
    """A folder in its place, or a link that leads nowhere."""
    LayoutFiles(root / "lamp")
    (root / "lamp" / "index.json").unlink()
    (root / "lamp" / "index.json").symlink_to(root / "nowhere")
    with pytest.raises(Undecided):
        await layout.tags(LAMP)
    (root / "lamp" / "index.json").unlink()
    (root / "lamp" / "index.json").mkdir()
    with pytest.raises(Undecided, match="folder"):
        await layout.tags(LAMP)


@pytest.mark.parametrize("what", ["index", "manifest"])
async def test_what_is_just_being_written_is_read_once_more(root: Path, what: str) -> None:
    """A tool that writes in place is seen halfway; a moment later its file is whole."""
    files = LayoutFiles(root / "lamp")
    digest = files.artifact(tag="1.0.0")
    path = root / "lamp" / "index.json" if what == "index" else files.blob_path(digest)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        path.write_bytes(whole)

    found = await Layout(root, sleep=sleep).resolve(LAMP, ONE)
    assert isinstance(found, Manifest)
    assert str(found.digest) == digest
    assert len(slept) == 1


async def test_tags_are_read_as_other_tools_write_them(root: Path, layout: Source) -> None:
    """The bare tag, or the end of containerd's whole reference; nothing else is taken for one."""
    files = LayoutFiles(root / "lamp")
    for name in (
        "1.0.0",
        "docker.io/acme/lamp:1.1.0",
        "localhost:5000/lamp:v1.2.0",
        "localhost:5000/lamp",
        "lamp@sha256:" + "0" * 64,
        "not a tag",
        "x" * 129,
        "",
        ":",
    ):
        files.artifact([name.encode()], tag=name)
    files.artifact([b"untagged"])
    files.entries[-1]["annotations"] = {"io.containerd.image.name": "docker.io/acme/lamp:9.0.0"}
    files.entries.append({**files.entries[-1], "annotations": None})
    files.write()
    assert tags(await layout.tags(LAMP)) == {"1.0.0", "1.1.0", "v1.2.0"}


async def test_of_several_entries_with_one_tag_the_first_readable_counts(
    root: Path, layout: Source
) -> None:
    """As skopeo reads it; an entry that is no manifest or index is not one of them."""
    files = LayoutFiles(root / "lamp")
    files.artifact([b"by reference"], tag="acme/lamp:1.0.0")
    files.artifact([b"not this"], tag="1.0.0")
    files.entries[-1]["mediaType"] = "application/vnd.example+json"
    first = files.artifact([b"this"], tag="1.0.0")
    files.artifact([b"nor this"], tag="1.0.0")
    assert await layout.tags(LAMP) == Listing((ONE,))
    found = await layout.resolve(LAMP, ONE)
    assert isinstance(found, Manifest)
    assert str(found.digest) == first


async def test_a_manifest_that_is_missing_may_still_come(root: Path, layout: Source) -> None:
    """The index names it, so the tag is not gone: `Incomplete`, with the digest."""
    files = LayoutFiles(root / "lamp")
    digest = files.artifact(tag="1.0.0")
    files.blob_path(digest).unlink()
    with pytest.raises(Incomplete) as caught:
        await layout.resolve(LAMP, ONE)
    assert caught.value.digest == digest
    assert await layout.resolve(LAMP, Digest.parse(digest)) == Gone()
    assert await layout.tags(LAMP) == Listing((ONE,))


@pytest.mark.parametrize("change", ["cut", "longer", "other bytes", "empty", "huge"])
async def test_a_manifest_that_is_not_its_digest_says_nothing(
    root: Path, layout: Source, change: str
) -> None:
    """A torn file is no verdict on the release."""
    files = LayoutFiles(root / "lamp")
    digest = files.artifact(tag="1.0.0")
    path = files.blob_path(digest)
    body = path.read_bytes()
    path.write_bytes(
        {
            "cut": body[:-1],
            "longer": body + b" ",
            "other bytes": body.replace(b"sha256", b"sha512", 1),
            "empty": b"",
            "huge": body + b" " * (5 * 1024 * 1024),
        }[change]
    )
    for reference in (ONE, Digest.parse(digest)):
        with pytest.raises(Undecided):
            await layout.resolve(LAMP, reference)


async def test_an_index_that_lies_about_a_size_spoils_no_manifest(
    root: Path, layout: Source
) -> None:
    """Nothing proves the index; bytes of the digest are the manifest."""
    files = LayoutFiles(root / "lamp")
    files.artifact(tag="1.0.0")
    files.entries[0]["size"] += 1
    files.write()
    assert isinstance(await layout.resolve(LAMP, ONE), Manifest)


async def test_what_can_never_be_read_is_a_verdict_with_its_digest(
    root: Path, layout: Source
) -> None:
    """Verified bytes that are no manifest, one above 4 MiB, a digest that cannot be checked."""
    files = LayoutFiles(root / "lamp")
    nothing = files.blob(b"[]", MANIFEST)
    large = files.blob(b" " * (4 * 1024 * 1024 + 1), MANIFEST)
    files.entries = [
        {**nothing, "annotations": {REF_NAME: "1.0.0"}},
        {**large, "annotations": {REF_NAME: "1.1.0"}},
        {**nothing, "digest": "blake3:00", "annotations": {REF_NAME: "1.2.0"}},
        {**nothing, "digest": "sha256:../../../etc/passwd", "annotations": {REF_NAME: "1.3.0"}},
    ]
    files.write()
    for entry in files.entries:
        with pytest.raises(Unusable) as caught:
            await layout.resolve(LAMP, Tag(entry["annotations"][REF_NAME]))
        assert not isinstance(caught.value, Incomplete)
        assert entry["digest"] in caught.value.digest


async def test_a_blob_by_sha512_is_read_and_checked(root: Path, layout: Source) -> None:
    """The specification registers both, so other tools may write either."""
    files = LayoutFiles(root / "lamp")
    files.artifact(tag="1.0.0")
    digest = Digest("sha512", hashlib.sha512(b"firmware").hexdigest())
    path = root / "lamp" / "blobs" / "sha512" / digest.hex
    path.parent.mkdir()
    path.write_bytes(b"firmware")
    assert await content(layout, LAMP, Descriptor("", digest, 8)) == b"firmware"
    path.write_bytes(b"hardware")
    with pytest.raises(Undecided):
        await content(layout, LAMP, Descriptor("", digest, 8))


async def test_an_index_of_several_platforms_is_an_index(root: Path, layout: Source) -> None:
    """Its children are found by their digests, whether or not index.json names them."""
    files = LayoutFiles(root / "lamp")
    child = files.artifact([b"for one"])
    files.entries.clear()
    body = files.blob_path(child).read_bytes()
    children = [{"mediaType": MANIFEST, "digest": child, "size": len(body)}]
    files.document({"mediaType": INDEX, "manifests": children}, tag="1.0.0")
    found = await layout.resolve(LAMP, ONE)
    assert isinstance(found, Index)
    inner = await layout.resolve(LAMP, found.manifests[0].digest)
    assert isinstance(inner, Manifest)
    assert await content(layout, LAMP, inner.layers[0]) == b"for one"


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 7])
async def test_nobody_reaches_the_end_of_bad_bytes(root: Path, layout: Source, size: int) -> None:
    """Cut, longer or changed in its last byte: the error comes before the empty end."""
    files = LayoutFiles(root / "lamp")
    good = os.urandom(size)
    descriptor = files.blob(good)
    digest = Digest.parse(descriptor["digest"])
    path = files.blob_path(descriptor["digest"])
    assert await content(layout, LAMP, Descriptor("", digest, size)) == good
    for bad in (good[:-1], good + b"!", good[:-1] + bytes([good[-1] ^ 1]) if good else b"?"):
        if bad == good:
            continue
        path.write_bytes(bad)
        with pytest.raises(Undecided):
            await content(layout, LAMP, Descriptor("", digest, size))
    path.write_bytes(good)
    for wrong in {0, 1, size - 1, size + 1, 2 * size} - {size, -1}:
        with pytest.raises(Unusable, match=f"has {wrong} bytes, and it has {size}"):
            await content(layout, LAMP, Descriptor("", digest, wrong))
    path.unlink()
    with pytest.raises(Incomplete):
        await content(layout, LAMP, Descriptor("", digest, size))


async def test_a_blob_above_the_limit_is_not_begun(root: Path, layout: Source) -> None:
    """As large as allowed is read, one byte more is `Unusable`."""
    descriptor = LayoutFiles(root / "lamp").blob(b"12345")
    digest = Digest.parse(descriptor["digest"])
    async with layout.open_blob(LAMP, Descriptor("", digest, 5), max_bytes=5) as reader:
        assert await asyncio.to_thread(reader.read) == b"12345"
    with pytest.raises(Unusable, match="MAX_FIRMWARE_SIZE"):
        async with layout.open_blob(LAMP, Descriptor("", digest, 5), max_bytes=4):
            pass


async def test_leaving_ends_the_reader_and_gives_the_file_back(root: Path, layout: Source) -> None:
    """A thread that still reads gets an error, and no descriptor is left, however the two meet."""
    files = LayoutFiles(root / "lamp")
    blob = Descriptor("", Digest("sha256", "0" * 64), 2**36)  # so large that nobody reads its end
    sparse_file(files.blob_path(str(blob.digest)), blob.size)
    for pieces in range(12):
        begun = threading.Event()

        async with layout.open_blob(LAMP, blob, max_bytes=blob.size) as reader:

            def work(reader=reader, begun=begun, pieces=pieces) -> None:
                for at in itertools.count():
                    if at == pieces:
                        begun.set()
                    reader.read()

            reading = asyncio.ensure_future(asyncio.to_thread(work))
            await asyncio.to_thread(begun.wait)
        with pytest.raises(Undecided, match="ended"):
            await reading
        assert not is_open(blob.digest.hex)


async def test_what_is_attached_is_found(root: Path, layout: Source) -> None:
    """Manifests of the index whose subject it is, and what the fallback tag lists, each once."""
    files = LayoutFiles(root / "lamp")
    subject = files.artifact(tag="1.0.0")
    other = files.artifact([b"other"], tag="1.1.0")

    def about(digest: str, note: str) -> str:
        return files.artifact(
            [note.encode()],
            artifactType="application/vnd.example.signature",
            subject={"mediaType": MANIFEST, "digest": digest, "size": 1},
            annotations={"org.opencontainers.image.description": note},
        )

    signature = about(subject, "signature")
    about(other, "of another")
    missing = about(subject, "lost")
    files.blob_path(missing).unlink()
    listed = [
        {"mediaType": MANIFEST, "digest": digest, "size": 7, "artifactType": "listed"}
        for digest in (signature, "sha256:" + "5" * 64)
    ]
    files.document({"mediaType": INDEX, "manifests": listed}, tag=subject.replace(":", "-"))
    for _ in range(2):
        found = await layout.attached(LAMP, Digest.parse(subject))
        assert [str(descriptor.digest) for descriptor in found] == ["sha256:" + "5" * 64, signature]
        assert found[1].artifact_type == "application/vnd.example.signature"
        assert found[0].artifact_type == "listed"
    assert len(await layout.attached(LAMP, Digest.parse(other))) == 1
    assert await layout.attached(LAMP, Digest("sha256", "0" * 64)) == ()


async def test_an_error_while_looking_for_signatures_is_not_unsigned(
    root: Path, layout: Source
) -> None:
    """A torn manifest might be the signature."""
    files = LayoutFiles(root / "lamp")
    subject = files.artifact(tag="1.0.0")
    torn = files.artifact([b"signature"], subject=files.entries[0])
    files.blob_path(torn).write_bytes(b"{}")
    with pytest.raises(Undecided):
        await layout.attached(LAMP, Digest.parse(subject))


def test_a_stamp_changes_with_its_own_index_only(root: Path) -> None:
    """Written in place, replaced, new, broken or gone: that device, and no other."""
    layout = Layout(root)
    files = LayoutFiles(root / "lamp")
    LayoutFiles(root / "fan")

    def changed(before: dict[Device, tuple[int, int, int]]) -> set[str]:
        after = layout.stamps()
        return {
            device.name
            for device in before.keys() | after.keys()
            if before.get(device) != after.get(device)
        }

    before = layout.stamps()
    assert changed(before) == set()
    files.blob(b"a blob alone changes nothing")
    assert changed(before) == set()
    files.artifact(tag="1.0.0")
    assert changed(before) == {"lamp"}
    before = layout.stamps()
    replacement = root / "lamp" / "replacement"
    replacement.write_bytes((root / "lamp" / "index.json").read_bytes())
    replacement.replace(root / "lamp" / "index.json")
    assert changed(before) == {"lamp"}
    before = layout.stamps()
    LayoutFiles(root / "lamp" / "inner")
    assert changed(before) == {"lamp/inner"}
    before = layout.stamps()
    (root / "lamp" / "index.json").write_bytes(b"{")
    assert changed(before) == {"lamp"}
    before = layout.stamps()
    (root / "lamp" / "index.json").unlink()
    assert changed(before) == {"lamp"}
    assert Device("lamp") in layout.stamps()
    shutil.rmtree(root / "lamp")
    assert changed(before) == {"lamp", "lamp/inner"}
    shutil.rmtree(root)
    with pytest.raises(Undecided):
        layout.stamps()


async def test_a_device_that_can_have_no_folder_cannot_be_pushed(layout: Source) -> None:
    """The reason names the component."""
    for name, component in (("a/blobs/b", "blobs"), ("index.json", "index.json")):
        with pytest.raises(Refused, match=f"'{component}'"):
            await layout.push(Device(name), ONE, [], annotations={}, force=False)


def test_nothing_is_read_when_it_is_made(tmp_path: Path) -> None:
    """The constructor does no I/O: a folder that is not there is none of its business."""
    layout = Layout(tmp_path / "nowhere")
    assert layout.name == "embedded"
    assert not (tmp_path / "nowhere").exists()
