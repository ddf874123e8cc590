"""`otaflux serve`: the server, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys

import click

from otaflux import log
from otaflux.cli.flags import EVERYTHING, uses
from otaflux.settings import Origins, Settings


@click.command("serve")
@uses(*EVERYTHING, with_origins=True)
def command(settings: Settings, *, origins: Origins) -> None:
    """Run the server until SIGTERM or Ctrl-C; it ends once downloads under way are through.

    A second one on the same DATA_DIR is refused.
    """
    from otaflux.app import server as app

    form = settings.log_format or ("console" if sys.stdout.isatty() else "json")
    log.configure(settings.log_level, form)
    for note in origins.notes:
        click.echo(f"otaflux: {note}", err=True)
    for name in origins.misspelt:
        log.log.warning(
            log.Event.SETTING_UNKNOWN,
            name=name.name,
            where=name.where,
            hint=f"Nothing reads it. Is {name.meant} meant?",
        )
    asyncio.run(app.serve(settings))
