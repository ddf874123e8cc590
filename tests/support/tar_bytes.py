"""tar headers written by hand, for archives that no tar would write."""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)


def header(
    name: bytes = b"firmware.bin",
    size: int | bytes = 0,
    kind: bytes = b"0",
    *,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One header; `size` and `checksum` as bytes are written as they are."""
    written = size if isinstance(size, bytes) else b"%011o\0" % size
    fields = [
        name.ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        written.ljust(12, b"\0"),
        b"00000000000\0",
        b" " * 8,
        kind,
        bytes(100),
        magic.ljust(8, b"\0"),
        bytes(80),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    block = b"".join(fields)
    assert len(block) == BLOCK
    right = b"%06o\0 " % sum(block)
    return block[:148] + (right if checksum is None else checksum.ljust(8, b"\0")) + block[156:]


def padded(data: bytes) -> bytes:
    """Data as it follows a header."""
    return data + bytes(-len(data) % BLOCK)


def file(name: bytes, data: bytes = b"data") -> bytes:
    """A regular file."""
    return header(name, len(data)) + padded(data)


def link(name: bytes, kind: bytes = b"2") -> bytes:
    """A link or a device."""
    return header(name, 0, kind)


def long_name(name: bytes) -> bytes:
    """GNU's header in front of an entry with a long name."""
    return header(b"././@LongLink", len(name) + 1, b"L") + padded(name + b"\0")


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    """A pax header, its records as they are."""
    return header(b"pax", len(records), kind) + padded(records)


def record(keyword: bytes, value: bytes) -> bytes:
    """One pax record with its length in front."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest
