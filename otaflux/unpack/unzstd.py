"""zstd, RFC 8878, as a stream: every frame, skippable ones passed over, and nothing behind them.

The frames and their blocks are walked here, and only their content is left to the library. That
costs three bytes read for each block, and gives what the library does not: a frame that is cut off
is noticed, a window is judged before memory is taken for it, and the library never gets more input
than unpacks to `_BLOCKS_AT_ONCE` blocks, for it gives back all output of a piece of input at once
and four bytes of input may be 128 KiB of zeros.

Trust: every length comes from a stranger. Concurrency: a frame with a long window waits for the
one place for those (see `otaflux.unpack.limits`).
"""

from __future__ import annotations

from collections.abc import Generator

import msgspec
import zstandard

from otaflux.errors import Undecided, Unusable
from otaflux.unpack.limits import LONG_WINDOW, Budget, Step
from otaflux.unpack.stream import Stream

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = frozenset(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))

MAX_WINDOW = 128 << 20  # bytes; what zstd(1) takes at most with --long=27

_MAX_BLOCK = 128 << 10  # bytes, section 3.1.1.2.4
_BLOCKS_AT_ONCE = 4
_RAW, _RLE, _COMPRESSED, _RESERVED = range(4)


class _Header(msgspec.Struct, frozen=True):
    """A frame header: its bytes, the window in bytes, whether a checksum ends the frame."""

    raw: bytes
    window: int
    has_checksum: bool


def unzstd(source: Stream, budget: Budget) -> Generator[bytes, None, None]:
    """What the frames of `source` unpack to. Raises `Unusable` saying what is wrong with them.

    Raises `Undecided` where other streams hold the place for long windows for too long.
    """
    usual = zstandard.ZstdDecompressor(max_window_size=LONG_WINDOW)
    while start := source.take(len(MAGIC)):
        budget.count(Step.MEMBER)
        if start in SKIPPABLE:
            size = int.from_bytes(_exactly(source, 4), "little")
            if source.skip(size) < size:
                raise _cut_off()
        elif start == MAGIC:
            header = _header(source)
            budget.on_window(header.window)
            if header.window <= LONG_WINDOW:
                yield from _frame(source, header, usual.decompressobj(), budget)
            else:
                budget.count(Step.LONG_WINDOW)  # each takes and gives back its memory
                with budget.long_window():
                    once = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
                    yield from _frame(source, header, once.decompressobj(), budget)
                    del once  # and its window, before the place is free
        elif MAGIC.startswith(start) or any(magic.startswith(start) for magic in SKIPPABLE):
            raise _cut_off()
        else:
            raise Unusable("The zstd data is followed by something else: pack the file again")


def _frame(
    source: Stream, header: _Header, inflater: zstandard.ZstdDecompressionObj, budget: Budget
) -> Generator[bytes, None, None]:
    pending = [header.raw]
    is_last = False
    while not is_last:
        for _ in range(_BLOCKS_AT_ONCE):
            budget.count(Step.BLOCK)
            is_last, block = _block(source)
            pending += block
            if is_last:
                break
        if is_last and header.has_checksum:
            pending.append(_exactly(source, 4))
        output = _inflate(inflater, b"".join(pending))
        pending.clear()
        if output:
            budget.spend(len(output))
            yield output
    if not inflater.eof:
        raise Unusable("The zstd data is corrupt (a frame does not end where it says)")


def _inflate(inflater: zstandard.ZstdDecompressionObj, data: bytes) -> bytes:
    try:
        return inflater.decompress(data)
    except zstandard.ZstdError as error:
        if "not enough memory" in str(error):
            raise Undecided("There is not enough memory for a zstd window now") from None
        raise Unusable(f"The zstd data is corrupt ({error}): pack the file again") from None


def _block(source: Stream) -> tuple[bool, tuple[bytes, bytes]]:
    """A block's header and content, and whether it is the frame's last (section 3.1.1.2)."""
    header = _exactly(source, 3)
    fields = int.from_bytes(header, "little")
    kind, size = fields >> 1 & 3, fields >> 3
    if kind == _RESERVED or (kind != _RLE and size > _MAX_BLOCK):
        raise Unusable("The zstd data is corrupt (an impossible block): pack the file again")
    return bool(fields & 1), (header, _exactly(source, 1 if kind == _RLE else size))


def _header(source: Stream) -> _Header:
    """Read a frame's header behind its magic (section 3.1.1.1), and judge it."""
    descriptor = _exactly(source, 1)
    flags = descriptor[0]
    is_single_segment = bool(flags & 0x20)
    window_size = 0 if is_single_segment else 1
    dictionary_size = (0, 1, 2, 4)[flags & 3]
    content_size = (1 if is_single_segment else 0, 2, 4, 8)[flags >> 6]
    fields = _exactly(source, window_size + dictionary_size + content_size)
    if any(fields[window_size : window_size + dictionary_size]):
        raise Unusable("The zstd data needs a dictionary: pack the file without one")
    if is_single_segment:  # the window is the whole content, give or take 256 bytes
        window = int.from_bytes(fields[dictionary_size:], "little")
    else:
        exponent, mantissa = fields[0] >> 3, fields[0] & 7
        window = (1 << 10 + exponent) // 8 * (8 + mantissa)
    if window > MAX_WINDOW:
        raise Unusable(
            f"The zstd data asks for a window of {window} bytes, above {MAX_WINDOW}: pack the file"
            " with --long=27 or less"
        )
    return _Header(MAGIC + descriptor + fields, window, bool(flags & 4))


def _exactly(source: Stream, count: int) -> bytes:
    taken = source.take(count)
    if len(taken) < count:
        raise _cut_off()
    return taken


def _cut_off() -> Unusable:
    return Unusable("The zstd data is cut off: pack and push the file again")
