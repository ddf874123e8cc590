"""tar, as a stream of entries: ustar, GNU and pax headers, and the forms before them.

Nothing is ever extracted to a path: an entry is a name to compare, a kind, and bytes to read. What
could make two readers disagree about an archive is refused, not guessed: checksums, sizes, pax
records, what lies behind the end.

An archive ends with a block of zeros. One that ends without any is taken for cut off, where GNU tar
says nothing and would not notice that it was cut between two files. Layers of container images are
let off: umoci writes them so, and their digest is in the image. (The second block of zeros that
POSIX asks for holds nothing, so it may always be missing.)

Sources of the formats: POSIX.1-2017 `pax` ("ustar Interchange Format", "pax Header Block"), the GNU
tar manual ("Basic Tar Format", "Extensions"), libarchive's tar(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from otaflux.errors import Unusable
from otaflux.unpack.limits import Budget, Step
from otaflux.unpack.stream import MAX_CHUNK, Stream
from otaflux.wording import quoted

BLOCK = 512
MAX_NAME = 4096  # bytes of a name, as Linux has it
MAX_DEPTH = 128  # directories above an entry
MAX_PAX = 64 << 10  # bytes of one pax header: extended attributes may fill some of it

_MAGIC = b"ustar"  # at 257; POSIX and GNU differ behind it
_POSIX = b"ustar\0"
_ZEROS = bytes(BLOCK)
_CHECKSUM = slice(148, 156)
_SIZE = slice(124, 136)
_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[0-9]{1,20}")


class Kind(Enum):
    """What an entry is, as far as firmware goes."""

    FILE = auto()
    DIRECTORY = auto()
    LINK = auto()
    OTHER = auto()  # devices, pipes, and what only one tar knows


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,  # "contiguous", which nobody makes special
    b"1": Kind.LINK,
    b"2": Kind.LINK,
    b"3": Kind.OTHER,
    b"4": Kind.OTHER,
    b"5": Kind.DIRECTORY,
    b"6": Kind.OTHER,
}
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})  # whatever their size says


@dataclass(slots=True)
class Entry:
    """One entry; `name` as it was written, `path` its parts without `.` and empty ones.

    `path` is None for a name that leads out of where it begins: an absolute one, or one with `..`.
    """

    name: bytes
    path: tuple[bytes, ...] | None
    kind: Kind
    size: int
    _source: Stream
    _left: int = 0

    def open(self) -> Stream:
        """The entry's bytes, until the next entry is asked for."""
        return Stream(self._more)

    def _more(self) -> memoryview:
        if not self._left:
            return memoryview(b"")
        piece = self._source.chunk(min(self._left, MAX_CHUNK))
        if not piece:
            raise _cut_off()
        self._left -= len(piece)
        return piece

    def skip(self, *, may_just_end: bool) -> None:
        """Read past what is left of the entry, and past its padding."""
        padding = -self.size % BLOCK
        if self._source.skip(self._left) < self._left:
            raise _cut_off()
        self._left = 0
        skipped = self._source.skip(padding)
        if skipped < padding and (skipped or not may_just_end):
            raise _cut_off()


def entries(source: Stream, budget: Budget, *, may_just_end: bool = False) -> Iterator[Entry]:
    """The entries of an archive, read to its end. Raises `Unusable` saying what is wrong with it.

    What of an entry's bytes was not read is passed over when the next one is asked for. With
    `may_just_end` the archive may end behind an entry's last byte, without any of the zeros that
    should come then.
    """
    everywhere: dict[str, bytes] = {}  # what pax's global headers say
    extensions: dict[str, bytes] = {}  # what headers in front of an entry say of it
    while True:
        header = source.take(BLOCK)
        if not header and may_just_end and not extensions:
            return
        if len(header) < BLOCK:
            raise _cut_off()
        if header == _ZEROS:
            _expect_zeros(source)
            return
        budget.count(Step.ENTRY)
        _check(header)
        flag = header[156:157]
        if flag in {b"x", b"X"}:
            extensions |= _records(_extension(source, header, MAX_PAX), budget)
        elif flag == b"g":
            everywhere |= _records(_extension(source, header, MAX_PAX), budget)
        elif flag == b"L":
            extensions.setdefault("path", _extension(source, header, MAX_NAME + 1).split(b"\0")[0])
        elif flag == b"K":
            _extension(source, header, MAX_NAME + 1)
        else:
            entry = _entry(source, header, flag, {**everywhere, **extensions})
            extensions = {}
            yield entry
            entry.skip(may_just_end=may_just_end)


