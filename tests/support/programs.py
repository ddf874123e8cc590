"""Programs that tests start: `otaflux` itself, as a command or as a server on a free port.

    done = otaflux("push", "lamp:1.0.0", "build.bin", DATA_DIR=str(tmp_path / "data"))
    with server(tmp_path) as running:
        assert running.get("/version?device=lamp").status == 404

A server's settings are those of its `env`; commands that should speak of the same get the same.
Both are forked off a process that has imported the program already (`launcher.py`), but where they
are asked for `fresh`: who measures memory, or looks at the entry point or the locale. Real
registries are in `real_registry.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import launcher

PROGRAM = Path(sys.executable).with_name("otaflux")
PATIENCE = 20.0  # seconds

Process = subprocess.Popen[bytes] | launcher.Launched


def _ports() -> Iterator[int]:
    """Ports of this worker's own, below those that the kernel gives to whoever asks for any."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = list(range(10_000 + 2_000 * (worker % 10), 12_000 + 2_000 * (worker % 10)))
    random.Random(os.getpid()).shuffle(own)
    return itertools.cycle(own)


_PORTS = _ports()


def free_port() -> int:
    """A port that nobody listens on, and that no other test is given soon."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there are no more ports")


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings, nobody's credentials, and no port that others take."""
    own = {"HOME": str(home), "LANG": "C.UTF-8", "METRICS_LISTEN_ADDR": "127.0.0.1:0"}
    return {"PATH": os.environ["PATH"], **own, **settings}


def otaflux(
    *arguments: str | Path, cwd: Path, fresh: bool = False, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    given = [str(argument) for argument in arguments]
    env = environment(cwd, settings)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _start(given, cwd, env, out, err, fresh=fresh)
        try:
            code = process.wait(PATIENCE * 3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(given, code, *texts)


def _start(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    *,
    fresh: bool,
) -> Process:
    if fresh:
        return subprocess.Popen([PROGRAM, *arguments], cwd=cwd, env=env, stdout=out, stderr=err)
    return launcher.launch(arguments, cwd=cwd, env=env, stdout=out, stderr=err)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """A running `otaflux serve`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, fresh: bool = False) -> None:
        self.folder = folder
        self._fresh = fresh
        self.env = {
            "DATA_DIR": str(folder / "data"),
            "LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "METRICS_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "LOG_FORMAT": "json",
            **settings,
        }
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """Where devices and hooks are answered."""
        return f"http://{self.env['LISTEN_ADDR']}"

    def launch(self) -> None:
        """Start, and wait for nothing."""
        with (self.folder / "log").open("ab") as log:
            env = environment(self.folder, self.env)
            self.process = _start([], self.folder, env, log, log, fresh=self._fresh)

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.launch()
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/health").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; answers the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def get(self, target: str) -> Answer:
        """One GET."""
        return self._ask(urllib.request.Request(self.url + target))

    def hook(self, body: bytes, *, secret: str | None) -> Answer:
        """One webhook."""
        return self.post("/hooks/registry", body, secret=secret)

    def post(self, target: str, body: bytes, *, secret: str | None) -> Answer:
        """One POST, as a registry sends it."""
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers["Authorization"] = secret
        return self._ask(urllib.request.Request(self.url + target, body, headers))

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command with the server's own settings."""
        return otaflux(*arguments, cwd=self.folder, **self.env)

    def told(self, device: str, version: str, *, within: float = PATIENCE) -> Answer:
        """Poll until a device is told that version; answers what it was told."""
        deadline = time.monotonic() + within
        while True:
            answer = self.get(f"/version?device={device}")
            if answer.body.startswith(f"{version}\n".encode()):
                return answer
            assert time.monotonic() < deadline, (answer, self.log())
            time.sleep(0.02)

    def log(self) -> list[dict[str, Any]]:
        """Every line of the log so far."""
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def logged(self, event: str, times: int = 1, within: float = 10.0) -> list[dict[str, Any]]:
        """The lines of an event, once there are so many: lines are written a moment later."""
        deadline = time.monotonic() + within
        while len(found := [line for line in self.log() if line["event"] == event]) < times:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return found


@contextmanager
def server(folder: Path, *, fresh: bool = False, **settings: str) -> Iterator[Server]:
    """A server that runs, and is stopped whatever happens."""
    running = Server(folder, settings, fresh=fresh)
    running.start()
    try:
        yield running
    finally:
        assert running.process is not None
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()
