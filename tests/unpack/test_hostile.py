"""What is broken or means harm is refused, each for its own reason, with memory and disk flat."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import zstandard
from extracting import LIMITS, MIB, TAR_LAYER, Memory, Pushed, artifact, image, unpack
from tar_bytes import END, file, header, link, long_name, padded, pax, record

from otaflux.errors import Unusable
from otaflux.model.artifact import FIRMWARE_PATH

PLAIN = b"firmware " * 500
GZIP_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def zstd(data: bytes) -> bytes:
    """One frame."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zstd_frame(blocks: bytes, *, descriptor: int = 0, window: int = 0) -> bytes:
    """A frame with the blocks given, and a window of 1 KiB unless said otherwise."""
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor, window]) + blocks


def block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    """A zstd block: kind 0 is raw, 1 repeats one byte."""
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + content


def nested(count: int) -> bytes:
    """A file packed that often."""
    data = PLAIN
    for _ in range(count):
        data = gzip.compress(data)
    return data


def zeros_in_gzip(size: int, *, inside: bytes = b"") -> bytes:
    """Very many zeros in few bytes, behind `inside`; nobody gets to the end, which is missing."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(inside) + packer.flush(zlib.Z_FULL_FLUSH)
    once = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + once * (size // MIB)


def zeros_in_zstd(size: int) -> bytes:
    """2 GB of zeros are 64 KiB of repeated blocks."""
    count = size // (128 << 10)
    blocks = block(1, 128 << 10, b"\0") * (count - 1) + block(1, 128 << 10, b"\0", last=True)
    return zstd_frame(blocks, window=7 << 3)


@dataclass(frozen=True)
class Hostile:
    """What is pushed, and the words that the refusal must hold."""

    name: str
    build: Callable[[], Pushed]
    reason: str
    written: int = field(default=0)  # bytes that the sink may hold at most meanwhile


def _file(name: str, data: bytes, reason: str, title: str = "firmware.bin", **more: int) -> Hostile:
    return Hostile(name, lambda: artifact(data, title), reason, **more)


def _tar(name: str, data: bytes, reason: str, **more: int) -> Hostile:
    return Hostile(name, lambda: artifact(data, "firmware.tar"), reason, **more)


WHOLE_TAR = file(b"firmware.bin", PLAIN) + END
OPAQUE = image(file(b"a/firmware.bin"), file(b"a/.wh..wh..opq", b""), file(b"b", b"x"))

HOSTILE = [
    # bombs
    Hostile(
        "2 GB of zeros in gzip",
        lambda: artifact(zeros_in_gzip(2048 * MIB)),
        "larger than 4194304 bytes",
        LIMITS.max_firmware,
    ),
    Hostile(
        "2 GB of zeros in 64 KB of zstd",
        lambda: artifact(zeros_in_zstd(2048 * MIB)),
        "larger than 4194304 bytes",
        LIMITS.max_firmware,
    ),
    Hostile(
        "2 GB of zeros beside the firmware",
        lambda: artifact(
            zeros_in_gzip(2048 * MIB, inside=file(b"a/b", b"x") + header(b"zeros", 2048 * MIB)),
            "firmware.tar.gz",
        ),
        "unpacks to more than 16777216 bytes",
        1,
    ),
    Hostile(
        "2 GB of zeros as the firmware in a tar.gz",
        lambda: artifact(
            zeros_in_gzip(2048 * MIB, inside=header(b"firmware.bin", 2048 * MIB)),
            "firmware.tar.gz",
        ),
        "larger than 4194304 bytes",
        LIMITS.max_firmware,
    ),
    _tar(
        "a bomb in a file that a better one follows",
        file(b"a/firmware.bin", gzip.compress(file(b"x") + file(b"y", bytes(17 * MIB))))
        + WHOLE_TAR,
        "unpacks to more than 16777216 bytes",
        written=4,
    ),
    Hostile(
        "a tar of a million entries",
        lambda: artifact(gzip.compress(link(b"x") * 1000) * 1000, "firmware.tar.gz"),
        "unpacks to more than",
    ),
    Hostile(
        "a gzip of very many members",
        lambda: artifact(gzip.compress(b"") * 150_000),
        "more than 100000 gzip members",
    ),
    Hostile(
        "a zstd of very many frames",
        lambda: artifact(zstd_frame(block(0, 0, b"", last=True)) * 150_000),
        "more than 100000 gzip members and zstd frames",
    ),
    Hostile(
        "a zstd of very many blocks",
        lambda: artifact(zstd_frame(block(0, 0, b"") * 300_000)),
        "more than 250000 zstd blocks",
    ),
    _file("packed four times", nested(4), "more than 3 packings"),
    _file("packed ten times", nested(10), "more than 3 packings"),
    _tar(
        "a tar in tars",
        file(b"t", file(b"t", file(b"t", WHOLE_TAR) + END) + END) + END,
        "more than 3 packings",
    ),
    # cut off
    _file(
        "a gzip that is cut off", gzip.compress(PLAIN)[:-3], "gzip data is cut off", written=9999
    ),
    _file("a gzip of one byte", b"\x1f", "gzip data is cut off"),
    _file("a zstd that is cut off", zstd(PLAIN)[:-5], "zstd data is cut off", written=9999),
    _file(
        "a zstd cut off in a skippable frame", b"\x50\x2a\x4d\x18\xff\0\0\0x", "zstd data is cut"
    ),
    _tar("a tar cut off in a file", WHOLE_TAR[:900], "tar is cut off", written=9999),
    _tar("a tar cut off in a header", WHOLE_TAR[:300], "tar is cut off"),
    _tar("a tar without an end", file(b"firmware.bin", PLAIN), "tar is cut off", written=9999),
    # corrupt
    _file(
        "a gzip with a wrong checksum",
        gzip.compress(PLAIN)[:-8] + bytes(8),
        "gzip data is corrupt",
        written=9999,
    ),
    _file(
        "a zstd with a wrong checksum",
        zstd(PLAIN)[:-4] + bytes(4),
        "zstd data is corrupt",
        written=9999,
    ),
    _file("a zstd with an impossible block", zstd_frame(block(3, 5, b"")), "an impossible block"),
    _file("a zstd that needs a dictionary", b"\x28\xb5\x2f\xfd\x01\x00\x07", "needs a dictionary"),
    _file(
        "a zstd window of 256 MiB", zstd_frame(b"", window=18 << 3), "a window of 268435456 bytes"
    ),
    _file(
        "gzip and then text", gzip.compress(PLAIN) + b"hello", "followed by something", written=9999
    ),
    _file(
        "gzip, zeros, and then text",
        gzip.compress(PLAIN) + b"\0\0x",
        "followed by something",
        written=9999,
    ),
    _file("zstd and then text", zstd(PLAIN) + b"hello", "followed by something else", written=9999),
    _tar("tar and then text", WHOLE_TAR + b"hello", "followed by something else", written=9999),
    _tar("a wrong checksum", header(checksum=b"0000000") + END, "header's checksum is wrong"),
    _tar("a size that is no number", header(size=b"12345x78901") + END, "size is no number"),
    _tar("a size below zero", header(size=b"\xff" * 12) + END, "size is no number"),
    _tar(
        "a size that lies", header(size=9999) + padded(PLAIN[:100]) + END, "cut off", written=9999
    ),
    _tar(
        "a size that lies by 2^60",
        header(size=b"\x80" + (2**60).to_bytes(11, "big")) + END,
        "cut off",
        written=9999,
    ),
    _tar("a size too small", header(size=1) + padded(PLAIN), "checksum is wrong", written=1),
    _tar("a pax record that lies", pax(b"99 path=x\n") + WHOLE_TAR, "pax record is malformed"),
    _tar(
        "a pax size that is no number", pax(record(b"size", b"-1")) + WHOLE_TAR, "size is no number"
    ),
    _tar("a huge pax header", header(b"x", MIB, b"x") + END, "header of 1048576 bytes"),
    _tar("a huge long name", header(b"x", MIB, b"L") + END, "header of 1048576 bytes"),
    _tar(
        "a name too long",
        long_name(b"x" * 4096) + pax(record(b"path", b"y" * 5000)) + WHOLE_TAR,
        "too long or too deep",
    ),
    _tar("a name too deep", pax(record(b"path", b"a/" * 200 + b"x")) + WHOLE_TAR, "too deep"),
    _tar("a zero byte in a name", pax(record(b"path", b"a\0b")) + WHOLE_TAR, "zero byte"),
    _tar("an old sparse file", header(kind=b"S", size=512) + bytes(512) + END, "sparse file"),
    _tar("a pax sparse file", pax(record(b"GNU.sparse.major", b"1")) + WHOLE_TAR, "sparse file"),
    _tar("a volume of several", header(kind=b"M") + END, "one volume of several"),
    # no firmware, or too many
    _file("an empty file", b"", "is empty"),
    _file("nothing in gzip", gzip.compress(b""), "is empty"),
    _file("nothing in zstd", b"\x50\x2a\x4d\x18\0\0\0\0", "is empty"),
    _tar("an empty firmware.bin", file(b"firmware.bin", b"") + END, "is empty"),
    _tar("an empty tar", bytes(10240), "holds no file at all"),
    _tar(
        "links only",
        link(b"firmware.bin") + link(b"hard.bin", b"1") + END,
        "links, which are never",
    ),
    _tar(
        "devices only", link(b"firmware.bin", b"3") + link(b"f.bin", b"4") + END, "no file at all"
    ),
    _tar("an absolute name", file(b"/firmware.bin") + END, "lead out of it"),
    _tar("a name with ..", file(b"a/../../firmware.bin") + END, "lead out of it"),
    _tar("two files", file(b"a") + file(b"b") + END, "2 files that could be", written=4),
    _tar(
        "two *.bin",
        file(b"a.bin") + file(b"b.bin") + file(b"c") + END,
        "'a.bin', 'b.bin'",
        written=4,
    ),
    _tar(
        "two equally near",
        file(b"a/firmware.bin") + file(b"b/firmware.bin") + END,
        "2 files are equally near: 'a/firmware.bin', 'b/firmware.bin'",
        written=4,
    ),
    _tar(
        "the same name twice",
        file(b"firmware.bin") + file(b"./firmware.bin") + END,
        "equally near",
        written=4,
    ),
    Hostile(
        "an annotated path that is not there",
        lambda: artifact(WHOLE_TAR, "a.tar", annotations={FIRMWARE_PATH: "out/fw.img"}),
        "no regular file 'out/fw.img'",
    ),
    Hostile(
        "an annotated path that is a link",
        lambda: artifact(link(b"fw.img") + WHOLE_TAR, "", annotations={FIRMWARE_PATH: "fw.img"}),
        "links, which are never followed: 'fw.img'",
    ),
    Hostile(
        "an annotated path in a file that is no tar",
        lambda: artifact(PLAIN, "", annotations={FIRMWARE_PATH: "fw.img"}),
        "the annotation io.otaflux.firmware.path says so. Take the annotation away",
    ),
    # titles and types that lie
    _file(
        "a title that says gzip",
        PLAIN,
        "its title 'fw.bin.gz' says that it is compressed",
        "fw.bin.gz",
    ),
    _file("a title that says zstd", PLAIN, "its title 'FW.BIN.ZST' says", "FW.BIN.ZST"),
    _file("a title that says tar", PLAIN, "holds no tar, but its title 'fw.tar' says so", "fw.tar"),
    _file("a title that says tar.gz", gzip.compress(PLAIN), "holds no tar", "fw.tar.gz"),
    _file("a title that says tar.gz of a tar", WHOLE_TAR, "no gzip or zstd", "fw.tar.gz"),
    _file("a tar.xz", b"\xfd7zXZ\0" + PLAIN, "it is xz, which is not unpacked", "fw.tar.xz.tar"),
    *(
        _file(
            f"a title that says {ending}",
            b"\xfd7zXZ\0" + PLAIN,
            f"(it is xz, which is not unpacked), but its title 'fw.{ending}' says so",
            f"fw.{ending}",
        )
        for ending in ("tar.xz", "txz", "TAR.XZ", "tar.bz2", "tbz", "tar.lz4", "tar.lzma", "tar.Z")
    ),
    Hostile(
        "a media type that says gzip",
        lambda: artifact(PLAIN, "firmware.bin", GZIP_TYPE),
        f"its media type '{GZIP_TYPE}' says that it is compressed",
    ),
    Hostile(
        "a container image whose layer is no tar",
        lambda: image(PLAIN),
        "holds no tar, but being a container image's layer says so. Push the file itself as an",
    ),
    Hostile(
        "a container image whose layer is not compressed as it says",
        lambda: image(WHOLE_TAR, media_type=GZIP_TYPE),
        "says that it is compressed",
    ),
    # container images without it
    Hostile(
        "a container image none of whose layers holds it",
        lambda: image(file(b"a") + END, file(b"b.bin") + END),
        "None of the container image's 2 layers holds a regular file 'firmware.bin'",
    ),
    Hostile(
        "a container image whose firmware is whited out",
        lambda: image(WHOLE_TAR, file(b".wh.firmware.bin", b"") + END),
        "a layer above takes away 'firmware.bin'",
    ),
    Hostile(
        "a container image with an opaque folder", lambda: OPAQUE, "takes away 'a/firmware.bin'"
    ),
    Hostile(
        "a container image whose firmware became a link",
        lambda: image(WHOLE_TAR, link(b"firmware.bin") + END),
        "a layer above takes away 'firmware.bin'",
    ),
    Hostile(
        "a container image whose firmware became a folder",
        lambda: image(WHOLE_TAR, header(b"firmware.bin/", 0, b"5") + END),
        "a layer above takes away 'firmware.bin'",
    ),
    Hostile(
        "a container image whose layer ends in a file's padding",
        lambda: image(file(b"firmware.bin", PLAIN)[:-1]),
        "tar is cut off",
        9999,
    ),
    Hostile(
        "a container image whose layer ends behind a pax header",
        lambda: image(file(b"firmware.bin", PLAIN) + pax(record(b"path", b"x"))),
        "tar is cut off",
        9999,
    ),
    Hostile(
        "a container image with an empty layer",
        lambda: image(b""),
        "no file at all",
    ),
    Hostile(
        "a container image with two equally near",
        lambda: image(file(b"x") + END, file(b"a/firmware.bin") + file(b"b/firmware.bin") + END),
        "equally near",
        4,
    ),
    Hostile(
        "a container image whose layers together are too much",
        lambda: image(*[file(b"x%d" % at, bytes(4 * MIB)) + END for at in range(5)]),
        "unpacks to more than 16777216 bytes",
    ),
]


@pytest.mark.parametrize("hostile", [pytest.param(row, id=row.name) for row in HOSTILE])
def test_it_is_refused_for_its_own_reason(hostile: Hostile) -> None:
    """The refusal is a verdict, says why, and no more than the limit was written meanwhile."""
    sink = Memory()
    with pytest.raises(Unusable) as refused:
        unpack(hostile.build(), sink=sink)
    assert type(refused.value) is Unusable
    assert hostile.reason in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
    assert sink.most <= hostile.written


def test_what_a_hostile_candidate_is_does_not_matter_once_a_better_one_comes() -> None:
    """An error inside a file that a nearer firmware.bin supersedes does not count."""
    for worse in (gzip.compress(PLAIN)[:-4], nested(4), b"", zeros_in_gzip(8 * MIB)):
        data, _ = unpack(artifact(file(b"a/firmware.bin", worse) + WHOLE_TAR, "firmware.tar"))
        assert data == PLAIN


def test_names_of_strangers_reach_a_message_bounded_and_printable() -> None:
    """No terminal and no log line is at the mercy of a name inside a tar, or of a title."""
    evil = b"\x1b[2J\r\n\xff\xe2\x80\xae" + b"x" * 3000
    tar = b"".join(long_name(evil + b"%d" % at) + file(b"x") for at in range(50)) + END
    with pytest.raises(Unusable) as refused:
        unpack(artifact(tar, "evil\n\x1b[31m.tar", TAR_LAYER))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
    assert "and 45 more" in str(refused.value)
