"""What is pushed by mistake is known by its bytes, and firmware is not taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packings.firmware import FIRMWARE

from otaflux.unpack.mistaken import HEAD, mistaken_for


def partition_table(at: int, boot: int) -> bytes:
    """A flash image of an ESP with its table and bootloader there, as `esptool merge_bin` makes."""
    entry = b"\xaa\x50\x01\x02" + (0x9000).to_bytes(4, "little") + (0x6000).to_bytes(4, "little")
    entry += b"nvs".ljust(16, b"\0") + bytes(4)
    image = bytearray(b"\xff" * (HEAD + 100))
    image[boot : boot + 4] = bytes([0xE9, 3, 2, 0x20])
    image[at : at + len(entry)] = entry
    return bytes(image)


MISTAKEN = {
    "ELF": b"\x7fELF\x01\x01\x01" + bytes(100),
    "Intel HEX": b":020000040800F2\r\n:1000000000000000\r\n",
    "S-records": b"S00F000068656C6C6F202020202000003C\n",
    "UF2": b"UF2\nWQ]\x9e" + bytes(504),
    "zip": b"PK\x03\x04" + bytes(100),
    "web page": b"\n <!DOCTYPE html>\n<html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "flash image": partition_table(0x8000, 0x1000),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_it_is_named_and_what_to_push_instead(name: str) -> None:
    """In words that say what to do."""
    said = mistaken_for(MISTAKEN[name][:HEAD])
    assert name in said
    assert "ush" in said


@pytest.mark.parametrize("boot", [0x0, 0x1000, 0x2000])
@pytest.mark.parametrize("at", [0x8000, 0x9000, 0x10000, 0x20000])
def test_a_merged_image_is_known_wherever_its_table_is(at: int, boot: int) -> None:
    """Chip families and projects differ."""
    assert "flash image" in mistaken_for(partition_table(at, boot)[:HEAD])


@given(st.binary(max_size=200))
def test_what_is_not_known_is_nothing(data: bytes) -> None:
    """An application image, other firmware, and whatever else is pushed."""
    assert mistaken_for(FIRMWARE[:HEAD]) == ""
    assert mistaken_for(b"\xe9\x05\x02\x20" + data.ljust(HEAD, b"\x00")) == ""
    assert mistaken_for(b"\x00" + data) == ""
