"""The device port of the other benchmarks, and hooks beside it, with the real work queue.

    python bench/parts/hook_port.py PORT FIRMWARE FOLDER

A look at a device is a wait of 20 ms, as for a registry near by. SIGTERM ends it; then it prints
how many looks there were. Lines of the log go where they go in earnest, to stdout.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from device_port import serve

from otaflux import log
from otaflux.events import Events
from otaflux.hooks.intake import Intake
from otaflux.loglines import LogLines
from otaflux.model.event import Touch
from otaflux.model.names import Namespace
from otaflux.web.hooks.receiver import ADDRESSES, Receiver
from otaflux.work.outcome import Done, Outcome
from otaflux.work.queue import WorkQueue

SECRET = "bench"
LOOK = 0.02  # seconds


async def main(port: int, firmware: Path, folder: Path) -> int:
    """Serve until SIGTERM; answers how many looks there were."""
    looks = 0

    async def look(touch: Touch) -> Outcome:
        nonlocal looks
        looks += 1
        await asyncio.sleep(LOOK)
        return Done()

    queue = WorkQueue(look, places=8, longest_wait=300)
    receiver = Receiver(
        secrets=lambda: [SECRET],
        intake=Intake(Namespace("firmware"), frozenset(), lambda device: False),
        touch=queue.touch,
        known=lambda device: None,
        events=Events(LogLines().hear),
    )
    running = asyncio.create_task(queue.run())
    await serve(port, firmware, folder, more=[(path, receiver.answer) for path in ADDRESSES])
    running.cancel()
    return looks


if __name__ == "__main__":
    log.configure("info", "json")
    count = asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
    print(f"looks {count}", file=sys.stderr)
