"""One tag made into a release on disk: what a look finds, what it costs, and what it never leaves.

Through the real client of a fake registry into a real store. Disks, places and broken-off pulls are
in `test_pull_breaks.py`.
"""

from __future__ import annotations

import gzip
import random
import tempfile
import zlib
from dataclasses import replace
from hashlib import md5, sha1, sha256
from pathlib import Path

import images
import pytest
import zstandard
from fake_answers import Seen
from fake_content import Child, Layer
from fake_content import sha256 as digest_of
from fake_faults import (
    Cut,
    Disconnect,
    Fault,
    IgnoreRange,
    Lying416,
    Page,
    Short,
    Status,
    TooMuch,
    WrongByte,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from property_runs import examples
from pulling import JUDGED_BY, LIMITS, judging, pulling, telling
from tar_bytes import END, file

from otaflux.errors import Undecided
from otaflux.model.artifact import OCI_CONFIG, Gone
from otaflux.model.image import Image, ImageKind
from otaflux.model.look import Lacking, Unfit, Usable
from otaflux.model.notes import MAX_NOTE
from otaflux.model.record import Record, Retired
from otaflux.model.release import Chip
from otaflux.reconcile.pull import Puller
from otaflux.unpack.limits import Limits

BUNDLES = Path(__file__).parent.parent / "unpack" / "bundles"
CONTENT = random.Random(1).randbytes(400_000)
OTHER = random.Random(2).randbytes(400_000)
TAR = "application/vnd.oci.image.layer.v1.tar"


def tarred(content: bytes) -> bytes:
    """A tar that holds it as `firmware.bin`."""
    return file(b"firmware.bin", content) + END


PACKINGS = {
    "plain": bytes,
    "gzip": lambda content: gzip.compress(content, 1),
    "zstd": lambda content: zstandard.compress(content, 1),
    "tar": tarred,
    "tar.gz": lambda content: gzip.compress(tarred(content), 1),
}


@pytest.mark.parametrize("packing", PACKINGS)
async def test_a_usable_release_is_on_disk_with_all_that_is_told(
    tmp_path: Path, packing: str
) -> None:
    """Sums over the bytes, both digests, the notes; one manifest and one blob are asked for."""
    async with pulling(tmp_path) as pulls:
        blob = PACKINGS[packing](CONTENT)
        notes = {
            "org.opencontainers.image.description": "a\x1b[2J\nb\u202e" + "d" * 1000,
            "org.opencontainers.image.url": "https://example.com/1.2.0",
        }
        digest = pulls.put("v1.2.0", blob, annotations=notes)
        release = await pulls.usable("v1.2.0")
        sums = release.firmware.sums
        assert (sums.size, sums.crc32) == (len(CONTENT), zlib.crc32(CONTENT))
        assert sums.md5 == md5(CONTENT).hexdigest()
        assert sums.sha1 == sha1(CONTENT).hexdigest()
        assert sums.sha256 == sha256(CONTENT).hexdigest()
        assert (release.manifest_digest, release.blob_digest) == (digest, digest_of(blob))
        assert (release.tag.text, release.version.text) == ("v1.2.0", "1.2.0")
        assert release.summary == "a[2J\nb" + "d" * (MAX_NOTE - 8)
        assert release.page == "https://example.com/1.2.0"
        assert pulls.store.path(release.firmware.firmware_digest).read_bytes() == CONTENT
        assert pulls.files() == [sums.sha256]
        assert (pulls.manifests(), pulls.blobs()) == (1, 1)


async def test_a_release_knows_what_its_bytes_are(tmp_path: Path) -> None:
    """Also where only the end of the file tells; a version that is not the tag's is warned of."""
    async with pulling(tmp_path) as pulls:
        pulls.put("2.4.0", gzip.compress((BUNDLES / "plain-xz.raucb").read_bytes(), 1))
        bundle = await pulls.usable("2.4.0")
        assert bundle.firmware.image == Image(ImageKind.RAUC, "2.3.1")
        assert bundle.firmware.extension == ".raucb"
        (warning,) = bundle.warnings
        assert "version 2.3.1, its tag says 2.4.0" in warning
        pulls.put("3.0.0", images.zigbee(0x03000000))
        zigbee = await pulls.usable("3.0.0", telling(bundle))
        assert zigbee.warnings == ()
        pulls.put("3.0.1", images.zigbee(0x03000000, code=b"newer"))
        (other, stuck) = (await pulls.usable("3.0.1", telling(zigbee))).warnings
        assert "cannot be read as 3.0.1" in other
        assert "will not offer this file" in stuck


async def test_a_release_has_the_chip_that_its_pusher_names(tmp_path: Path) -> None:
    """Of an image that does not say it itself, as a registry's manifest has it."""
    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", CONTENT, annotations={"io.otaflux.chip": "rp2040"})
        assert (await pulls.usable("1.0.0")).firmware.chip == Chip("RP2040")


async def test_what_is_on_disk_is_not_pulled_again(tmp_path: Path) -> None:
    """The same digest under the same tag, or another, costs one small request and no blob."""
    async with pulling(tmp_path) as pulls:
        digest = pulls.put("1.0.0", CONTENT)
        release = await pulls.usable("1.0.0")
        assert await pulls.usable("1.0.0", telling(release)) == release
        pulls.registry.content.tag("acme/sensor", "1.1.0", digest)
        other = await pulls.usable("1.1.0", telling(release))
        assert (other.version.text, other.firmware) == ("1.1.0", release.firmware)
        assert (pulls.manifests(), pulls.blobs()) == (3, 1)
        assert pulls.registry.seen("manifest")[1].status == 304


async def test_what_left_and_comes_back_has_its_notes_again(tmp_path: Path) -> None:
    """They are not kept with it, so its manifest is asked for, and no blob."""
    async with pulling(tmp_path) as pulls:
        notes = {"org.opencontainers.image.description": "what is new"}
        pulls.put("1.0.0", CONTENT, annotations=notes)
        release = await pulls.usable("1.0.0")
        left = Retired(replace(release, summary=""), 1.0)
        assert await pulls.usable("1.0.0", Record(release.device, "", retired=(left,))) == release
        assert pulls.blobs() == 1


async def test_what_is_not_on_disk_any_more_is_pulled_again(tmp_path: Path) -> None:
    """The tag is where it was and its file is not: that is no release."""
    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", CONTENT)
        release = await pulls.usable("1.0.0")
        pulls.store.path(release.firmware.firmware_digest).unlink()
        assert await pulls.usable("1.0.0", telling(release)) == release
        assert pulls.files() == [release.firmware.firmware_digest.hex]
        assert pulls.blobs() == 2


async def test_a_moved_tag_is_another_release(tmp_path: Path) -> None:
    """Resolved anew, pulled, and both files are there until somebody sweeps."""
    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", CONTENT)
        before = await pulls.usable("1.0.0")
        digest = pulls.put("1.0.0", OTHER)
        after = await pulls.usable("1.0.0", telling(before))
        assert after.manifest_digest == digest
        assert len(pulls.files()) == 2


UNFIT: dict[str, tuple[list[Layer | bytes], str]] = {
    "no gzip, though its title says so": ([Layer(CONTENT, title="firmware.bin.gz")], "no gzip"),
    "half a gzip": ([gzip.compress(CONTENT)[:1000]], ""),
    "a gzip with a wrong byte": ([gzip.compress(CONTENT)[:-6] + b"\0" * 6], ""),
    "empty": ([b""], "empty"),
    "an empty gzip": ([gzip.compress(b"")], "empty"),
    "two candidates": ([Layer(b"a", title="a.bin"), Layer(b"b", title="b.bin")], "a.bin"),
    "unpacks to too much": ([gzip.compress(bytes(LIMITS.max_firmware + 1))], "MAX_FIRMWARE_SIZE"),
    "a tar without firmware": ([Layer(file(b"a", b"1") + file(b"b", b"2") + END, "", TAR)], ""),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_a_verdict_costs_no_second_pull_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """Final while the judge is the same: one conditional request then, and no blob."""
    layers, reason = UNFIT[name]
    async with pulling(tmp_path) as pulls:
        digest = pulls.put("1.0.0", *layers)
        look = await pulls.look("1.0.0")
        assert isinstance(look, Unfit)
        assert look.manifest_digest == digest
        assert reason in look.reason
        assert not pulls.files()
        blobs = pulls.blobs()
        assert blobs <= 1
        assert await pulls.look("1.0.0", judging("1.0.0", look)) == look
        assert pulls.registry.seen("manifest")[-1].status == 304
        assert (pulls.manifests(), pulls.blobs()) == (2, blobs)


async def test_a_verdict_of_another_judge_is_none(tmp_path: Path) -> None:
    """With other limits the same bytes are looked at again, by their digest."""
    async with pulling(tmp_path, limits=Limits(1000, 4000)) as pulls:
        pulls.put("1.0.0", gzip.compress(bytes(5000)))
        look = await pulls.look("1.0.0")
        assert isinstance(look, Unfit)
        larger = Puller(pulls.source, pulls.store, LIMITS, judged_by="a larger limit")
        again = await pulls.look("1.0.0", judging("1.0.0", look, JUDGED_BY), puller=larger)
        assert isinstance(again, Usable)
        assert again.release.firmware.sums.size == 5000


async def test_a_blob_above_the_limit_is_judged_without_asking_for_it(tmp_path: Path) -> None:
    """Its descriptor says enough."""
    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", bytes(LIMITS.max_firmware + 1))
        look = await pulls.look("1.0.0")
        assert isinstance(look, Unfit)
        assert "MAX_FIRMWARE_SIZE" in look.reason
        assert not pulls.blobs()


async def test_a_manifest_that_cannot_be_read_is_judged_too(tmp_path: Path) -> None:
    """Verified bytes that are no artifact are a verdict on their own digest."""
    async with pulling(tmp_path) as pulls:
        body = b'{"schemaVersion": 2, "layers": [], "manifests": []}'
        digest = pulls.registry.content.put_raw("acme/sensor", "1.0.0", body)
        look = await pulls.look("1.0.0")
        assert isinstance(look, Unfit)
        assert look.manifest_digest == digest


async def test_a_missing_blob_is_lacking_until_it_comes(tmp_path: Path) -> None:
    """No verdict: the registry may still get it, and the next look finds it."""
    async with pulling(tmp_path) as pulls:
        digest = pulls.put("1.0.0", CONTENT)
        pulls.registry.content.delete_blob("acme/sensor", digest_of(CONTENT))
        look = await pulls.look("1.0.0")
        assert isinstance(look, Lacking)
        assert look.manifest_digest == digest
        assert str(digest_of(CONTENT)) in look.reason
        assert not pulls.files()
        assert await pulls.look("1.0.0") == look
        pulls.put("1.0.0", CONTENT)
        assert (await pulls.usable("1.0.0")).manifest_digest == digest


async def test_a_missing_child_of_an_index_is_lacking(tmp_path: Path) -> None:
    """The index is there, what it names is not yet; the release carries the index's digest."""
    async with pulling(tmp_path) as pulls:
        child = pulls.put("temporary", CONTENT)
        index = pulls.registry.content.put_index("acme/sensor", "1.0.0", [Child(child)])
        stored = pulls.registry.content.repository("acme/sensor").manifests.pop(str(child))
        look = await pulls.look("1.0.0")
        assert isinstance(look, Lacking)
        assert (look.manifest_digest, str(child) in look.reason) == (index, True)
        pulls.registry.content.repository("acme/sensor").manifests[str(child)] = stored
        release = await pulls.usable("1.0.0")
        assert (release.manifest_digest, release.blob_digest) == (index, digest_of(CONTENT))


async def test_a_container_image_is_read_from_the_top_down(tmp_path: Path) -> None:
    """Layers below the one that holds the firmware are not asked for."""
    async with pulling(tmp_path) as pulls:
        names = (b"firmware.bin", b"firmware.bin", b"readme")
        blobs = [file(name, b"%d" % at * 1000) + END for at, name in enumerate(names)]
        layers = [Layer(blob, "", TAR) for blob in blobs]
        pulls.put("1.0.0", *layers, config=(OCI_CONFIG, b"{}"))
        release = await pulls.usable("1.0.0")
        assert release.blob_digest == digest_of(blobs[1])
        assert release.firmware.sums.crc32 == zlib.crc32(b"1" * 1000)
        asked = [seen.reference for seen in pulls.registry.seen("blob")]
        assert asked == [str(digest_of(blobs[2])), str(digest_of(blobs[1]))]


async def test_a_tag_is_gone_only_by_the_registrys_word(tmp_path: Path) -> None:
    """A 404 that says so is `Gone`; any other answer says nothing."""
    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", CONTENT)
        assert await pulls.look("1.1.0") == Gone()
        for fault in (Status(404), Status(404, code="NAME_UNKNOWN"), Page(), Status(403)):
            pulls.registry.heal()
            pulls.registry.fail("manifest", fault, times=None)
            with pytest.raises(Undecided):
                await pulls.look("1.1.0")


async def test_a_cut_is_gone_on_with(tmp_path: Path) -> None:
    """The rest is asked for by `Range`, and the release is whole."""
    async with pulling(tmp_path) as pulls:
        pulls.put("1.0.0", CONTENT)
        pulls.registry.fail("blob", Cut(at=300_000))
        release = await pulls.usable("1.0.0")
        assert pulls.store.path(release.firmware.firmware_digest).read_bytes() == CONTENT
        ranges = [seen.headers.get("Range") for seen in pulls.registry.seen("blob")]
        assert ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("packing", PACKINGS)
async def test_bytes_of_another_digest_end_undecided(tmp_path: Path, packing: str) -> None:
    """The registry erred: no verdict, whatever the bytes unpack to, and nothing on disk."""
    async with pulling(tmp_path) as pulls:
        blob = PACKINGS[packing](CONTENT)
        pulls.put("1.0.0", blob)
        for at in (0, len(blob) // 2, len(blob) - 1):
            pulls.registry.heal()
            pulls.registry.fail("blob", WrongByte(at=at), times=None)
            with pytest.raises(Undecided):
                await pulls.look("1.0.0")
            assert not pulls.files()
        pulls.registry.heal()
        await pulls.usable("1.0.0")


def faults(size: int) -> st.SearchStrategy[Fault]:
    """Something that a registry does to a blob of that size."""
    inside = st.integers(0, size - 1)
    return st.one_of(
        st.builds(Cut, inside),
        st.builds(Short, inside),
        st.builds(WrongByte, inside),
        st.sampled_from(
            [TooMuch(), IgnoreRange(), Lying416(), Disconnect(), Page(), Status(500), Status(403)]
        ),
    )


def has_whole_body(seen: Seen) -> bool:
    """Whether any byte of the blob is in the answer."""
    return "Range" not in seen.headers


@settings(max_examples=examples(30))
@given(data=st.data(), packing=st.sampled_from(sorted(PACKINGS)), size=st.integers(1, 600_000))
async def test_whatever_goes_wrong_the_release_is_whole_or_there_is_none(
    data: st.DataObject, packing: str, size: int
) -> None:
    """Any row of faults: what was pushed under its name, or `Undecided` and nothing."""
    content = random.Random(size).randbytes(size)
    blob = PACKINGS[packing](content)
    with tempfile.TemporaryDirectory() as folder:
        async with pulling(Path(folder)) as pulls:
            pulls.put("1.0.0", blob)
            for fault in data.draw(st.lists(faults(len(blob)), max_size=4)):
                is_there = has_whole_body if isinstance(fault, WrongByte) else lambda _: True
                pulls.registry.fail("blob", fault, when=is_there)
            try:
                release = await pulls.usable("1.0.0")
            except Undecided:
                assert not pulls.files()
            else:
                assert pulls.files() == [sha256(content).hexdigest()]
                path = pulls.store.path(release.firmware.firmware_digest)
                assert path.read_bytes() == content
