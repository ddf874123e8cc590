"""What every run works with, handed over whole."""

from __future__ import annotations

import asyncio

import msgspec

from otaflux.events import Events
from otaflux.machine import Machine
from otaflux.policy import Policy
from otaflux.reconcile.looks import Judged
from otaflux.reconcile.pull import Puller
from otaflux.reconcile.withdrawals import Withdrawals
from otaflux.registry.source import Source
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.store import Store


class Means(msgspec.Struct, frozen=True):
    """What every run works with."""

    source: Source
    puller: Puller
    catalog: Catalog
    store: Store
    roster: Roster
    withdrawals: Withdrawals
    policy: Policy
    events: Events
    machine: Machine
    judged: Judged
    checksums: Checksums
    one_large: asyncio.Lock  # sorting out a large listing takes a core
