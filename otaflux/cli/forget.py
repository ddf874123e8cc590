"""`otaflux forget`: for a device whose repository is gone for good."""

from __future__ import annotations

import asyncio

import click

from otaflux.cli import known
from otaflux.cli.flags import uses
from otaflux.errors import Undecided
from otaflux.model.names import Device
from otaflux.settings import Settings


@click.command("forget")
@click.argument("device")
@uses("data_dir", "log_level")
def command(settings: Settings, device: str) -> None:
    """Remove what DATA_DIR knows of DEVICE, its unpacked firmware included.

    For a device whose repository is gone. The server has to be stopped. What the registry or the
    embedded folder still has comes back when it starts.
    """
    from otaflux.state.catalog import Catalog
    from otaflux.state.datafolder import DataFolder
    from otaflux.state.store import Store

    name = Device.parse(device)
    folder = DataFolder(settings.data_dir)
    if not folder.root.is_dir():
        raise Undecided(f"there is no {folder.root}", hint="Does DATA_DIR name the server's?")
    with folder.locked():
        records = list(known.records(folder.root))
        forgotten = [record for record in records if record.device == name]
        if not forgotten:
            raise Undecided(f"{folder.root} knows nothing of device '{name}'")
        catalog = Catalog(folder.catalog)
        for record in records:
            catalog.load(record)
        asyncio.run(catalog.forget(name))
        held = {x.firmware.firmware_digest for record in forgotten for x in record.held()}
        removed = Store(folder.firmware).remove_unreferenced(held, catalog.references)
    click.echo(f"Forgot {name}: its record, and {removed} of its firmware files")
