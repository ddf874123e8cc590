"""`otaflux list`: the devices and their releases, as a table or as JSON.

What no server ever tried is `not tried`. With the registry away it is what `DATA_DIR` knows, and
one line on stderr says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict

import click

from otaflux.cli.columns import table
from otaflux.cli.flags import JUDGING, SOURCE, uses
from otaflux.cli.inventory import look
from otaflux.cli.shelf import Shelf
from otaflux.errors import Undecided
from otaflux.model.image import ImageKind
from otaflux.model.names import Device
from otaflux.settings import Settings

_UNTOLD = {None, ImageKind.PLAIN.value, ImageKind.SQUASHFS.value}  # no word is lost about those


@click.command("list")
@click.argument("device", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@uses(*SOURCE, *JUDGING, "registry_concurrency")
def command(settings: Settings, device: str | None, *, as_json: bool) -> int:
    """The devices, or one, with their releases: which is current, and why others are not."""
    found = asyncio.run(look(settings, Device.parse(device) if device else None))
    known_here = any(shelf.releases for shelf in found.devices)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    elif known_here or any(not shelf.problem for shelf in found.devices if not device):
        click.echo(_table(found.devices, settings.default_channel))
    if found.problem:
        what = "this is what DATA_DIR knows" if known_here else "DATA_DIR knows nothing of it"
        click.echo(f"otaflux: {found.problem} ({what})", err=True)
    if found.note:
        click.echo(f"otaflux: {found.note}", err=True)
    problems = [shelf for shelf in found.devices if shelf.problem]
    for shelf in problems:
        if shelf.problem != found.problem:
            click.echo(f"otaflux: {shelf.device}: {shelf.problem}", err=True)
    if not found.devices and not found.problem:
        click.echo("otaflux: there are no devices yet: `otaflux push` makes one", err=True)
    if device and not known_here and not problems:
        raise Undecided(f"No releases of device '{device}'", hint="`otaflux push` makes one")
    return 1 if problems or found.problem else 0


def _table(shelves: Iterable[Shelf], default: str) -> str:
    """A line for each tag; `default` is the channel of polls that name none."""
    lines = [("DEVICE", "TAG", "STATE", "SIZE", "IMAGE", "NOTE")]
    for shelf in shelves:
        for row in shelf.releases:
            only = "" if default in row.channels else ", ".join(row.channels)
            state = f"{row.state} ({only})" if only else row.state
            size = "" if row.size is None else str(row.size)
            kind = row.chip or (row.kind if row.kind not in _UNTOLD else None)
            image = " ".join(filter(None, (kind, row.image_version)))
            note = [row.reason] if row.reason else []
            note.extend(f"warning: {warning}" for warning in row.warnings)
            lines.append((shelf.device, row.tag, state, size, image, "; ".join(note)))
        if not shelf.releases:
            state = "unknown" if shelf.problem else "no releases"
            lines.append((shelf.device, "-", state, "", "", ""))
    return table(lines)
