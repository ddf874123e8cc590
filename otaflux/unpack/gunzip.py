"""gzip, RFC 1952, as a stream: every member, its checksum and length, and nothing behind them.

As gzip(1) does, members follow each other and zero bytes may follow the last; anything else behind
it is an error, where gzip(1) only warns: bytes that nobody accounts for are no firmware's.
"""

from __future__ import annotations

from collections.abc import Generator

from otaflux.errors import Unusable
from otaflux.unpack import deflate
from otaflux.unpack.limits import Budget, Step
from otaflux.unpack.stream import Stream

MAGIC = b"\x1f\x8b\x08"  # ID1, ID2, and the one compression method that there is

_WITH_GZIP_HEADER = 31  # zlib's wbits: a 32 KiB window, and it checks header and trailer
_INPUT = 256 << 10  # bytes given to zlib at once: it copies what it did not use
_OUTPUT = 512 << 10  # bytes taken from zlib at once, whatever the ratio


def gunzip(source: Stream, budget: Budget) -> Generator[bytes, None, None]:
    """What the members of `source` unpack to. Raises `Unusable` saying what is wrong with them."""
    yield from _member(source, budget)
    while start := source.peek(len(MAGIC)):
        if start[0] == 0:
            _expect_zeros(source)
        elif start == MAGIC:
            yield from _member(source, budget)
        else:
            raise Unusable("The gzip data is followed by something else: pack the file again")


def _member(source: Stream, budget: Budget) -> Generator[bytes, None, None]:
    budget.count(Step.MEMBER)
    inflater = deflate.decompressobj(_WITH_GZIP_HEADER)
    data: bytes | memoryview = source.chunk(_INPUT)
    while True:
        try:
            output = inflater.decompress(data, _OUTPUT)
        except deflate.Corrupt as error:
            raise Unusable(f"The gzip data is corrupt ({error}): pack the file again") from None
        if output:
            budget.spend(len(output))
            yield output
        if inflater.eof:
            source.back(len(inflater.unused_data))
            return
        data = inflater.unconsumed_tail
        if not data:
            data = source.chunk(_INPUT)
            if not data:
                raise Unusable("The gzip data is cut off: pack and push the file again")


def _expect_zeros(source: Stream) -> None:
    while piece := source.chunk():
        if piece.tobytes().strip(b"\0"):
            raise Unusable("The gzip data is followed by something else: pack the file again")
