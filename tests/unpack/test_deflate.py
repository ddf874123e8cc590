"""What unpacks gzip takes and refuses what Python's own zlib does, byte for byte."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from otaflux.unpack import deflate

GZIP = 31  # wbits


def _inflated(inflater: object, error: type[Exception], data: bytes) -> tuple[bytes, bool, bytes]:
    try:
        out = inflater.decompress(data)  # type: ignore[attr-defined]
    except error:
        return b"refused", False, b""
    return out, inflater.eof, inflater.unused_data  # type: ignore[attr-defined]


@given(
    st.binary(max_size=300),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3),
    st.integers(0, 400),
    st.integers(0, 9),
)
def test_whole_damaged_and_cut_gzip(
    content: bytes, flips: list[tuple[int, int]], cut: int, level: int
) -> None:
    """The same bytes come out, the same are refused, and both see the same end."""
    data = bytearray(gzip.compress(content, level))
    for at, mask in flips:
        data[at % len(data)] ^= mask
    given_bytes = bytes(data[: len(data) - cut % 20])
    own = _inflated(zlib.decompressobj(GZIP), zlib.error, given_bytes)
    ours = _inflated(deflate.decompressobj(GZIP), deflate.Corrupt, given_bytes)
    assert own[1] == ours[1]  # whole, or not
    if own[1]:
        assert own == ours
    assert deflate.crc32(given_bytes) == zlib.crc32(given_bytes)
