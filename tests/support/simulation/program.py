"""The server, but for its sockets and its machine: what `otaflux.app` runs, on a simulated one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from otaflux.app.controller import Controller
from otaflux.app.edge import Edge
from otaflux.app.operators import Observation
from otaflux.errors import OtaFluxError
from otaflux.events import Events
from otaflux.loglines import LogLines
from otaflux.machine import Machine
from otaflux.meter import Meter
from otaflux.metrics import Metrics
from otaflux.model.event import Touch
from otaflux.model.names import Channel, Device, Namespace
from otaflux.policy import Policy
from otaflux.state.datafolder import DataFolder
from otaflux.units.units import Units
from otaflux.unpack.limits import Limits
from otaflux.web.origin import Origins
from otaflux.work.outcome import Done, Outcome
from simulation.disk import MemoryDisk
from simulation.registry import MAX_FIRMWARE, SimulatedRegistry
from simulation.signatures import Keys
from simulation.wire import Wire

FOLDER = DataFolder(Path("/data"))
CHANNELS = (Channel("rc"),)
PREFIX = "fw"
SECRET = "a secret"
RECHECK = 3600.0  # seconds: long, so that a lost touch is not mended by the next re-check
WITHDRAW_AFTER = 1800.0  # seconds: longer than any pause, so that a restore is not taken for more
URL = "http://otaflux.example"
THREADS = (0.0, 0.0, 0.0, 0.02)  # seconds until a thread begins
EPOCH = 1_700_000_000.0
RULES = Policy(
    namespace=Namespace(PREFIX),
    channels=CHANNELS,
    keep_versions=1,
    withdraw_after=WITHDRAW_AFTER,
    recheck_interval=RECHECK,
    registry_rate=10.0,
    registry_concurrency=3,
    limits=Limits(MAX_FIRMWARE, 4 * MAX_FIRMWARE, summed_at_once=0),  # all are told before
    judged_by="simulation",
    folder_looks=5.0,
)
FEW_LOOKS = replace(RULES, most_looks=3)  # so that runs give their places back
NEVER_FALL = replace(FEW_LOOKS, never_fall=True)
METER = Meter(Metrics(CollectorRegistry()))


class Program(Controller):
    """One life of the server, from its start to a crash or its end; it watches its own runs."""

    def __init__(
        self,
        registry: SimulatedRegistry,
        disk: MemoryDisk,
        chance: random.Random,
        rules: Policy = FEW_LOOKS,
        seen: Observation | None = None,
        keys: Keys | None = None,
    ) -> None:
        clock = asyncio.get_running_loop().time
        machine = Machine(
            disk,
            self._in_thread,
            clock,
            lambda: EPOCH + clock() + disk.ahead,
            chance,
            in_yielding_thread=self._in_thread,
        )
        stamps = registry.stamps if registry.is_authoritative else None
        events = Events(LogLines().hear, METER.hear) if seen is None else seen.events
        super().__init__(
            registry,
            FOLDER,
            rules,
            machine=machine,
            events=events,
            stamps=stamps,
            trusted=keys,
        )
        if seen is None:
            self.catalog.listen(METER.hear_record)
            METER.know(self.catalog.get)
        self.edge = Edge(
            self,
            units=Units(1000, events=events, machine=machine),
            secrets=lambda: [SECRET],
            origins=Origins(URL),
            observer=METER if seen is None else seen.observer,
            downloads=10,
            secure=False,
        )
        self.wire = Wire(self.edge)
        self.busy: set[Device] = set()
        self.overlaps: list[Device] = []
        self.bugs: list[Exception] = []
        self._words: dict[Device, int] = {}
        self._heard = 0

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Blocking work in the one thread there is; others run before it, and after it."""
        await asyncio.sleep(self.machine.chance.choice(THREADS))
        done = work(*arguments, **options)
        await asyncio.sleep(0)
        return done

    def hear_of_deletion(self, device: Device) -> None:
        """A hook that told of something deleted there was accepted."""
        self._heard += 1
        self._words[device] = self._heard

    def knows_of_deletion(self, device: Device) -> bool:
        """Whether such a hook came that no run brought to its end."""
        return device in self._words

    async def bring_up_to_date(self, touch: Touch) -> Outcome:
        """One run; what must not happen in it is noted."""
        if touch.device in self.busy:
            self.overlaps.append(touch.device)
        self.busy.add(touch.device)
        word = self._words.get(touch.device)
        try:
            outcome = await super().bring_up_to_date(touch)
        except OtaFluxError:
            raise
        except Exception as error:
            self.bugs.append(error)
            raise
        finally:
            self.busy.discard(touch.device)
        brought = touch.deletion and word == self._words.get(touch.device)
        if brought and isinstance(outcome, Done):
            self._words.pop(touch.device, None)
        return outcome
