"""20,000 devices at a mosquitto with its own defaults: how long, how much, and what polls feel.

Starts of a real server with so many records whose registry is away, each until nothing waits: with
an empty broker, after the broker began anew, which keeps nothing on a disk, after the server did,
and without MQTT_URL, to compare with. Polls go on meanwhile, a hundred a second. A restart of the
server must send nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from mosquitto import mosquitto
from parts.effort import Effort
from parts.fleet import fleet
from parts.probing import Probe, probing
from parts.programs import need
from parts.server import Server, otaflux
from parts.table import Goal, Row, below

DEVICES = 20_000
WAITING, SENT = "otaflux_broker_waiting", "otaflux_broker_messages_total"


def rows(effort: Effort) -> Iterator[Row]:
    """All of it."""
    need("mosquitto", "taskset")
    folder = effort.folder / "broker"
    settings = fleet(folder, DEVICES)
    with mosquitto(folder) as broker:
        more = settings | {"MQTT_URL": broker.url, "PUBLIC_URL": "https://ota.example"}
        with otaflux(folder, more) as server, probing(server.port) as probe:
            yield from settled(server, probe, 1, "an empty broker", DEVICES)
            broker.kill()
            broker.start()
            yield from settled(server, probe, 2, "the broker began anew", DEVICES)
            memory = server.memory
        with otaflux(folder, more) as server, probing(server.port) as probe:
            yield from settled(server, probe, 1, "OtaFlux began anew", 0)
    with otaflux(folder, settings) as server:
        time.sleep(5)
        without = server.memory
    yield Row(f"{DEVICES:,} devices: memory", "MiB", [memory], [without], "without a broker")


def settled(server: Server, probe: Probe, times: int, what: str, expected: int) -> Iterator[Row]:
    """From a connection to the broker on until nothing waits."""
    before = server.metric(SENT) if times > 1 else 0
    server.logged("broker_connected", times)
    began = time.monotonic()
    probe.report()
    while True:
        time.sleep(0.25)
        if not server.metric(WAITING):
            break
    took, sent = time.monotonic() - began, server.metric(SENT) - before
    what = f"{DEVICES:,} devices, {what}"
    polls = probe.report()
    if expected:
        yield Row(f"{what}: until all is sent", "s", [took])
    goal = Goal("at most", expected, "figure")
    yield Row(f"{what}: messages", "", [sent], goal=goal)
    yield Row(f"{what}: 99 of 100 polls", "ms", [polls.p99], goal=below(20))
