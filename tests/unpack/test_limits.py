"""Limits hold to the byte, threads end, and a long window is one at a time."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from extracting import (
    LIMITS,
    MIB,
    Blob,
    Memory,
    artifact,
    describe,
    digest_of,
    image,
    unpack,
)
from hypothesis import given
from hypothesis import strategies as st
from packings.firmware import FIRMWARE
from tar_bytes import END, file

from otaflux.errors import Undecided, Unusable
from otaflux.unpack.choose import plan
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.limits import Limits, LongWindows, Step
from otaflux.unpack.sums import SumsOf


def test_a_firmware_may_be_as_large_as_the_limit_and_no_larger() -> None:
    """To the byte, packed or not, as it is or out of a tar."""
    limits = Limits(len(FIRMWARE), 4 * len(FIRMWARE))
    for pack in (bytes, gzip.compress, lambda data: file(b"firmware.bin", data) + END):
        assert unpack(artifact(pack(FIRMWARE), ""), limits=limits)[0] == FIRMWARE
        with pytest.raises(Unusable, match=f"larger than {len(FIRMWARE)} bytes"):
            unpack(artifact(pack(FIRMWARE + b"x"), ""), limits=limits)


def test_all_that_is_unpacked_counts_layers_together() -> None:
    """To the byte: what comes out of each packing, in every layer that was read."""
    below = file(b"firmware.bin", b"x" * 1000) + END
    above = file(b"other", b"y" * 2000) + END
    total = len(below) + len(above)
    for layers in ((below, above), (below, gzip.compress(above)), (gzip.compress(below), above)):
        assert unpack(image(*layers), limits=Limits(1000, total))[0] == b"x" * 1000
        with pytest.raises(Unusable, match="unpacks to more than"):
            unpack(image(*layers), limits=Limits(1000, total - 1))


def test_a_packing_counts_each_time_it_is_unpacked() -> None:
    """A gzip in zstd in gzip: three times the bytes came out."""
    once = gzip.compress(bytes(10_000))
    twice = zstandard.ZstdCompressor().compress(once)
    total = len(twice) + len(once) + 10_000
    packed = artifact(gzip.compress(twice))
    assert unpack(packed, limits=Limits(10_000, total))[0] == bytes(10_000)
    with pytest.raises(Unusable, match="unpacks to more than"):
        unpack(packed, limits=Limits(10_000, total - 1))


@given(st.lists(st.integers(1, 3 * MIB), max_size=4))
def test_sums_are_those_of_the_whole(sizes: list[int]) -> None:
    """However many pieces; of large ones two are left for later."""
    data = (FIRMWARE * 20)[: sum(sizes)]
    running = SumsOf(at_once=6 * MIB)
    at = 0
    for size in sizes:
        if piece := data[at : at + size]:
            running.add(memoryview(piece))
        at += size
    sums = running.sums()
    assert sums.size == len(data)
    assert sums.crc32 == zlib.crc32(data)
    is_small = len(data) <= 6 * MIB
    assert sums.md5 == (hashlib.md5(data).hexdigest() if is_small else None)
    assert sums.sha1 == (hashlib.sha1(data).hexdigest() if is_small else None)
    assert sums.sha256 == hashlib.sha256(data).hexdigest()


def test_no_thread_is_left_behind_by_success_or_failure() -> None:
    """Whatever breaks in the middle of a large file."""
    large = FIRMWARE * 5
    before = threading.active_count()
    unpack(artifact(large))
    failing = [
        (Blob(large, failure=Undecided("cut")), Memory()),
        (Blob(large), Memory(Undecided("disk full"))),
    ]
    for blob, sink in failing:
        planned = plan(artifact(large).manifest)
        with pytest.raises(Undecided):
            Extraction(planned, sink, Limits(8 * MIB, 8 * MIB)).layer(planned.layers[0], blob)
    assert threading.active_count() == before


def test_a_lack_of_memory_is_no_verdict() -> None:
    """Another time there may be enough."""
    planned = plan(artifact(FIRMWARE).manifest)
    with pytest.raises(Undecided, match="not enough memory"):
        Extraction(planned, Memory(MemoryError()), LIMITS).layer(planned.layers[0], Blob(FIRMWARE))


def test_a_sink_hears_of_a_better_candidate() -> None:
    """What was written for the worse one is thrown away, and once only."""
    sink = Memory()
    tar = file(b"a/b/firmware.bin", b"1") + file(b"c/firmware.bin", FIRMWARE)
    tar += file(b"a", b"no") + file(b"firmware.bin", FIRMWARE[:-1]) + file(b"d/firmware.bin", b"4")
    assert unpack(artifact(tar + END, "f.tar"), sink=sink)[0] == FIRMWARE[:-1]
    assert sink.restarts == 2


def in_a_long_window(path: Path) -> bytes:
    """A frame with a window of 128 MiB, from zstd itself, which is not told the size."""
    with path.open("rb") as data:
        return subprocess.run(
            ["zstd", "-q", "--long=27", "-c"], stdin=data, capture_output=True, check=True
        ).stdout


@pytest.fixture(scope="module")
def long_window(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The firmware in such a frame."""
    path = tmp_path_factory.mktemp("long") / "firmware.bin"
    path.write_bytes(FIRMWARE)
    return in_a_long_window(path)


