"""Log lines end nothing, hold up nothing, and are UTF-8: with the real program and real streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import PROGRAM, Server, environment, otaflux

HOOK = json.dumps({"repository": "lämp", "tag": "1.0.0"}).encode()
GOOD = json.dumps({"repository": "lamp", "tag": "1.0.0"}).encode()


@contextmanager
def logging_to(
    folder: Path, start: Callable[[Server], subprocess.Popen[bytes]]
) -> Iterator[Server]:
    """A server whose stdout is what `start` makes it, which answers."""
    running = Server(folder, {"WEBHOOK_SECRET": "secret", "LOG_LEVEL": "debug"})
    running.process = start(running)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert running.get("/health").status == 200
                break
            except OSError:
                assert running.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


def works_and_ends_well(running: Server) -> None:
    """Hooks are answered, each a line or more, and SIGTERM ends it in good order."""
    for _ in range(300):
        assert running.hook(HOOK, secret="secret").status == 200
        assert running.hook(GOOD, secret="wrong").status == 401
    assert running.hook(GOOD, secret="secret").status == 202
    assert running.stop() == 0


def shell(redirection: str) -> Callable[[Server], subprocess.Popen[bytes]]:
    """Start it with a shell's redirection."""

    def start(running: Server) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", f"exec {PROGRAM} {redirection}"],
            cwd=running.folder,
            env=environment(running.folder, running.env),
        )

    return start


@pytest.mark.parametrize(
    "redirection",
    [
        ">/dev/full",
        ">&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        ">/dev/full 2>/dev/full",
        "2>&1 | true",
        "2>&1 | head -c 100 >/dev/null",
    ],
)
def test_a_stdout_that_takes_nothing_ends_nothing(tmp_path: Path, redirection: str) -> None:
    """Full, closed, or a pipe whose reader went: lines are dropped, and the exit code is 0."""
    if "|" in redirection:
        reading, writing = os.pipe()

        def start(running: Server) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [PROGRAM],
                cwd=running.folder,
                env=environment(running.folder, running.env),
                stdout=writing,
                stderr=writing,
            )
            os.close(writing)
            if "head" in redirection:
                os.read(reading, 100)
            os.close(reading)
            return process
    else:
        start = shell(redirection)
    with logging_to(tmp_path, start) as running:
        works_and_ends_well(running)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_pipe_that_nobody_reads_holds_up_nothing(tmp_path: Path, blocks: bool) -> None:
    """Hooks are answered though thousands of lines have nowhere to go."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocks)

    def start(running: Server) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [PROGRAM],
            cwd=running.folder,
            env=environment(running.folder, running.env),
            stdout=writing,
        )
        os.close(writing)
        return process

    with logging_to(tmp_path, start) as running:
        works_and_ends_well(running)
    os.close(reading)


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "POSIX"},
    ],
)
def test_lines_are_utf_8_whatever_the_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    """A hook for a name with an umlaut is answered as ever, and its line can be read."""

    def start(running: Server) -> subprocess.Popen[bytes]:
        env = environment(running.folder, running.env)
        del env["LANG"]
        with (running.folder / "log").open("wb") as log:
            return subprocess.Popen(
                [PROGRAM], cwd=running.folder, env={**env, **locale}, stdout=log
            )

    with logging_to(tmp_path, start) as running:
        assert running.hook(HOOK, secret="secret").status == 200
        assert running.stop() == 0
    lines = (tmp_path / "log").read_bytes().decode("utf-8").splitlines()
    assert any("lämp" in line for line in lines)
    for line in lines:
        first = list(json.loads(line))
        assert first[:3] == ["timestamp", "level", "event"]
        assert "device" not in first or first[3] == "device"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("list --json >/dev/full", 1),
        ("list --json >&-", 0),
        ("push lamp:1.1.0 build.bin >/dev/full", 1),
        ("push lamp:1.1.0 build.bin >&- 2>&-", 0),
        ("list nothing 2>/dev/full", 1),
        ("nonsense 2>&-", 2),
        ("nonsense 2>/dev/full", 2),
    ],
)
def test_a_command_whose_words_cannot_be_written_says_so_in_its_exit_code(
    tmp_path: Path, command: str, code: int
) -> None:
    """Never 120, and never a traceback."""
    (tmp_path / "build.bin").write_bytes(b"firmware")
    env = {"DATA_DIR": str(tmp_path / "data")}
    assert otaflux("push", "lamp:1.0.0", "build.bin", cwd=tmp_path, **env).returncode == 0
    done = subprocess.run(
        ["/bin/sh", "-c", f"{PROGRAM} {command}"],
        cwd=tmp_path,
        env=environment(tmp_path, env),
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.count(b"\n") <= 1
    assert b"Traceback" not in done.stderr


def test_a_command_whose_reader_has_enough_is_quiet(tmp_path: Path) -> None:
    """`otaflux list | head -1`, however long the list."""
    (tmp_path / "build.bin").write_bytes(b"firmware")
    env = {"DATA_DIR": str(tmp_path / "data")}
    assert otaflux("push", "lamp:1.0.0", "build.bin", cwd=tmp_path, **env).returncode == 0
    for command in ("list | true", "list --json | head -1", "--help | true", "serve --help | true"):
        done = subprocess.run(
            ["/bin/bash", "-c", f"{PROGRAM} {command}; exit ${{PIPESTATUS[0]}}"],
            cwd=tmp_path,
            env=environment(tmp_path, env),
            capture_output=True,
            check=False,
        )
        assert done.returncode in {0, 1}
        assert done.stderr == b""


def test_sighup_ends_in_good_order(tmp_path: Path) -> None:
    """A terminal that is closed, or a supervisor: as SIGTERM does."""
    running = Server(tmp_path, {})
    running.start()
    assert running.stop(signal.SIGHUP) == 0
    assert [line["event"] for line in running.log()][-1] == "server_stopped"


def test_what_nohup_has_ignored_stays_ignored(tmp_path: Path) -> None:
    """The server goes on when its terminal is closed."""
    with logging_to(tmp_path, shell(">log 2>&1")) as running:
        running.stop()
    with logging_to(tmp_path, _with_nohup) as running:
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert running.get("/health").status == 200
        assert running.stop() == 0


def _with_nohup(running: Server) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["nohup", PROGRAM],
        cwd=running.folder,
        env=environment(running.folder, running.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_and_those_who_want_them(
    tmp_path: Path, no_color: str, coloured: bool
) -> None:
    """On a terminal unless `NO_COLOR` says no; in a file never."""
    ours, theirs = os.openpty()

    def start(running: Server) -> subprocess.Popen[bytes]:
        env = environment(running.folder, running.env)
        del env["LOG_FORMAT"]
        process = subprocess.Popen(
            [PROGRAM],
            cwd=running.folder,
            env={**env, "NO_COLOR": no_color, "TERM": "xterm"},
            stdout=theirs,
        )
        os.close(theirs)
        return process

    with logging_to(tmp_path, start) as running:
        said = os.read(ours, 4096)
        assert b"server_started" in said
        assert (b"\x1b[" in said) is coloured
        assert running.stop() == 0
    os.close(ours)


def test_in_a_file_there_are_no_colours(tmp_path: Path) -> None:
    """Though it was asked for the form for people."""
    running = Server(tmp_path, {"LOG_FORMAT": "console"})
    running.start()
    assert running.stop() == 0
    log = (tmp_path / "log").read_text()
    assert "server_started" in log
    assert "\x1b[" not in log
