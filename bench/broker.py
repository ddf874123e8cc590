"""20,000 devices at a mosquitto with its own defaults: how long, how much, and what polls feel.

Starts of a real server whose catalog has 20,000 records (its registry is away, so nothing else
happens), each until nothing waits: with an empty broker, after the broker began anew, which keeps
nothing on a disk, after the server did, and without MQTT_URL, to compare with. Polls go on
meanwhile, a hundred a second. A restart of the server must send nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from held_releases import release
from mosquitto import Mosquitto, mosquitto
from programs import environment, free_port

from otaflux.model.names import STABLE, Device
from otaflux.model.record import Record, Standing
from otaflux.state.datafolder import DataFolder
from otaflux.state.recordfile import file_name, write_record

HERE = Path(__file__).resolve().parent
DEVICES = int(os.environ.get("BENCH_DEVICES", "20000"))
REGISTRY = "http://127.0.0.1:1"
MOST_P99 = 20.0  # milliseconds
PATIENCE = 300.0  # seconds


def fill(folder: DataFolder) -> None:
    """A catalog of devices that are all told the same bytes."""
    content = b"firmware"
    for place in (folder.catalog, folder.firmware / "sha256"):
        place.mkdir(parents=True)
    for number in range(DEVICES):
        name = "lamp" if number == 0 else f"fleet/board-{number}"
        told = release("1.0.0", content, device=name)
        standing = MappingProxyType({STABLE: Standing(told, 1_790_000_000.0)})
        record = Record(Device(name), REGISTRY, "bench", standing, ever_synced=True)
        (folder.catalog / file_name(Device(name))).write_bytes(write_record(record))
    sums = release("1.0.0", content).firmware.sums
    (folder.firmware / "sha256" / sums.sha256).write_bytes(content)


class Run:
    """One start of the server, until nothing waits."""

    def __init__(self, folder: Path, more: Mapping[str, str]) -> None:
        self._port, self._operators = free_port(), free_port()
        settings = {
            "REGISTRY_URL": REGISTRY,
            "REPOSITORY_PREFIX": "bench",
            "DATA_DIR": str(folder / "data"),
            "LISTEN_ADDR": f"127.0.0.1:{self._port}",
            "METRICS_LISTEN_ADDR": f"127.0.0.1:{self._operators}",
            "RECHECK_INTERVAL": "604800",
            "LOG_FORMAT": "json",
            **more,
        }
        self._log = folder / "log"
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "otaflux", "serve"],
                env=environment(folder, settings),
                stdout=log,
                stderr=log,
            )
        self._wait_for("server_started")
        prober = [sys.executable, str(HERE / "parts" / "prober.py"), str(self._port)]
        self._prober = subprocess.Popen(prober, stdin=-1, stdout=-1, text=True)

    def _events(self, word: str) -> list[float]:
        """When each of those lines was written, in seconds of the wall clock."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        stamps = [line["timestamp"] for line in lines if line["event"] == word]
        return [time.mktime(time.strptime(s[:19], "%Y-%m-%dT%H:%M:%S")) for s in stamps]

    def _wait_for(self, word: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self._events(word)) < times:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(self._log.read_text()[-2000:])
            time.sleep(0.02)

    def metric(self, name: str) -> float:
        """One metric, summed over its labels; 0 where it never moved."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._operators}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def settle(self, times: int = 1) -> tuple[float, float, float]:
        """Seconds from the connection on until nothing waits; messages; p99 of polls (ms)."""
        self._wait_for("broker_connected", times)
        began, before = time.monotonic(), self.metric("otaflux_broker_messages_total")
        self.polls()
        while True:
            time.sleep(0.25)
            if not self.metric("otaflux_broker_waiting"):
                break
        seconds = time.monotonic() - began
        sent = self.metric("otaflux_broker_messages_total")
        return seconds, sent if times == 1 else sent - before, self.polls()

    def polls(self) -> float:
        """The 99th percentile of the polls since the last call, in milliseconds."""
        assert self._prober.stdin is not None
        assert self._prober.stdout is not None
        self._prober.stdin.write("\n")
        self._prober.stdin.flush()
        answer = json.loads(self._prober.stdout.readline())
        return float(answer["p99"])

    def memory(self) -> float:
        """MiB resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def end(self) -> None:
        """Stop it."""
        self._prober.kill()
        self._prober.wait()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60):
            raise SystemExit(self._log.read_text()[-2000:])


def said(what: str, figures: tuple[float, float, float], expected: int) -> None:
    """One line."""
    seconds, sent, p99 = figures
    good = sent == expected and p99 <= MOST_P99
    print(
        f"{what:<34} {seconds:>6.1f} s {sent:>8.0f} messages (expected {expected})"
        f"  polls p99 {p99:>5.1f} ms, at most {MOST_P99:g}  {'good' if good else 'OVER'}"
    )


def measure(folder: Path, broker: Mosquitto) -> None:
    """All of it."""
    more = MappingProxyType({"MQTT_URL": broker.url, "PUBLIC_URL": "https://ota.example"})
    run = Run(folder, more)
    said(f"{DEVICES} devices, an empty broker", run.settle(), DEVICES)
    broker.kill()
    broker.start()
    said("… the broker began anew", run.settle(2), DEVICES)
    with_broker = run.memory()
    run.end()
    run = Run(folder, more)
    said("… the server began anew", run.settle(), 0)
    run.end()
    run = Run(folder, {})
    run.polls()
    time.sleep(5)
    print(f"without a broker: polls p99 {run.polls():.1f} ms")
    without = run.memory()
    run.end()
    print(f"memory: {with_broker:.0f} MiB with a broker, {without:.0f} MiB without")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-") as name:
        fill(DataFolder(Path(name) / "data"))
        with mosquitto(Path(name)) as broker:
            measure(Path(name), broker)
