"""`otaflux delete`: takes a release back at the source, and says first what that does.

A server hears of it by the registry's hook, by `--notify`, or at a re-check; the embedded folder it
looks at every second. docs/rollback.md is the page about it.
"""

from __future__ import annotations

import asyncio
import sys

import click

from otaflux.cli import known, notify
from otaflux.cli.flags import JUDGING, SOURCE, uses
from otaflux.cli.instead import BOARDS, told_instead
from otaflux.cli.notify import Notice
from otaflux.cli.reference import device_and_tag
from otaflux.errors import NotFound, Refused, Undecided
from otaflux.model.event import Action
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.settings import Settings

MAX_NAMED = 10  # tags that are there, where the one asked for is not


@click.command("delete")
@click.argument("release", metavar="DEVICE:TAG")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@notify.option
@uses(*SOURCE, *JUDGING, "downgrades", "webhook_secret", only_with=notify.ONLY_WITH)
def command(settings: Settings, release: str, *, yes: bool, notify: str | None) -> None:
    """Take DEVICE:TAG back: remove that tag from the registry or else the embedded folder.

    Says what devices will be told instead, and asks on a terminal.
    """
    device, tag = device_and_tag(release, any_tag=True)
    notice = Notice(settings, notify) if notify else None
    if not yes and not sys.stdin.isatty():
        raise Refused(f"{device}:{tag} was not deleted: no terminal to ask at, so say --yes")
    asyncio.run(_delete(settings, device, tag, notice, yes=yes))


async def _delete(
    settings: Settings, device: Device, tag: Tag, notice: Notice | None, *, yes: bool
) -> None:
    from otaflux.app.parts import Assembly

    parts = Assembly(settings)
    async with parts.open_source(patient=True) as source:
        listing = await source.tags(device)
        prefix = parts.namespace.prefix
        record = known.of_source(settings.data_dir, source.name, prefix).get(device)
        if tag in listing.tags:
            for sentence in told_instead(
                record or Record(device, source.name),
                listing.tags,
                tag,
                settings.channels,
                parts.judged_by,
                never_fall=parts.policy.never_fall,
            ):
                _say(sentence)
            _say(BOARDS)
        if not yes:
            where = settings.registry_url or "the embedded folder"
            click.confirm(f"Delete {device}:{tag} from {where}?", abort=True, err=True)
        try:
            digest = await source.delete(device, tag)
        except NotFound as error:
            if notice is not None:
                _say(await notice.send(Action.DELETE, device, tag))
            there = sorted(str(each) for each in listing.tags if not each.is_attachment)
            hint = f"There are {', '.join(there[:MAX_NAMED])}" if there else ""
            more = f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
            raise Undecided(str(error), hint=hint + more) from None
    click.echo(f"Deleted {device}:{tag}, which was {digest}")
    if notice is not None:
        _say(await notice.send(Action.DELETE, device, tag, digest))
    elif settings.registry_url is not None:
        _say(
            "A server withdraws it some 13 s after the registry's hook for deletions, or after"
            " --notify; without either when WITHDRAW_AFTER has passed"
        )


def _say(sentence: str) -> None:
    click.echo(f"otaflux: {sentence}", err=True)
