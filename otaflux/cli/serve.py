"""`otaflux serve`: the server, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import click

from otaflux import log
from otaflux.cli.flags import EVERYTHING, LAST_LINES, uses
from otaflux.linewriter import LineWriter
from otaflux.overheard import HEARD_BESIDES, Overheard
from otaflux.settings import SettingOrigins, Settings

GRACE = 10.0  # seconds besides SHUTDOWN_TIMEOUT, for what is no download


@click.command("serve")
@uses(*EVERYTHING, with_origins=True)
def command(settings: Settings, *, origins: SettingOrigins) -> None:
    """Run the server until SIGTERM or Ctrl-C; then it lets downloads finish.

    A second one on the same DATA_DIR is refused.
    """
    from otaflux.app import server as app

    form = settings.log_format or ("console" if log.is_terminal(sys.stdout) else "json")
    overheard = Overheard()
    lines = log.configure(
        settings.log_level,
        form,
        environ=os.environ,
        hear=overheard.note,
        heard_besides=HEARD_BESIDES,
    )
    overheard.watch(lambda: lines.dropped)
    patience = settings.shutdown_timeout + GRACE
    for note in origins.notes:
        click.echo(f"otaflux: {note}", err=True)
    try:
        _say_misspelt(origins)
        asyncio.run(
            app.serve(settings, overheard=overheard, stopping=lambda: _end_within(patience, lines))
        )
    finally:
        lines.close(LAST_LINES)


def _say_misspelt(origins: SettingOrigins) -> None:
    for name in origins.misspelt:
        log.log.warning(
            log.Event.SETTING_UNKNOWN,
            name=name.name,
            where=name.where,
            hint=f"Nothing reads it. Is {name.meant} meant?",
        )


def _end_within(seconds: float, lines: LineWriter) -> None:
    """See to it that the process ends by then: a thread that a disk hangs cannot be stopped.

    What is half done then is as after a power cut: the next start finds it whole, old or new.
    """

    def end() -> None:
        log.log.error(
            log.Event.SERVER_HANGS,
            reason=f"something did not end within {seconds:.0f} s of being told to",
            hint="Look at the disk of DATA_DIR, if it is a network's",
        )
        lines.close(LAST_LINES)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
