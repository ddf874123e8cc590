"""`otaflux pull`: what a device would be given, by the very path that the server takes.

It pulls into a store of its own beside the file, so that a rename is all that is left to do, and
neither a running server nor what it knows has a part in it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_never

import click

from otaflux.cli.flags import JUDGING, SOURCE, any_file, uses
from otaflux.cli.reference import device_and_version
from otaflux.errors import BadName, OtaFluxError, Refused, Undecided, Unusable
from otaflux.model.artifact import Gone
from otaflux.model.event import Priority
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Look, Unbound, Unfit, Usable
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate, LookAt, Nothing, Stands
from otaflux.reconcile.pull import Puller
from otaflux.settings import Settings
from otaflux.state.store import Claims, Store


@click.command("pull")
@click.argument("device", metavar="DEVICE[:VERSION]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    shell_complete=any_file,
    help="Where the firmware goes.",
)
@click.option("--channel", metavar="NAME", help="One of CHANNELS; else DEFAULT_CHANNEL.")
@uses(*SOURCE, *JUDGING)
def command(settings: Settings, device: str, output: str, channel: str | None) -> None:
    """Pull what a device would be given: the current release, or exactly VERSION.

    It asks the registry now, and chooses, checks and unpacks as the server does.
    """
    name, version = device_and_version(device)
    asked = Channel(channel or settings.default_channel)
    if asked not in {STABLE, *settings.channels}:
        raise BadName(f"channel '{channel}' is not one of CHANNELS")
    target = _target(output)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as beside:
        release, path = asyncio.run(_pull(settings, name, version, asked, Path(beside)))
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


def _target(output: str) -> Path:
    """Where the firmware goes; raises `Refused` where no file can.

    A link is written through, as other commands do, for a rename would replace the link itself;
    and a rename over a device, such as /dev/null, would take that from the whole machine.
    """
    named = Path(output)
    if named.is_dir():
        raise Refused(f"{named} is a folder; -o names the file")
    if not named.parent.is_dir():
        raise Refused(f"-o {named}: there is no folder {named.parent}")
    if named.exists() and not named.is_file():
        raise Refused(
            f"-o {named} is no regular file, and the firmware would take its place: name a file"
        )
    target = Path(os.path.realpath(named)) if named.is_symlink() else named
    if target.is_symlink() or not target.parent.is_dir():
        raise Refused(f"-o {named}: it is a link that leads nowhere")
    return target


async def _pull(
    settings: Settings, device: Device, version: Version | None, channel: Channel, folder: Path
) -> tuple[Release, Path]:
    """The release, and where its firmware lies below `folder`."""
    from otaflux.app.parts import Assembly

    parts = Assembly(settings)
    store = Store(folder)
    store.prepare()
    async with parts.open_source(patient=True) as source:
        listing = await source.tags(device)
        found = choice.candidates(listing.tags)
        if version is None:
            found = choice.of_channel(found, channel)
        else:
            found = tuple(each for each in found if each.version == version)
        with store.claims() as claims:
            puller = parts.puller(source, store)
            release = await _settled(puller, claims, device, found, version)
    return release, store.path(release.firmware.firmware_digest)


async def _settled(
    puller: Puller,
    claims: Claims,
    device: Device,
    found: Sequence[Candidate],
    version: Version | None,
) -> Release:
    """The release that candidates come to, as a run settles them; raises with the reasons.

    `version` is the one asked for, None where it is whatever is current.
    """
    looks: dict[Tag, Look] = {}
    nothing = Record(device, "")
    while True:
        step = choice.settle(found, looks, None, ())
        match step:
            case LookAt(candidate):
                looks[candidate.tag] = await puller.look(
                    device,
                    candidate.tag,
                    candidate.version,
                    record=nothing,
                    priority=Priority.HOOK,
                    claims=claims,
                )
            case Stands(release):
                return release
            case Nothing():
                raise _why_nothing(device, version, looks)
            case _:
                assert_never(step)


def _why_nothing(
    device: Device, version: Version | None, looks: Mapping[Tag, Look]
) -> OtaFluxError:
    """Why no candidate can be used, one after the other."""
    reasons = []
    for tag, look in looks.items():
        match look:
            case (
                Unfit(_, reason)
                | AwaitsSignature(_, reason)
                | Unbound(_, reason)
                | Lacking(_, reason)
                | HeldBack(reason)
            ):
                reasons.append(f"{tag} is unusable: {reason}")
            case Gone():
                reasons.append(f"{tag} is gone")
            case Usable():
                pass  # it would have been settled on
            case _:
                assert_never(look)
    if reasons:
        return Unusable("; ".join(reasons))
    asked = f"No release {version} of device" if version else "No firmware for device"
    return Undecided(f"{asked} '{device}'", hint="`otaflux list` shows what there is")
