"""What a firmware is by its bytes is read, and nothing is claimed that nobody can know."""

from __future__ import annotations

from pathlib import Path

import images
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packings.firmware import esp_image

from otaflux.model.image import PLAIN, Image, ImageKind, ZigbeeHeader
from otaflux.model.release import Firmware, Sums
from otaflux.model.version import Version
from otaflux.unpack.images import HEAD, disagreements, image_in, image_of, not_above

BUNDLES = Path(__file__).parent / "bundles"
CUT = "1.4.0-rc.1.with.a.long.name.tha"
LIBCONFIG = """
/* version = "0.0.1"; */
# software = { version = "0.0.2"; };
software =
{
    // version = "0.0.3";
    description = "says \\"version = 0.0.4\\"";
    hardware-compatibility: [ "1.0", "version" ];
    board = { stable = { version = "0.0.5"; images: ( { version = "0.0.6"; } ); }; };
    version = "1.4.0";
};
"""
JSON = """{"software": {"embedded-script": "version = \\"0.0.1\\"",
"images": [{"version": "0.0.2"}], "version": "1.4.0"}}"""


def look_into(content: bytes) -> Image:
    """What a whole file is."""
    return image_in(lambda most, offset: content[offset : offset + most], len(content))


@pytest.mark.parametrize(
    ("content", "image", "extension"),
    [
        (b"\x7fELF and other bytes", PLAIN, ".bin"),
        (b"x", PLAIN, ".bin"),
        (esp_image(), Image(ImageKind.ESP, "1.4.0"), ".bin"),
        (images.mcuboot("1.4.0"), Image(ImageKind.MCUBOOT, "1.4.0"), ".bin"),
        (images.mcuboot("1.4.300", build=7), Image(ImageKind.MCUBOOT, "1.4.300+7"), ".bin"),
        (images.mcuboot("0.0.0"), Image(ImageKind.MCUBOOT), ".bin"),
        (images.swu(LIBCONFIG), Image(ImageKind.SWU, "1.4.0"), ".swu"),
        (images.swu(JSON), Image(ImageKind.SWU, "1.4.0"), ".swu"),
        (images.swu('software:{version:"2"}', magic=b"070701"), Image(ImageKind.SWU, "2"), ".swu"),
        (images.swu('software = { description = "v"; };'), Image(ImageKind.SWU), ".swu"),
        (images.swu(b"\x9f\x13 encrypted"), Image(ImageKind.SWU), ".swu"),
        (images.swu('software = { version = "1.4.0'), Image(ImageKind.SWU), ".swu"),
        (images.swu(LIBCONFIG, name="README"), Image(ImageKind.SWU), ".swu"),
        (images.swu(" " * HEAD + LIBCONFIG), Image(ImageKind.SWU), ".swu"),
        (b"070707 the old binary format", PLAIN, ".bin"),
    ],
)  # fmt: skip
def test_a_firmware_is_what_its_bytes_are(content: bytes, image: Image, extension: str) -> None:
    """With the version that it says, where it says one that can be read."""
    assert look_into(content) == image == image_of(content[:HEAD], len(content))
    assert Firmware(Sums(1, 0, "", "", ""), image=image).extension == extension


@pytest.mark.parametrize(
    ("bundle", "version"),
    [
        ("verity", "2.3.1"),
        ("plain-gzip", "2.3.1"),
        ("plain-xz", "2.3.1"),
        ("plain-zstd", "2.3.1"),
        ("plain-lzo", ""),
    ],
)
def test_a_bundle_of_rauc_is_a_squashfs_with_a_signature(bundle: str, version: str) -> None:
    """Its version is in the manifest, wherever that lies; without the signature it is none."""
    content = (BUNDLES / f"{bundle}.raucb").read_bytes()
    assert look_into(content) == Image(ImageKind.RAUC, version)
    assert image_of(content[:HEAD], len(content)).kind is ImageKind.SQUASHFS
    assert ImageKind.RAUC.extension == ".raucb"
    assert look_into(content[:-1]).kind is ImageKind.SQUASHFS
    assert ImageKind.SQUASHFS.extension == ".bin"


@pytest.mark.parametrize("for_device", [False, True])
@pytest.mark.parametrize("security", [False, True])
def test_the_header_of_a_zigbee_file_is_read(*, for_device: bool, security: bool) -> None:
    """All that an index says of it, behind a maker's wrapper too."""
    plain = images.zigbee(0x01040000, text="lamp 1.4", for_device=for_device, security=security)
    header = ZigbeeHeader(0x1234, 1, 0x01040000, "lamp 1.4")
    assert look_into(plain) == Image(ImageKind.ZIGBEE, "0x01040000", header)
    assert look_into(b"NGIS wrapper" + plain + b"signature").zigbee == header
    ranged = images.zigbee(1, hardware=(2, 0x0105), for_device=for_device, security=security)
    assert look_into(ranged).zigbee == ZigbeeHeader(0x1234, 1, 1, "lamp", 2, 0x0105)


@pytest.mark.parametrize("cut", [4, 20, 55, 59, 64])
def test_what_only_looks_like_a_zigbee_file_is_none(cut: int) -> None:
    """Firmware that serves such files holds their magic: the other fields have to fit."""
    whole = images.zigbee(1, hardware=(1, 2))
    assert look_into(whole[:cut]) == PLAIN
    assert look_into(esp_image() + whole).kind is ImageKind.ESP
    assert look_into(b"\x1e\xf1\xee\x0b" * 100) == PLAIN


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
def test_whatever_the_bytes_are_something_is_said(tail: bytes, size: int) -> None:
    """Any beginning with any bytes behind it."""
    for magic in (b"", b"hsqs", b"070702", b"\x3d\xb8\xf3\x96", b"\xe9", b"\x1e\xf1\xee\x0b"):
        image_of(magic + tail, size)
        look_into(magic + tail)


