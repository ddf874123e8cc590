"""`otaflux pull`: what a device would be given, by the very path that the server takes.

It pulls into a store of its own beside the file, so that a rename is all that is left to do, and
neither a running server nor what it knows has a part in it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import click

from otaflux.cli.flags import JUDGING, SOURCE, uses
from otaflux.cli.reference import device_and_version
from otaflux.errors import BadName, Refused, Undecided, Unusable
from otaflux.model.artifact import Gone
from otaflux.model.event import Priority
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Unfit, Usable
from otaflux.model.names import STABLE, Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate
from otaflux.reconcile.pull import Puller
from otaflux.settings import Settings
from otaflux.state.store import Store


@click.command("pull")
@click.argument("device", metavar="DEVICE[:VERSION]")
@click.option("-o", "--output", metavar="FILE", required=True, help="Where the firmware goes.")
@click.option("--channel", default=STABLE, metavar="NAME", help="One of CHANNELS.")
@uses(*SOURCE, *JUDGING)
def command(settings: Settings, device: str, output: str, channel: str) -> None:
    """Pull what a device would be given: the current release, or exactly VERSION.

    It is resolved, checked, unpacked and chosen as the server does it, by asking the registry now.
    """
    name, version = device_and_version(device)
    if channel not in {STABLE, *settings.channels}:
        raise BadName(f"channel '{channel}' is not one of CHANNELS")
    target = Path(output)
    if target.is_dir():
        raise Refused(f"{target} is a folder; -o names the file")
    if not target.parent.is_dir():
        raise Refused(f"-o {target}: there is no folder {target.parent}")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as beside:
        release, path = asyncio.run(_pull(settings, name, version, channel, Path(beside)))
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)
        path.replace(target)
    sums = release.firmware.sums
    click.echo(
        f"{name}:{release.tag} version {release.version}, {sums.size} bytes,"
        f" CRC-32 {sums.crc32}, sha256:{sums.sha256}"
    )
    for warning in release.warnings:
        click.echo(f"otaflux: warning: {warning}", err=True)


async def _pull(
    settings: Settings, device: Device, version: Version | None, channel: str, folder: Path
) -> tuple[Release, Path]:
    """The release, and where its firmware lies below `folder`."""
    from otaflux.app import server as app

    store = Store(folder)
    store.prepare()
    async with app.open_source(settings, patient=True) as source:
        puller = Puller(source, store, app.limits(settings), judged_by=app.judged_by(settings))
        listing = await source.tags(device)
        found = choice.candidates(listing.tags)
        if version is None:
            found = choice.of_channel(found, channel)
        else:
            found = tuple(each for each in found if each.version == version)
        release = await _first_usable(puller, store, device, found)
    return release, store.path(release.firmware.firmware_digest)


async def _first_usable(
    puller: Puller, store: Store, device: Device, found: Sequence[Candidate]
) -> Release:
    """The highest candidate that is usable; raises with the reasons where none is."""
    reasons = []
    nothing = Record(device, "")
    for each in found:
        with store.claims() as claims:
            look = await puller.look(
                device,
                each.tag,
                each.version,
                record=nothing,
                priority=Priority.HOOK,
                claims=claims,
            )
        match look:
            case Usable(release):
                return release
            case (
                Unfit(_, reason)
                | AwaitsSignature(_, reason)
                | Lacking(_, reason)
                | HeldBack(reason)
            ):
                reasons.append(f"{each.tag} is unusable: {reason}")
            case Gone():
                reasons.append(f"{each.tag} is gone")
            case _:
                assert_never(look)
    if reasons:
        raise Unusable("; ".join(reasons))
    raise Undecided(f"No firmware for device '{device}'", hint="`otaflux list` shows what there is")
