"""One small file out of the top folder of a squashfs, without mounting it. Pure but for `read`.

Source of the format: the kernel's `fs/squashfs/squashfs_fs.h`, version 4.0, all little-endian, and
Documentation/filesystems/squashfs.rst there. Compressed with gzip, xz or zstd; what is compressed
otherwise (lzo, lz4, lzma) is not read. Every number comes from whoever built the image: what is
read and unpacked is bounded, and nothing is followed twice.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator

import msgspec
import zstandard

Read = Callable[[int, int], bytes]  # (how many bytes at most, from where)

MAGIC = b"hsqs"
_SUPER = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_MAJOR = 4
_GZIP, _XZ, _ZSTD = 1, 4, 6
_BLOCK = 8192  # bytes of a block of metadata, unpacked
_IS_PLAIN = 0x8000  # of a block of metadata: it is not compressed
_IS_PLAIN_DATA = 1 << 24  # of a block of data
_LEAST_BLOCK, _MAX_BLOCK = 4096, 1 << 20
_MAX_MEMORY = 8 << 20  # bytes that unpacking a block may take
_MAX_FOLDER = 64 << 10  # bytes of the top folder's listing
MAX_FILE = 64 << 10  # bytes of the file
_NO_FRAGMENT = 0xFFFF_FFFF
_NOT_STORED = (1 << 64) - 1
_FOLDER, _FILE, _LONG_FOLDER, _LONG_FILE = 1, 2, 8, 9
_SMALL_FILE = 2  # as a listing calls both kinds of file


class Unreadable(ValueError):
    """It is no squashfs, a damaged one, or packed in a way that is not read here."""


class _Super(msgspec.Struct, frozen=True):
    block_size: int
    compression: int
    root: int
    bytes_used: int
    inodes: int
    folders: int
    fragments: int


def bytes_used(head: bytes) -> int | None:
    """How long the squashfs is that a file begins with; None where it begins with none."""
    try:
        return _super(head).bytes_used
    except Unreadable:
        return None


def file_in(read: Read, name: str) -> bytes:
    """The file of that name in the top folder; raises `Unreadable` and what `read` raises."""
    try:
        return _Tree(read).file(name.encode())
    except (struct.error, IndexError, OverflowError) as error:
        raise Unreadable(f"it is damaged: {error}") from error


def _super(head: bytes) -> _Super:
    if len(head) < _SUPER.size:
        raise Unreadable("it is too short")
    (
        magic, _, _, block_size, _, compression, _, _, _, major, _,
        root, used, _, _, inodes, folders, fragments, _,
    ) = _SUPER.unpack_from(head)  # fmt: skip
    if magic != MAGIC or major != _MAJOR or not _LEAST_BLOCK <= block_size <= _MAX_BLOCK:
        raise Unreadable("it is no squashfs 4.0")
    return _Super(block_size, compression, root, used, inodes, folders, fragments)


class _Tree:
    def __init__(self, read: Read) -> None:
        self._read = read
        self._super = _super(read(_SUPER.size, 0))

    def file(self, name: bytes) -> bytes:
        root = self._metadata(self._super.inodes, self._super.root >> 16)
        folder = root.skip(self._super.root & 0xFFFF)
        kind = folder.unpack("<H14x")[0]
        if kind == _FOLDER:
            start, _, size, offset, _ = folder.unpack("<IIHHI")
        elif kind == _LONG_FOLDER:
            _, size, start, _, _, offset, _ = folder.unpack("<IIIIHHI")
        else:
            raise Unreadable("its top is no folder")
        for found, block, at in self._listing(start, offset, size - 3):
            if found == name:
                return self._content(self._metadata(self._super.inodes, block).skip(at))
        raise Unreadable("it has no such file")

    def _listing(self, start: int, offset: int, size: int) -> Iterator[tuple[bytes, int, int]]:
        """The files of a folder: name, and where the inode lies."""
        if size > _MAX_FOLDER:
            raise Unreadable("its top folder is too large")
        listing = self._metadata(self._super.folders, start).skip(offset)
        left = size
        while left > 0:
            count, block, _ = listing.unpack("<III")
            left -= 12
            for _ in range(count + 1):
                at, _, kind, length = listing.unpack("<HhHH")
                name = listing.take(length + 1)
                left -= 8 + len(name)
                if left < 0:
                    raise Unreadable("its top folder is damaged")
                if kind == _SMALL_FILE:
                    yield name, block, at

    def _content(self, inode: _Metadata) -> bytes:
        kind = inode.unpack("<H14x")[0]
        if kind == _FILE:
            start, fragment, offset, size = inode.unpack("<IIII")
        elif kind == _LONG_FILE:
            start, size, _, _, fragment, offset, _ = inode.unpack("<QQQIIII")
        else:
            raise Unreadable("it is no regular file")
        if size > MAX_FILE:
            raise Unreadable("the file is too large")
        whole, rest = divmod(size, self._super.block_size)
        if fragment == _NO_FRAGMENT and rest:
            whole, rest = whole + 1, 0
        content = b""
        for length in [inode.unpack("<I")[0] for _ in range(whole)]:
            content += self._data(start, length)
            start += length & (_IS_PLAIN_DATA - 1)
        if rest:
            content += self._fragment(fragment)[offset : offset + rest]
        if len(content) != size:
            raise Unreadable("the file is cut short")
        return content

    def _fragment(self, number: int) -> bytes:
        """A block that holds the ends of several files."""
        if self._super.fragments == _NOT_STORED:
            raise Unreadable("it has no fragments")
        index = self._super.fragments + 8 * (number // (_BLOCK // 16))
        (at,) = struct.unpack("<Q", self._read(8, index))
        entry = _Metadata(self._blocks(at)).skip(16 * (number % (_BLOCK // 16)))
        start, length, _ = entry.unpack("<QII")
        return self._data(start, length)

    def _data(self, start: int, length: int) -> bytes:
        size = length & (_IS_PLAIN_DATA - 1)
        if size > self._super.block_size:
            raise Unreadable("a block is too large")
        if not size:
            return bytes(self._super.block_size)
        packed = self._read(size, start)
        return packed if length & _IS_PLAIN_DATA else self._unpacked(packed, self._super.block_size)

    def _metadata(self, table: int, block: int) -> _Metadata:
        return _Metadata(self._blocks(table + block))

    def _blocks(self, at: int) -> Iterator[bytes]:
        """Blocks of metadata, one after the other."""
        for _ in range(2 + _MAX_FOLDER // _BLOCK):
            (header,) = struct.unpack("<H", self._read(2, at))
            size = header & ~_IS_PLAIN
            if not 0 < size <= _BLOCK:
                raise Unreadable("a block of metadata is damaged")
            packed = self._read(size, at + 2)
            yield packed if header & _IS_PLAIN else self._unpacked(packed, _BLOCK)
            at += 2 + size

    def _unpacked(self, packed: bytes, most: int) -> bytes:
        """A block unpacked, which has at most so many bytes."""
        try:
            if self._super.compression == _GZIP:
                return zlib.decompressobj().decompress(packed, most)
            if self._super.compression == _XZ:
                xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_MEMORY)
                return xz.decompress(packed, most)
            if self._super.compression == _ZSTD:
                zstd = zstandard.ZstdDecompressor(max_window_size=_MAX_MEMORY)
                return zstd.stream_reader(packed).read(most)
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise Unreadable(f"a block is damaged: {error}") from error
        raise Unreadable(f"its compression {self._super.compression} is not read here")


class _Metadata:
    """Bytes of metadata, read on over the ends of blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._bytes = b""

    def skip(self, count: int) -> _Metadata:
        """Pass over bytes of the first block."""
        self.take(count)
        return self

    def take(self, count: int) -> bytes:
        """The next bytes; raises `Unreadable` where there are no more."""
        while len(self._bytes) < count:
            block = next(self._blocks, b"")
            if not block:
                raise Unreadable("its metadata is cut short")
            self._bytes += block
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def unpack(self, form: str) -> tuple[int, ...]:
        """The next numbers."""
        return struct.unpack(form, self.take(struct.calcsize(form)))