@pytest.mark.parametrize("bundle", ["verity", "plain-gzip", "plain-xz", "plain-zstd"])
@given(st.data())
def test_a_damaged_bundle_says_nothing_wrong(bundle: str, data: st.DataObject) -> None:
    """Any bytes changed, anywhere: no error comes of it, and what is said can be shown."""
    content = bytearray((BUNDLES / f"{bundle}.raucb").read_bytes())
    places = st.one_of(
        st.integers(0, 95),
        st.integers(len(content) - 1300, len(content) - 1),
        st.integers(0, len(content) - 1),
    )
    for place, value in data.draw(st.dictionaries(places, st.integers(0, 255), max_size=6)).items():
        content[place] = value
    assert look_into(bytes(content)).version.isprintable()


@pytest.mark.parametrize("unit", ['"\\', '\\"', "/*", "{", '"', "a=", "*/ /*"])
def test_a_description_without_an_end_is_read_once(unit: str) -> None:
    """Whatever is never closed: it says nothing."""
    description = f"software = {{ {unit * (60_000 // len(unit))}"
    assert look_into(images.swu(description)) == Image(ImageKind.SWU)


def test_reading_is_bounded() -> None:
    """Of a file of any size so much is read, and no more."""
    read: list[int] = []

    def reader(most: int, offset: int) -> bytes:
        read.append(most)
        return (BUNDLES / "plain-gzip.raucb").read_bytes()[offset : offset + most]

    image_in(reader, (BUNDLES / "plain-gzip.raucb").stat().st_size)
    assert sum(read) < 500_000
    assert len(read) < 30


@pytest.mark.parametrize(
    ("inside", "tag", "warns"),
    [
        ("1.4.0", "1.4.0", False),
        ("v1.4.0", "1.4.0", False),
        ("1.4", "1.4.0", False),
        ("1.4.0", "1.4.0+build.7", False),
        ("1.4.0+a", "1.4.0+b", False),
        ("", "1.4.0", False),
        ("3f2a9c1-dirty", "1.4.0", False),
        ("esp-idf: v5.1.2", "1.4.0", False),
        ("1.3.9", "1.4.0", True),
        ("1.4.0-3-g3f2a9c1", "1.4.0", True),
        ("1.4.0-dirty", "1.4.0", True),
        ("1.4.0", "1.4.0-rc.1", True),
        ("1.5", "1.4.0", True),
        ("1.5-rc.1", "1.5.0-rc.1", False),
        ("1.5.0-rc.01", "1.5.0-rc.1", False),
        ("1.5.0-rc.01", "1.5.0-rc.2", True),
    ],
)
@pytest.mark.parametrize("kind", [ImageKind.ESP, ImageKind.SWU, ImageKind.RAUC])
def test_a_version_inside_that_differs_from_the_tag_is_told(
    kind: ImageKind, inside: str, tag: str, *, warns: bool
) -> None:
    """Where it is a version, and not only another build."""
    told = disagreements(Image(kind, inside), Version.parse(tag))
    assert bool(told) == warns
    assert all(inside in warning and tag in warning for warning in told)
    assert disagreements(None, Version.parse(tag)) == ()


@pytest.mark.parametrize(
    ("kind", "inside", "tag", "warns"),
    [
        (ImageKind.ESP, CUT, f"{CUT}t.is.cut", False),
        (ImageKind.SWU, CUT, f"{CUT}t.is.cut", True),
        (ImageKind.MCUBOOT, "1.4.0+7", "1.4.0-rc.1", False),
        (ImageKind.MCUBOOT, "1.4.0", "1.4.1-rc.1", True),
    ],
)  # fmt: skip
def test_what_a_format_has_no_room_for_is_no_disagreement(
    kind: ImageKind, inside: str, tag: str, *, warns: bool
) -> None:
    """A text that is cut, a pre-release that cannot be written."""
    assert bool(disagreements(Image(kind, inside), Version.parse(tag))) == warns


@pytest.mark.parametrize(
    ("number", "tag", "warns"),
    [
        (0x01040000, "1.4.0", False),
        (0x00010400, "1.4.0", False),
        (0x14003005, "1.4.0", False),
        (0x10053519, "1.0.5", False),
        (10400, "1.4.0", False),
        (140, "1.4.0", False),
        (1_004_000, "1.4.0-rc.1", False),
        (7, "7.0.0", False),
        (0x01030000, "1.4.0", True),
        (0xFFFFFFFF, "1.4.0", True),
    ],
)
def test_a_zigbee_number_is_read_in_each_usual_way(number: int, tag: str, *, warns: bool) -> None:
    """It is a number, and says a version where one of the ways to write it there gives that."""
    told = disagreements(look_into(images.zigbee(number)), Version.parse(tag))
    assert bool(told) == warns
    assert all(f"0x{number:08x}" in warning and tag in warning for warning in told)


def test_a_zigbee_number_that_does_not_rise_is_told() -> None:
    """Coordinators go by nothing else; another type of image has numbers of its own."""
    old, new = look_into(images.zigbee(5)), look_into(images.zigbee(6))
    assert not_above(new, old) == ()
    (warning,) = not_above(old, new)
    assert "0x00000005" in warning
    assert len(not_above(old, old)) == 1
    assert not_above(look_into(images.zigbee(5, image_type=2)), new) == ()
    assert not_above(old, None) == not_above(None, old) == not_above(old, PLAIN) == ()
