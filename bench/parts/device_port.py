"""OtaFlux's device port with one device, `lamp`, whose firmware is a file.

    python bench/parts/device_port.py PORT FIRMWARE FOLDER

The real catalog, store, handlers and port; no registry is there to be asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from otaflux import log
from otaflux.app.edge import DeviceSide, Known
from otaflux.machine import REAL_MACHINE
from otaflux.model.artifact import Digest
from otaflux.model.event import Touch
from otaflux.model.names import STABLE, Device, Namespace, Tag
from otaflux.model.record import Record, Standing
from otaflux.model.release import Firmware, Release, Sums
from otaflux.model.version import Version
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.store import Store
from otaflux.units.units import Units
from otaflux.web.devices.ask import ONLY_STABLE
from otaflux.web.devices.downloads import Downloads
from otaflux.web.observer import Nobody
from otaflux.web.origin import Origins
from otaflux.web.port.addresses import Addresses, Answers
from otaflux.web.port.openfiles import make_room
from otaflux.web.port.server import Port
from otaflux.work.outcome import Outcome
from otaflux.work.queue import WorkQueue


async def _never(touch: Touch) -> Outcome:
    """All devices are known here, so nothing is ever looked at."""
    raise NotImplementedError


def lamp(content: bytes) -> Record:
    """A record that tells of that content as version 1.4.0."""
    digests = [hashlib.new(name, content, usedforsecurity=False).hexdigest()
               for name in ("md5", "sha1", "sha256")]  # fmt: skip
    firmware = Firmware(Sums(len(content), zlib.crc32(content), *digests))
    device, digest = Device("lamp"), Digest("sha256", "0" * 64)
    release = Release(device, Tag("1.4.0"), Version("1.4.0"), digest, digest, firmware)
    channels = MappingProxyType({STABLE: Standing(release, time.time())})
    return Record(device, "bench", channels=channels, ever_synced=True)


async def serve(
    port: int, firmware: Path, folder: Path, *, more: Iterable[tuple[str, Answers]] = ()
) -> None:
    """Serve until SIGTERM, and `more` addresses beside those of devices."""
    content = firmware.read_bytes()  # noqa: ASYNC240 - nothing else runs yet
    record = lamp(content)
    catalog, store = Catalog(folder / "catalog"), Store(folder / "firmware")
    store.prepare()
    store.path(Digest("sha256", hashlib.sha256(content).hexdigest())).write_bytes(content)
    room = make_room(2000)
    side = DeviceSide(
        Known(
            catalog=catalog,
            store=store,
            checksums=Checksums(store),
            roster=Roster(catalog, devices=frozenset({record.device})),
            queue=WorkQueue(_never, places=1, longest_wait=1),
            namespace=Namespace(),
            channels=ONLY_STABLE,
            machine=REAL_MACHINE,
            units=Units(),
        ),
        Downloads(room.downloads),
        origins=Origins(),
        observer=Nobody(),
    )
    del content
    catalog.load(record)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Port(
        Addresses(list(more), side.devices.answer), "127.0.0.1", port,
        cache=side.cache, downloads=side.downloads,
        max_connections=room.connections, shutdown_timeout=0.5,
    ):  # fmt: skip
        await stop.wait()


if __name__ == "__main__":
    log.configure("warning", "json")
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
