"""Starts `otaflux` without importing it again: one process has it imported, and forks.

What is started is a process of its own in all that a test can see: its arguments, environment,
folder, standard streams, signals and exit code. Not so: what it imports when, and its memory, which
it shares; who looks at these, or at the entry point, starts the program itself (`programs.PROGRAM`,
or `fresh=True`).

The launcher is asked over a socket: one datagram with what to run, and descriptors for stdin,
stdout, stderr and the answers. It answers with the pid and a pidfd, and with the exit code when
that process has ended. It ends when nobody holds the other end of its socket.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

MOST = 1 << 16  # bytes of one datagram


class Launched:
    """A process that runs, as `subprocess.Popen` has it."""

    def __init__(self, answers: socket.socket, arguments: Sequence[str]) -> None:
        self._answers = answers
        self._arguments = arguments
        said, (self._handle,), _, _ = socket.recv_fds(answers, MOST, 1)
        self.pid = int(said)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs; -N where signal N ended it."""
        return self._ended_within(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit code. Raises `subprocess.TimeoutExpired`."""
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing where it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, signal.Signals(number))

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._answers, select.POLLIN)
            if waiting.poll(None if seconds is None else seconds * 1000):
                said = self._answers.recv(MOST)
                assert said, "the launcher has ended"
                self.returncode = int(said)
                self._answers.close()
                os.close(self._handle)
        return self.returncode


_own: list[socket.socket] = []  # to this process's launcher, once there is one
_starting = threading.Lock()


def _launcher() -> socket.socket:
    """This process's launcher, started when it is needed first."""
    with _starting:
        if not _own:
            _own.append(_started())
        return _own[0]


def _started() -> socket.socket:
    own, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())], pass_fds=[its.fileno()]
        )

    def end() -> None:
        own.close()
        process.wait()

    atexit.register(end)
    return own


def launch(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> Launched:
    """Start `otaflux` with these arguments; it reads nothing."""
    answers, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nothing = os.open(os.devnull, os.O_RDONLY)
    asked = json.dumps({"arguments": [*arguments], "cwd": str(cwd), "env": dict(env)})
    streams = [nothing, stdout.fileno(), stderr.fileno(), its.fileno()]
    socket.send_fds(_launcher(), [asked.encode()], streams)
    os.close(nothing)
    its.close()
    return Launched(answers, arguments)


# --- in the launcher -----------------------------------------------------------------------------


def _import_all() -> None:
    """What commands and the server import, so that no child does."""
    import gc
    import importlib

    from otaflux.cli.main import COMMANDS

    for module in (*COMMANDS.values(), "otaflux.app.server", "otaflux.registry.remote.source"):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


def _become(asked: Mapping[str, Any], streams: Sequence[int]) -> None:
    """In a child: have what a process has that was started so."""
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` around the tests is not around these
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.argv = ["otaflux", *asked["arguments"]]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - for good


def _serve(asked: socket.socket) -> bool:
    """Start what is asked for until nobody can ask any more; returns whether this is a child."""
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd
    waiting = select.poll()
    waiting.register(asked, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready != asked.fileno():
                waiting.unregister(ready)
                pid, answers = running.pop(ready)
                _, status = os.waitpid(pid, 0)
                os.close(ready)
                with answers:
                    _answer(answers, os.waitstatus_to_exitcode(status))
                continue
            said, descriptors, _, _ = socket.recv_fds(asked, MOST, 4)
            if not said:
                return False
            *streams, descriptor = descriptors
            pid = os.fork()
            if not pid:
                for held in (asked, *(answers for _, answers in running.values())):
                    held.detach()
                _become(json.loads(said), streams)
                return True
            for stream in streams:
                os.close(stream)
            answers, handle = socket.socket(fileno=descriptor), os.pidfd_open(pid)
            _answer(answers, pid, handle)
            running[handle] = pid, answers
            waiting.register(handle, select.POLLIN)


def _answer(answers: socket.socket, number: int, *descriptors: int) -> None:
    with suppress(BrokenPipeError):  # the test did not wait for it
        socket.send_fds(answers, [str(number).encode()], descriptors)


def main() -> None:
    """Be the launcher, and in each child `otaflux`."""
    sys.path.pop(0)  # this folder, which the program does not see
    asked = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; it ends with who started it
    if _serve(asked):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from otaflux.__main__ import main as run

        run()


if __name__ == "__main__":
    main()
