"""What re-checks cost where releases have to be signed, counted at a registry."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote
from signed_content import Shop
from simulation.program import RULES
from simulation.signatures import Keys

from otaflux.app.controller import Controller
from otaflux.events import Events
from otaflux.machine import REAL_MACHINE
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Namespace
from otaflux.reconcile.rounds import EVERY
from otaflux.state.datafolder import DataFolder

RECHECK = Touch(SENSOR, Priority.RECHECK)


async def costs(registry: FakeRegistry, folder: Path, keys: Keys | None) -> list[int]:
    """How many requests each of twenty re-checks took after the first look."""
    machine = replace(REAL_MACHINE, chance=random.Random(1))
    rules = replace(RULES, namespace=Namespace("acme"), keep_versions=3)
    async with remote(registry) as source:
        server = Controller(
            source, DataFolder(folder), rules, machine=machine, events=Events(), trusted=keys
        )
        await server.restore()
        await server.load()
        await server.bring_up_to_date(Touch(SENSOR, Priority.START))
        counts = []
        for _ in range(2 * EVERY):
            before = len(registry.requests)
            await server.bring_up_to_date(RECHECK)
            counts.append(len(registry.requests) - before)
        record = server.catalog.get(SENSOR)
        assert record is not None
        assert record.channels
    return counts


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("referrers", [False, True])
async def test_a_recheck_of_what_is_signed_and_unchanged_costs_what_an_unsigned_one_does(
    tmp_path: Path, referrers: bool, is_old: bool
) -> None:
    """No request more; but each tenth asks for the signatures anew."""
    async with FakeRegistry(referrers=referrers) as registry:
        shop = Shop("acme/sensor", registry.content, referrers=referrers)
        digest = shop.push("1.0.0", b"one")
        if is_old:
            shop.sign_old(digest)
        else:
            shop.sign(digest)
        unsigned = await costs(registry, tmp_path / "unsigned", None)
        signed = await costs(registry, tmp_path / "signed", Keys("a"))
    (usual,) = set(unsigned)
    assert min(signed) == usual
    assert sum(count > usual for count in signed) == 2
    assert max(signed) <= usual + 6
