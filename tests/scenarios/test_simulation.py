"""The whole program in virtual time, over a registry and a disk that fail: many seeds.

`SIMULATION_SEEDS` says how many. A failure names its seed, and the last hundred things that
happened before it; `SIMULATION_FIRST=N SIMULATION_SEEDS=1` repeats it.
"""

from __future__ import annotations

import itertools
import logging
import os

import pytest
import structlog
from simulation.chronicle import MOST
from simulation.loop import run_virtually
from simulation.planted import (
    AmnesicProgram,
    CredulousProgram,
    CredulousRegistry,
    DeafRegistry,
    FallingProgram,
    ForgetfulDisk,
    ForgetfulProgram,
    HastyProgram,
    NostalgicProgram,
    SilentRegistry,
)
from simulation.promises import Broken
from simulation.signatures import CarelessKeys, Keys, StuckKeys
from simulation.world import Parts, simulate

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
FIRST = int(os.environ.get("SIMULATION_FIRST", "0"))
FALLING_SEEDS = SEEDS // 8  # of them again with a registry that wants channels to fall
SIGNED_SEEDS = SEEDS // 16  # … and again where all has to be signed, in both ways
PARTS = max(8, SEEDS // 1000)  # tests that share the seeds: they run beside each other, and tell
SHORT_STEPS = 10  # of a run in which the power goes at each operation in turn


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """What the server logs meanwhile is no part of the result."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_what_must_always_hold_does_whatever_happens(part: int) -> None:
    """Through faults, lost hooks and crashes nothing wrong is told, and in the end all is right."""
    seeds = range(FIRST + part, FIRST + SEEDS, PARTS)
    crashes = sum(run_virtually(simulate(seed, Parts())) for seed in seeds)
    assert crashes or len(seeds) < 10, "the power never went"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_channel_falls_whatever_the_registry_does(part: int) -> None:
    """Where `DOWNGRADES=never` says so, and a registry deletes, replays and reorders."""
    seeds = range(FIRST + part, FIRST + FALLING_SEEDS, PARTS)
    for seed in seeds:
        run_virtually(simulate(seed, Parts(never_fall=True)))


@pytest.mark.timeout(0)
@pytest.mark.parametrize("never_fall", [False, True], ids=["follow", "never"])
@pytest.mark.parametrize("part", range(PARTS))
def test_only_what_was_signed_is_told_whatever_happens(part: int, *, never_fall: bool) -> None:
    """Signatures come late, or never, and go; unsigned bytes move signed tags; keys change."""
    seeds = range(FIRST + part, FIRST + SIGNED_SEEDS, PARTS)
    for seed in seeds:
        run_virtually(simulate(seed, Parts(keys=Keys, never_fall=never_fall)))


@pytest.mark.parametrize("seed", [26, 9, 28])
def test_a_power_cut_at_any_operation_of_the_disk_loses_nothing_that_was_told(seed: int) -> None:
    """One short scenario, again and again, cut at each operation from the first start on."""
    for operation in itertools.count():
        if not run_virtually(simulate(seed, Parts(), steps=SHORT_STEPS, cut_at=operation)):
            break
    assert operation > 90


@pytest.mark.parametrize(
    ("parts", "broken"),
    [
        (Parts(program=ForgetfulProgram), "5: after all, "),
        (Parts(disk=ForgetfulDisk), "6: "),
        (Parts(registry=CredulousRegistry), "5: "),
        (Parts(program=HastyProgram), "5: .* was withdrawn"),
        (Parts(program=CredulousProgram), "5: .* was withdrawn"),
        (Parts(registry=DeafRegistry), "5: .* was withdrawn"),
        (Parts(program=NostalgicProgram), "5: after .*, a pin of"),
        (Parts(program=FallingProgram, never_fall=True), "10: .* was told"),
        (Parts(program=AmnesicProgram, never_fall=True), "(6|10): .* was told"),
        (Parts(keys=StuckKeys), "(5|11): .* (not signed|is told)"),
        (Parts(keys=CarelessKeys), "(5|11): .* (not signed|is told)"),
        (Parts(keys=Keys, registry=SilentRegistry), "5: .* was withdrawn"),
        (Parts(keys=Keys, program=FallingProgram, never_fall=True), "10: .* was told"),
    ],
    ids=[
        "a touch during a run is lost",
        "published before it is synced",
        "a listing is believed",
        "withdrawn without WITHDRAW_AFTER",
        "any hook counts as the word of a deletion",
        "that it is a cache is not heard",
        "the old bytes of a moved tag are kept",
        "channels fall",
        "what is told on is forgotten at a start",
        "that others may sign is not noticed",
        "a signature of something else counts",
        "an error while signatures are asked for is none",
        "channels fall where all is signed",
    ],
)
def test_the_simulation_bites(parts: Parts, broken: str) -> None:
    """A deliberate bug in one part is found within some seeds, with what happened before it."""

    def many() -> None:
        for seed in range(200):
            run_virtually(simulate(seed, parts))

    with pytest.raises(Broken, match=f"seed [0-9]+: {broken}") as found:
        many()
    _, happened = str(found.value).split("What happened last:\n")
    assert 10 < len(happened.splitlines()) <= MOST
