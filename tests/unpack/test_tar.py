"""Forms of tar that today's tools do not write, and that are out there."""

from __future__ import annotations

import pytest
from extracting import artifact, unpack
from tar_bytes import END, file, header, link, long_name, padded, pax, record

DATA = b"firmware"


def signed(name: bytes) -> bytes:
    """A header whose checksum was summed over signed bytes, as some old tars did."""
    right = header(name, len(DATA))
    rest = right[:148] + b" " * 8 + right[156:]
    return header(name, len(DATA), checksum=b"%06o\0 " % sum(memoryview(rest).cast("b")))


FORMS = {
    "before POSIX": header(b"firmware.bin", len(DATA), b"\0", magic=b"") + padded(DATA),
    "before POSIX, with a folder": header(b"out/", 0, b"\0", magic=b"")
    + header(b"out/firmware.bin", len(DATA), b"\0", magic=b"")
    + padded(DATA),
    "a signed checksum": signed(b"\xe9\xff\xfe/firmware.bin") + padded(DATA),
    "a checksum with spaces": header(b"firmware.bin", len(DATA), checksum=b"%7o " % sum(
        header(b"firmware.bin", len(DATA), checksum=b" " * 8))) + padded(DATA),
    "a size with spaces": header(b"firmware.bin", b"%10o  " % len(DATA)) + padded(DATA),
    "a size in base 256": header(b"firmware.bin", b"\x80" + len(DATA).to_bytes(11, "big"))
    + padded(DATA),
    "a contiguous file": header(b"firmware.bin", len(DATA), b"7") + padded(DATA),
    "a prefix": header(b"firmware.bin", len(DATA), prefix=b"a/b") + padded(DATA),
    "what GNU keeps where POSIX has the prefix": header(
        b"firmware.bin", len(DATA), magic=b"ustar  \0", prefix=b"14500000000\0"
    )
    + padded(DATA)
    + file(b"x/firmware.bin"),
    "a long name and a long link": header(b"@", 300, b"K") + padded(b"x" * 300) + link(b"l")
    + long_name(b"o" * 300 + b"/firmware.bin") + file(b"o", DATA),
    "a pax size": pax(record(b"size", b"%d" % len(DATA))) + header(b"firmware.bin", 0)
    + padded(DATA),
    "a pax path for one entry only": pax(record(b"path", b"x.txt")) + file(b"firmware.bin", b"no")
    + file(b"firmware.bin", DATA),
    "a pax path over a long name": pax(record(b"path", b"firmware.bin")) + long_name(b"x" * 200)
    + file(b"x", DATA) + file(b"y/firmware.bin"),
    "a pax path that is taken back": pax(record(b"path", b"x"), b"g") + pax(record(b"path", b""))
    + file(b"firmware.bin", DATA) + file(b"z"),
    "a link that says a size": header(b"link", 9999, b"1") + file(b"firmware.bin", DATA),
    "what only one tar knows": header(b"V", 0, b"V") + header(b"D", 5, b"D") + padded(b"Yfile")
    + header(b"A", 5, b"A") + padded(b"acl:x") + file(b"firmware.bin", DATA),
    "one block of zeros at its end": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMS))
def test_an_unusual_form_is_read(name: str) -> None:
    """The same bytes come out of each."""
    tar = FORMS[name] + END if FORMS[name] else file(b"firmware.bin", DATA) + bytes(512)
    assert unpack(artifact(tar, "firmware.tar"))[0] == DATA
