"""A simulated server in virtual time with its operators' side, as `otaflux.app` binds them.

    def test_it(watched):
        async def test(rig: Watched) -> None:
            rig.push("lamp", "1.0.0")
            await rig.look("lamp")
            assert (await rig.status())["devices"][0]["device"] == "lamp"

        run_watched(test)

Runs are the test's to make; nothing wakes by itself but with `rig.running()`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from simulation.disk import MemoryDisk
from simulation.loop import run_virtually
from simulation.program import EPOCH, RULES, Program
from simulation.registry import Content, Shape, SimulatedRegistry
from simulation.wire import Answer, Wire

from otaflux.app.operators import Observation, OperatorSide
from otaflux.machine import Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.overheard import Overheard


class Watched:
    """See the module's docstring; `devices` are what `DEVICES` names."""

    def __init__(self, *names: str, devices: tuple[str, ...] = ()) -> None:
        clock = asyncio.get_running_loop().time
        chance = random.Random(1)
        machine = Machine(clock=clock, now=lambda: EPOCH + clock())
        known = tuple(Device(name) for name in names or ("lamp",))
        self.overheard = Overheard()
        self.seen = Observation(self.overheard, machine=machine)
        self.registry = SimulatedRegistry(known, chance, clock)
        namespace = replace(RULES.namespace, devices=frozenset(map(Device, devices)))
        rules = replace(RULES, namespace=namespace)
        self.program = Program(self.registry, MemoryDisk(chance), chance, rules, seen=self.seen)
        self.side = OperatorSide(self.seen, self.program, self.program.edge, self.registry.name)
        self.wire = Wire(self.side)

    async def begin(self) -> None:
        """Start it, without its timers."""
        await self.program.restore()
        await self.program.load()
        await self.program.wire.open()
        await self.wire.open()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """With its queue and timers, while the context lasts."""
        task = asyncio.create_task(self.program.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def push(self, device: str, tag: str, shape: Shape = Shape.PLAIN) -> None:
        """Push a release."""
        content = Content(sum(map(ord, tag)), shape)
        self.registry.put(Device(device), Tag(tag), content)

    async def look(
        self, device: str, priority: Priority = Priority.RECHECK, since: float | None = None
    ) -> None:
        """One run."""
        touch = Touch(Device(device), priority, first_hook_at=since)
        await self.program.bring_up_to_date(touch)

    async def get(self, path: str, method: str = "GET") -> Answer:
        """Ask as an operator does."""
        return await self.wire.get(path, method=method)

    async def status(self, query: str = "") -> Any:
        """What `/status` says."""
        return json.loads((await self.get(f"/status{query}")).body)

    async def metric(self, name: str, **labels: str) -> float:
        """What `/metrics` says of one; 0 where it never moved."""
        text = (await self.get("/metrics")).body.decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0


def run_watched(
    test: Callable[[Watched], Awaitable[None]], *names: str, devices: tuple[str, ...] = ()
) -> None:
    """Run a test over such a server, whose registry has those repositories."""

    async def main() -> None:
        rig = Watched(*names, devices=devices)
        await rig.begin()
        await test(rig)

    run_virtually(main())
