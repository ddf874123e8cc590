"""Any bytes as layers: a file or a verdict comes out, the same however the reader cuts them.

The first two bytes of an input say how the rest is pushed. To get past checksums, which no fuzzer
guesses, tar headers in it can be given the right one, and it can be packed whole.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["otaflux"]):
    import zstandard

    from otaflux.errors import Unusable
    from otaflux.model.artifact import TITLE, Descriptor, Digest
    from otaflux.unpack.choose import Plan
    from otaflux.unpack.extraction import Extraction
    from otaflux.unpack.limits import Limits

LIMITS = Limits(64 << 10, 256 << 10)
TITLES = ("", "firmware.bin", "firmware.bin.gz", "firmware.tar", "firmware.tar.zst", "app.tgz")
TYPES = ("application/octet-stream", "application/vnd.oci.image.layer.v1.tar+gzip")
PATHS = ("", "", "", "out/app.img")
DIGEST = Digest("sha256", "0" * 64)


class Blob:
    """A reader of pieces of that size."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = data
        self._step = step
        self._at = 0

    def read(self) -> bytes:
        """The next piece."""
        self._at += self._step
        return self._data[self._at - self._step : self._at]


class Memory:
    """A sink that minds the limit."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self.data += data
        assert len(self.data) <= LIMITS.max_firmware

    def restart(self) -> None:
        """Throw away."""
        self.data.clear()


def mended(data: bytes) -> bytes:
    """The data with the right checksum in each block that says it is a tar header."""
    blocks = [bytearray(data[at : at + 512]) for at in range(0, len(data), 512)]
    for block in blocks:
        if len(block) == 512 and block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


def outcome(layers: list[tuple[Descriptor, bytes]], plan: Plan, step: int) -> str:
    """What comes out, as text to compare."""
    sink = Memory()
    extraction = Extraction(plan, sink, LIMITS)
    try:
        for descriptor, data in layers:
            if extraction.layer(descriptor, Blob(data, step)):
                break
        firmware = extraction.finish()
    except Unusable as refused:
        message = str(refused)
        assert message.isprintable()
        assert len(message) < 2000
        return message
    assert firmware.sums.size == len(sink.data) > 0
    return repr((firmware, bytes(sink.data)))


def test_one_input(data: bytes) -> None:
    """Push it in the way that its first bytes say."""
    if len(data) < 2:
        return
    how, what, rest = data[0], data[1], data[2:]
    if how & 1:
        rest = mended(rest)
    parts = [rest[: len(rest) // 2 // 512 * 512], rest[len(rest) // 2 // 512 * 512 :]]
    parts = parts if how & 2 else [rest]
    if how & 4:
        parts = [zstandard.ZstdCompressor().compress(part) for part in parts]
    if how & 8:
        parts = [gzip.compress(part, 1, mtime=0) for part in parts]
    is_image = bool(how & 16)
    notes = {TITLE: TITLES[what % len(TITLES)]} if not is_image else {}
    layers = [
        (Descriptor(TYPES[how >> 5 & 1], DIGEST, len(part), notes), part)
        for part in (parts if is_image else parts[-1:])
    ]
    path = PATHS[what >> 4 & 3]
    plan = Plan(tuple(layer for layer, _ in layers), path, not what & 128, is_image)
    assert outcome(layers, plan, 1 << 20) == outcome(layers, plan, 1 + what)


def seeds() -> list[bytes]:
    """A few inputs to begin with: the packings, and a tar with most of what tars have."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("out/app.img", "größe/" * 20 + "firmware.bin", "a/.wh.firmware.bin"):
            info = tarfile.TarInfo(name)
            info.size = 5
            archive.addfile(info, io.BytesIO(b"hello"))
        info.type, info.linkname = tarfile.SYMTYPE, "x" * 200
        archive.addfile(info)
    pax = into.getvalue()
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("x" * 150 + "/firmware.bin")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    frame = zstandard.ZstdCompressor().compress(b"hello" * 99)
    plain = [pax, into.getvalue(), gzip.compress(b"hello" * 99, mtime=0), frame, b"\xe9" * 300]
    plain.append(b"\x50\x2a\x4d\x18\3\0\0\0abc" + frame * 2)
    return [
        bytes([how, what]) + data for data in plain for how in (0, 1, 9, 13, 19) for what in (0, 51)
    ]


def main() -> None:
    """Begin with the seeds, then let the fuzzer work."""
    for argument in sys.argv[1:]:
        if Path(argument).is_dir():
            for number, seed in enumerate(seeds()):
                (Path(argument) / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
