"""The real mosquitto, on free ports, with its own defaults but for who may do what.

    with mosquitto(tmp_path) as broker:
        MQTT_URL=broker.url
        broker.freeze(); broker.thaw(); broker.kill(); broker.start()   # retained messages are lost

Passwords, TLS and access lists are lines of its configuration, and `listeners` may be several:
one broker can be all brokers that a file of tests wants.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installed import find_program
from programs import free_port

ANYBODY = "per_listener_settings true\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
START_TIME = 10.0  # seconds


class Mosquitto:
    """A broker that can be frozen, killed and started again on the same port.

    `lines` are more of its configuration; `{port}` in them is a free port, the first of which is
    `port`.
    """

    def __init__(self, folder: Path, lines: str = "") -> None:
        self.folder = folder
        self.ports: list[int] = []
        text = (
            "per_listener_settings true\nlistener {port} 127.0.0.1\nallow_anonymous true\n" + lines
        )
        while "{port}" in text:
            self.ports.append(free_port())
            text = text.replace("{port}", str(self.ports[-1]), 1)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where anybody may do anything."""
        return self.ports[0]

    @property
    def url(self) -> str:
        """The same as `MQTT_URL`."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it listens everywhere."""
        program = find_program("mosquitto")
        assert program is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", self._config], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_TIME
        for port in self.ports:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert self._process.poll() is None, self.log()
                    assert time.monotonic() < deadline, self.log()
                    time.sleep(0.01)

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "mosquitto.log").read_text()

    def freeze(self) -> None:
        """It takes nothing and says nothing, and its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone at once, with all that it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def mosquitto(folder: Path, lines: str = "") -> Iterator[Mosquitto]:
    """A broker that runs, and is gone at the end whatever happened."""
    broker = Mosquitto(folder, lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
