"""OtaFlux's two ports over a fleet of devices that no registry is asked for.

    python bench/parts/watched_port.py PORT OPERATORS COUNT FOLDER watched|unwatched

The parts of the server, as it binds them; `unwatched` has nobody hear of requests and events.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from device_port import lamp

from otaflux import log
from otaflux.app.controller import Controller
from otaflux.app.edge import Edge
from otaflux.app.operators import Observation, OperatorSide
from otaflux.app.server import TURN
from otaflux.events import Events, RunFailed
from otaflux.freed import set_aside
from otaflux.machine import REAL_MACHINE
from otaflux.model.names import STABLE, Device, Namespace
from otaflux.model.record import Record, Standing
from otaflux.overheard import Overheard
from otaflux.policy import Policy
from otaflux.reason import Cause, Reason
from otaflux.registry.layout import Layout
from otaflux.state.datafolder import DataFolder
from otaflux.units.units import Units
from otaflux.unpack.limits import Limits
from otaflux.web.observer import Nobody
from otaflux.web.origin import Origins
from otaflux.web.port.server import Port

FAILING = 5  # one of so many devices cannot be looked at
LARGEST = 1 << 20


def fleet(count: int) -> list[Record]:
    """So many devices, `lamp` among them."""
    model = lamp(b"firmware")
    standing = model.channels[STABLE]
    records = [model]
    for number in range(count - 1):
        device = Device(f"lamp-{number:05}")
        told = Standing(replace(standing.release, device=device), time.time() - number)
        records.append(replace(model, device=device, channels=MappingProxyType({STABLE: told})))
    return records


async def serve(port: int, operators: int, count: int, folder: Path, *, watched: bool) -> None:
    """Serve until SIGTERM."""
    sys.setswitchinterval(TURN)
    seen, data = Observation(Overheard()), DataFolder(folder)
    events, observer = (seen.events, seen.observer) if watched else (Events(), Nobody())
    policy = Policy(
        namespace=Namespace(), limits=Limits(LARGEST, LARGEST), judged_by="bench",
        recheck_interval=3600.0, registry_rate=1.0, registry_concurrency=1, channels=(),
        keep_versions=0, withdraw_after=3600.0,
    )  # fmt: skip
    controller = Controller(
        Layout(data.registry), data, policy, machine=REAL_MACHINE, events=events
    )
    edge = Edge(
        controller, units=Units(), secrets=list, origins=Origins(), observer=observer,
        downloads=100, secure=False,
    )  # fmt: skip
    side = OperatorSide(seen, controller, edge, "bench")
    for number, record in enumerate(fleet(count)):
        controller.catalog.load(record)
        seen.meter.lookup(record.device, hit=True)
        seen.meter.poll(record.device, "1.4.0")
        if number and number % FAILING == 0:
            reason = Reason(Cause.REGISTRY, f"nothing of {record.device}", "Look at it")
            seen.events.tell(RunFailed(record.device, None, reason, 1, 0.1))
    set_aside()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        Port(side.answer, "127.0.0.1", operators, shutdown_timeout=0.1),
        Port(edge.answer, "127.0.0.1", port, cache=edge.cache, downloads=edge.downloads),
    ):
        await stop.wait()


if __name__ == "__main__":
    log.configure("error", "json")
    device_port, operators_port, devices = (int(text) for text in sys.argv[1:4])
    watched = sys.argv[5] == "watched"
    asyncio.run(serve(device_port, operators_port, devices, Path(sys.argv[4]), watched=watched))
