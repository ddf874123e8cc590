"""Files that only records of other settings name outlast the server that does not tell them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from held_releases import record, release, stored
from images import swu
from registry_client import remote

from otaflux.app.controller import Controller
from otaflux.events import Events
from otaflux.machine import Machine
from otaflux.model.image import Image, ImageKind
from otaflux.model.names import STABLE, Namespace
from otaflux.policy import Policy
from otaflux.state.catalog import Catalog
from otaflux.state.datafolder import DataFolder
from otaflux.state.recordfile import read_record
from otaflux.state.store import Store
from otaflux.unpack.limits import Limits

POLICY = Policy(
    namespace=Namespace("firmware"),
    channels=(),
    keep_versions=0,
    withdraw_after=3600.0,
    recheck_interval=3600.0,
    registry_rate=100.0,
    registry_concurrency=8,
    limits=Limits(1 << 20, 1 << 20),
    judged_by="the tests",
)


async def test_a_file_of_another_registrys_record_stays_where_a_device_of_this_one_drops_it(
    tmp_path: Path,
) -> None:
    """Both have the same bytes, as after a move; the old address costs no pull when it is back."""
    folder = DataFolder(tmp_path)
    folder.catalog.mkdir()
    store = Store(folder.firmware)
    store.prepare()
    firmware = stored(store, b"same")
    await Catalog(folder.catalog).put(record(release("1.0.0", b"same")))
    async with remote(None, url="http://127.0.0.1:1") as source:
        now = Controller(source, folder, POLICY, machine=Machine(), events=Events())
        await now.restore()
        await now.load()
        fan = record(release("1.0.0", b"same", device="fan"))
        await now.catalog.put(replace(fan, source=source.name))
        dropped = await now.catalog.forget(fan.device)
        now.store.remove_unreferenced(dropped, now.catalog.references)
        assert now.store.has(firmware)


async def test_what_an_older_version_did_not_write_down_is_read_from_the_files(
    tmp_path: Path,
) -> None:
    """Soon after the start, whatever the registry says; the next record that is written has it."""
    folder = DataFolder(tmp_path)
    folder.catalog.mkdir()
    store = Store(folder.firmware)
    store.prepare()
    archive = swu('software = { version = "1.0.0"; };')
    stored(store, archive)
    async with remote(None, url="http://127.0.0.1:1") as source:
        old = replace(record(release("1.0.0", archive)), source=source.name)
        assert old.channels[STABLE].release.firmware.image is None
        await Catalog(folder.catalog).put(old)
        now = Controller(source, folder, POLICY, machine=Machine(), events=Events())
        await now.restore()
        await now.load()
        described = asyncio.Event()
        now.catalog.listen(lambda *_: described.set())
        running = asyncio.create_task(now.run())
        await asyncio.wait_for(described.wait(), 10)
        running.cancel()
        new = now.catalog.get(old.device)
        assert new is not None
        await now.catalog.put(new)
        (path,) = folder.catalog.glob("*.json")
        for each in (new, read_record(path.read_bytes())):
            told = each.current()
            assert told is not None
            assert told.firmware.image == Image(ImageKind.SWU, "1.0.0")