def is_header(head: bytes) -> bool:
    """Whether `head`, a file's first block, begins a tar."""
    if head[257:262] == _MAGIC:
        return True
    return len(head) >= BLOCK and head[0] != 0 and _checksum_holds(head[:BLOCK])


def _entry(source: Stream, header: bytes, flag: bytes, said: dict[str, bytes]) -> Entry:
    name = said.get("path") or _name(header)
    if flag == b"S" or "sparse" in said:
        raise Unusable(f"The tar holds the sparse file {quoted(name)}: pack it without --sparse")
    if flag == b"M":
        raise Unusable("The tar is one volume of several: pack it whole")
    if len(name) > MAX_NAME or name.count(b"/") > MAX_DEPTH:
        raise Unusable(f"The tar holds a name that is too long or too deep: {quoted(name)}")
    if b"\0" in name:
        raise Unusable(f"The tar holds a name with a zero byte in it: {quoted(name)}")
    kind = _KINDS.get(flag, Kind.OTHER)
    if kind is Kind.FILE and name.endswith(b"/"):
        kind = Kind.DIRECTORY  # as tars before POSIX have it
    size = 0
    if flag not in _WITHOUT_DATA:
        size = _pax_number(said["size"]) if said.get("size") else _number(header[_SIZE])
    return Entry(name, _path(name), kind, size, source, size)


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == _POSIX and header[345]:
        return header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _path(name: bytes) -> tuple[bytes, ...] | None:
    if b"/" not in name and name not in {b"", b".", b".."}:
        return (name,)
    parts = tuple(part for part in name.split(b"/") if part not in {b"", b"."})
    return None if name.startswith(b"/") or b".." in parts else parts


def _check(header: bytes) -> None:
    if not _checksum_holds(header):
        raise Unusable("The tar is corrupt (a header's checksum is wrong): pack and push it again")


def _checksum_holds(header: bytes) -> bool:
    """Over the header with spaces for the checksum; old tars summed signed bytes."""
    field = header[_CHECKSUM].split(b"\0", 1)[0].strip()
    if not _OCTAL.fullmatch(field):
        return False
    written = int(field, 8)
    real = sum(header) - sum(header[_CHECKSUM]) + 8 * 0x20
    if real == written:
        return True
    rest = header[: _CHECKSUM.start] + header[_CHECKSUM.stop :]
    return real - 256 * sum(byte > 127 for byte in rest) == written  # noqa: PLR2004 (a byte's sign)


def _number(field: bytes) -> int:
    """A size: octal digits, or GNU's base 256 where the first bit is set."""
    if field[0] == 0x80:  # noqa: PLR2004 (a positive number in base 256; 0xff begins a negative one)
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if digits and not _OCTAL.fullmatch(digits):
        raise Unusable("The tar is corrupt (a size is no number): pack and push it again")
    return int(digits or b"0", 8)


def _pax_number(field: bytes) -> int:
    if not _DECIMAL.fullmatch(field):
        raise Unusable("The tar is corrupt (a size is no number): pack and push it again")
    return int(field)


def _extension(source: Stream, header: bytes, at_most: int) -> bytes:
    """The bytes of an entry that says something of the next one."""
    size = _number(header[_SIZE])
    if size > at_most:
        raise Unusable(f"The tar holds a header of {size} bytes: names and attributes are shorter")
    padded = size + -size % BLOCK
    data = source.take(padded)
    if len(data) < padded:
        raise _cut_off()
    return data[:size]


def _records(data: bytes, budget: Budget) -> dict[str, bytes]:
    """Read pax records, each `length keyword=value` and a newline; only those that matter stay."""
    kept: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        budget.count(Step.RECORD)
        digits = data[at : at + 8].split(b" ", 1)[0]
        end = at + int(digits) if digits.isdigit() else at
        keyword, equals, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        if end > len(data) or not equals or data[end - 1 : end] != b"\n":
            raise Unusable("The tar is corrupt (a pax record is malformed): pack and push it again")
        if keyword in {b"path", b"size"}:
            kept[keyword.decode()] = value
        elif keyword.startswith(b"GNU.sparse."):
            kept["sparse"] = value
        at = end
    return kept


def _expect_zeros(source: Stream) -> None:
    while piece := source.chunk():
        if piece.tobytes().strip(b"\0"):
            raise Unusable("The tar is followed by something else: pack and push it again")


def _cut_off() -> Unusable:
    return Unusable("The tar is cut off: pack and push it again")
