"""The whole program in virtual time, over a registry and a disk that fail: many seeds.

`SIMULATION_SEEDS` says how many. A failure names its seed; `SIMULATION_FIRST=N SIMULATION_SEEDS=1`
repeats it.
"""

from __future__ import annotations

import logging
import os

import pytest
import structlog
from simulation.disk import ForgetfulDisk
from simulation.loop import run_virtually
from simulation.program import ForgetfulQueue
from simulation.registry import CredulousRegistry
from simulation.world import Broken, Parts, simulate

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
FIRST = int(os.environ.get("SIMULATION_FIRST", "0"))
STEPS = 40


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """What the server logs meanwhile is no part of the result."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.timeout(0)
def test_what_must_always_hold_does_whatever_happens() -> None:
    """Through faults, lost hooks and crashes nothing wrong is told, and in the end all is right."""
    crashes = sum(
        run_virtually(simulate(seed, Parts(), STEPS)) for seed in range(FIRST, FIRST + SEEDS)
    )
    assert crashes > 0


@pytest.mark.parametrize(
    ("parts", "broken"),
    [
        (Parts(queue=ForgetfulQueue), "5: "),
        (Parts(disk=ForgetfulDisk), "6: "),
        (Parts(registry=CredulousRegistry), "5: "),
    ],
    ids=["a touch during a run is lost", "published before it is synced", "a listing is believed"],
)
def test_the_simulation_bites(parts: Parts, broken: str) -> None:
    """A deliberate bug in one part is found within some tens of seeds."""

    def many() -> None:
        for seed in range(60):
            run_virtually(simulate(seed, parts, STEPS))

    with pytest.raises(Broken, match=f"seed [0-9]+: {broken}"):
        many()
