"""`otaflux wait`: its place is kept; it is refused, for ignoring it would let a CI job go on."""

from __future__ import annotations

import click

from otaflux.errors import BadSetting


@click.command("wait")
@click.argument("release", metavar="DEVICE:TAG")
@click.option("--timeout", metavar="SECONDS", help="Give up after so long.")
def command(release: str, timeout: str | None) -> None:
    """Wait until devices are told a release. Not built yet: refused."""
    raise BadSetting(
        "wait: found a command that is not built yet, expected another;"
        " `otaflux get '/version?device=…'` in a loop tells the same"
    )
