"""What an ESP image says of itself is read, and nothing is claimed that nobody can know."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packings.firmware import esp_image

from otaflux.model.artifact import Descriptor, Digest, Manifest
from otaflux.model.release import Chip
from otaflux.unpack.chip import HEADER, changed_family, chip_of, named_chip


@pytest.mark.parametrize(
    ("chip_id", "family"),
    [
        (0x00, "ESP32"),
        (0x02, "ESP32-S2"),
        (0x05, "ESP32-C3"),
        (0x09, "ESP32-S3"),
        (0x0C, "ESP32-C2"),
        (0x0D, "ESP32-C6"),
        (0x10, "ESP32-H2"),
        (0x12, "ESP32-P4"),
        (0x14, "ESP32-C61"),
        (0x17, "ESP32-C5"),
    ],
)
def test_the_chip_family_is_spelt_as_esphome_does(chip_id: int, family: str) -> None:
    """With version and project where the image has a description, without them where not."""
    assert chip_of(esp_image(chip_id)) == Chip(family, "1.4.0", "sensor")
    assert chip_of(esp_image(chip_id, described=False)) == Chip(family)
    assert chip_of(esp_image(chip_id)[:100]) == Chip(family)


def esp8266(address: int, size: int, *, mode: int = 2, entry: int = 0x4010_F4E8) -> bytes:
    """The beginning of an ESP8266 image; that of Arduino's core is its boot loader's."""
    return struct.pack("<BBBBIII", 0xE9, 1, mode, 0x40, entry, address, size) + bytes(300)


@pytest.mark.parametrize("address", [0x4010_0000, 0x3FFE_8000, 0x4020_1010, 0x4010_F000])
@pytest.mark.parametrize("size", [0x0000_0010, 0x0000_0CA8, 0x0000_C00C])
def test_an_esp8266_image_is_one_by_its_addresses(address: int, size: int) -> None:
    """It begins with the same byte, and has a segment where others name their chip."""
    assert chip_of(esp8266(address, size)) == Chip("ESP8266")


@pytest.mark.parametrize(
    "image",
    [
        esp8266(0x4010_F000, 0),
        esp8266(0x4010_F000, 0x1000_0000),
        esp8266(0x4010_F000, 16, mode=9),
        esp8266(0x4010_F000, 16, entry=0x3FFE_8000),
    ],
)
def test_what_no_esp8266_could_run_is_claimed_for_none(image: bytes) -> None:
    """Segments lie in its memory whole and it begins to run in code, or it is something else."""
    assert chip_of(image) is None


NAMED = "io.otaflux.chip"


@pytest.mark.parametrize(
    ("layer", "manifest", "index", "family"),
    [
        ("", "RP2040", "", "RP2040"),
        ("", " bk7231n ", "", "BK7231N"),
        ("LN882H", "RP2040", "NRF52", "LN882H"),
        ("", "", "NRF52", "NRF52"),
    ],
)
def test_whoever_pushed_it_may_name_the_chip(
    layer: str, manifest: str, index: str, family: str
) -> None:
    """By an annotation of the layer, the manifest or the index around it; the innermost counts."""
    one = Descriptor("x/y", Digest("sha256", "0" * 64), 1, {NAMED: layer})
    held = Manifest(one.digest, 1, "x/y", "x/y", one, (one,), {NAMED: manifest})
    assert named_chip(held, {NAMED: index}) == Chip(family)


def test_a_named_chip_is_short_and_printable() -> None:
    """Nothing is named by nothing, and what is named reaches pages as words."""
    one = Descriptor("x/y", Digest("sha256", "0" * 64), 1)
    for name, family in (("", None), (" ", None), ("A\x1b[31m" + "B" * 100, "A")):
        held = Manifest(one.digest, 1, "x/y", "x/y", one, (one,), {NAMED: name})
        chip = named_chip(held)
        assert (chip is None) == (family is None)
        if chip is not None:
            assert chip.family.startswith("A")
            assert chip.family.isprintable()
            assert len(chip.family) <= 32


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"\xe9",
        esp_image()[:31],
        b"\xea" + esp_image()[1:],
        esp_image(0x77),
        esp_image(0xFFFF),
        b"\xe9" * 400,
        b"\xe9\0" + esp_image()[2:],
        esp_image()[:23] + b"\x02" + esp_image()[24:],
    ],
)
def test_what_is_no_esp_image_has_no_chip(image: bytes) -> None:
    """Unknown images are fine."""
    assert chip_of(image) is None


@given(st.binary(max_size=300), st.binary(max_size=HEADER))
def test_any_bytes_are_read(noise: bytes, tail: bytes) -> None:
    """Whatever follows the magic, there is a printable answer."""
    for head in (noise, b"\xe9" + noise, esp_image()[:0x30] + tail):
        chip = chip_of(head)
        if chip is not None:
            assert (chip.family + chip.version + chip.project).isprintable()
            assert len(chip.version) <= 32


def test_another_chip_family_than_before_is_told() -> None:
    """Only where both are known."""
    old, new = Chip("ESP32"), Chip("ESP32-C3", "2.0.0")
    (warning,) = changed_family(new, old)
    assert "ESP32-C3" in warning
    assert changed_family(new, Chip("ESP32-C3", "1.0.0")) == ()
    assert changed_family(new, None) == changed_family(None, old) == ()
