"""`otaflux serve`: the server, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys

import click

from otaflux import log
from otaflux.cli.flags import EVERYTHING, uses
from otaflux.settings import Settings


@click.command("serve")
@uses(*EVERYTHING)
def command(settings: Settings) -> None:
    """Run the server until SIGTERM or Ctrl-C; it ends once downloads under way are through.

    A second one on the same DATA_DIR is refused.
    """
    from otaflux.app import server as app

    form = settings.log_format or ("console" if sys.stdout.isatty() else "json")
    log.configure(settings.log_level, form)
    asyncio.run(app.serve(settings))