class Paused:
    """A reader that waits in the middle until it may go on."""

    def __init__(self, data: bytes) -> None:
        self._pieces = iter([data[:200_000], data[200_000:], b""])
        self._count = 0
        self.is_waiting = threading.Event()
        self.go_on = threading.Event()

    def read(self) -> bytes:
        """The next piece."""
        self._count += 1
        if self._count == 2:
            self.is_waiting.set()
            assert self.go_on.wait(30)
        return next(self._pieces)


def extraction(data: bytes, windows: LongWindows, limits: Limits = LIMITS) -> Extraction:
    """An extraction of one file, with a place for long windows of its own."""
    return Extraction(plan(artifact(data).manifest), Memory(), limits, long_windows=windows)


@pytest.fixture
def windows() -> LongWindows:
    """A place for long windows."""
    return LongWindows(wait=30)


@pytest.fixture
def holder(long_window: bytes, windows: LongWindows) -> Iterator[Paused]:
    """A stream with a long window that is being unpacked meanwhile."""
    paused = Paused(long_window)
    run = extraction(long_window, windows)
    thread = threading.Thread(target=run.layer, args=(describe(long_window), paused))
    thread.start()
    assert paused.is_waiting.wait(30)
    yield paused
    paused.go_on.set()
    thread.join()


@pytest.mark.real("zstd")
def test_long_windows_are_one_at_a_time(
    holder: Paused, long_window: bytes, windows: LongWindows
) -> None:
    """A second waits until the first is done; short windows do not."""
    short = zstandard.ZstdCompressor().compress(FIRMWARE)
    assert extraction(short, windows).layer(describe(short), Blob(short))
    assert windows.is_taken
    second = extraction(long_window, windows)
    threading.Timer(0.05, holder.go_on.set).start()
    assert second.layer(describe(long_window), Blob(long_window))
    assert holder.go_on.is_set(), "the second did not wait"
    assert second.finish().firmware_digest == digest_of(FIRMWARE)
    assert not windows.is_taken


@pytest.mark.parametrize("descriptor", [13 << 3 | 1, 17 << 3])
def test_frames_that_each_ask_for_a_long_window_are_few(
    descriptor: int, windows: LongWindows
) -> None:
    """Each takes time besides its bytes, so a hundred thousand in half a megabyte are refused."""
    last_block = (1 | 1 << 3).to_bytes(3, "little") + b"x"
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, descriptor]) + last_block
    few, many = frame * Step.LONG_WINDOW.most, frame * (Step.LONG_WINDOW.most + 1)
    limits = Limits(MIB, 4 * MIB)
    assert extraction(few, windows, limits).layer(describe(few), Blob(few))
    with pytest.raises(Unusable, match="zstd frames with windows above 8 MiB"):
        extraction(many, windows, limits).layer(describe(many), Blob(many))


@pytest.mark.real("zstd")
def test_who_waits_too_long_for_a_long_window_learnt_nothing(long_window: bytes) -> None:
    """A slow download of one firmware is no verdict on another."""
    windows = LongWindows(wait=0.01)
    run = extraction(long_window, windows)
    with windows.place(), pytest.raises(Undecided, match="long zstd window"):
        run.layer(describe(long_window), Blob(long_window))
    assert extraction(long_window, windows).layer(describe(long_window), Blob(long_window))


@pytest.mark.real("zstd")
def test_long_windows_inside_each_other_are_refused(
    long_window: bytes, windows: LongWindows, tmp_path: Path
) -> None:
    """Their memory would add up; and whoever was refused left the place free."""
    (tmp_path / "inner").write_bytes(long_window)
    outer = in_a_long_window(tmp_path / "inner")
    with pytest.raises(Unusable, match="long windows inside each other"):
        extraction(outer, windows).layer(describe(outer), Blob(outer))
    assert not windows.is_taken


@pytest.mark.real("zstd")
def test_a_failure_frees_the_place_for_long_windows(
    long_window: bytes, windows: LongWindows
) -> None:
    """Also while somebody keeps the error, and with it what was going on."""
    run = extraction(long_window, windows, Limits(1000, MIB))
    with pytest.raises(Unusable, match="larger than 1000 bytes") as kept:
        run.layer(describe(long_window), Blob(long_window))
    assert kept.value.__traceback__ is not None
    assert not windows.is_taken
