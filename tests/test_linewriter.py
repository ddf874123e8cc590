"""Lines that nobody takes are dropped and counted; who writes them neither waits nor fails."""

from __future__ import annotations

import fcntl
import os
import re
import select
import threading
import time
from pathlib import Path

import pytest

from otaflux.linewriter import LineWriter


def writer(descriptor: int | None, max_queued: int = 10_000) -> LineWriter:
    """One that says how many were lost."""
    return LineWriter(descriptor, lost=lambda count: f"lost {count}", max_queued=max_queued)


def test_lines_are_written_in_their_order_as_utf_8(tmp_path: Path) -> None:
    """Whatever is in them; half a character of a file's name is escaped."""
    with (tmp_path / "log").open("wb") as file:
        lines = writer(file.fileno())
        for number in range(100):
            lines.write(f"lämp {number} \udcff")
        lines.close(10)
    written = (tmp_path / "log").read_text("utf-8").splitlines()
    assert written == [f"lämp {number} \\udcff" for number in range(100)]


def test_who_logs_does_not_fail_where_no_thread_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line counts as lost, and the next one tries again."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with (tmp_path / "log").open("wb") as file:
        lines = writer(file.fileno())
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", refused)
            lines.write("first")
        lines.write("second")
        lines.close(10)
    assert (tmp_path / "log").read_text("utf-8") == "second\nlost 1\n"


def _whole(got: bytes) -> int:
    """How many of the lines came."""
    return sum(line.endswith(b"x" * 95) for line in got.split(b"\n")[:-1])


def _lost(got: bytes) -> int:
    """How many were said to be lost."""
    return sum(int(count) for count in re.findall(rb"lost (\d+)\n", got))


@pytest.mark.parametrize("blocks", [True, False])
def test_a_pipe_that_nobody_reads_keeps_nobody_waiting(blocks: bool) -> None:
    """What finds no room is dropped; once it is read, lines say how many were lost."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocks)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    lines = writer(writing)
    for number in range(1000):
        lines.write(f"{number:04} " + "x" * 95)
    assert 0 < lines.dropped < 1000
    got = b""
    deadline = time.monotonic() + 10
    while _whole(got) + _lost(got) < 1000 or _lost(got) < lines.dropped:
        assert time.monotonic() < deadline, got[-200:]
        got += os.read(reading, 65536)
    assert _whole(got) + _lost(got) == 1000
    lines.close(10)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("kind", ["none", "closed", "full", "gone"])
def test_what_cannot_be_written_is_dropped_and_counted(kind: str) -> None:
    """A descriptor that is not there, a full disk, a reader that went."""
    descriptor: int | None = None
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    elif kind != "none":
        reading, descriptor = os.pipe()
        os.close(reading)
        if kind == "closed":
            os.close(descriptor)
    lines = writer(descriptor)
    for _ in range(3):
        lines.write("line")
    lines.close(10)
    assert lines.dropped == 3
    if descriptor is not None and kind != "closed":
        os.close(descriptor)


def test_the_end_waits_no_longer_than_it_may() -> None:
    """A reader that hangs hangs nobody else."""
    reading, writing = os.pipe()
    lines = writer(writing, max_queued=1 << 20)
    lines.write("x" * 500_000)
    lines.close(0.1)
    os.close(reading)
    lines.close(10)
    os.close(writing)


def test_lines_that_come_together_are_written_together_and_whole() -> None:
    """The thread is not woken for each of many; a pipe keeps each write in one piece."""
    reading, writing = os.pipe2(os.O_DIRECT)  # each read gives one write
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    lines = writer(writing, max_queued=1 << 20)
    for number in range(1000):
        lines.write(f"{number:099}")
    lines.close(10)
    os.close(writing)
    writes = []
    while got := os.read(reading, 1 << 20):
        writes.append(got)
    os.close(reading)
    assert b"".join(writes) == b"".join(b"%099d\n" % number for number in range(1000))
    assert all(got.endswith(b"\n") and len(got) <= select.PIPE_BUF for got in writes)
    assert len(writes) < 100
