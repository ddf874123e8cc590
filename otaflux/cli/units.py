"""`otaflux units`: the units that a running server heard of, and what each runs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import click

from otaflux.cli.columns import table
from otaflux.cli.flags import uses
from otaflux.cli.operators import OperatorsAddress
from otaflux.errors import Undecided
from otaflux.model.names import Device
from otaflux.settings import Settings

_COLUMNS = ("unit", "device", "runs", "told", "protocol", "heard", "failed")


@click.command("units")
@click.argument("device", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("--url", metavar="URL", help="Operators' port, if it is behind a proxy.")
@uses("metrics_listen_addr", "log_level")
def command(settings: Settings, device: str | None, url: str | None, *, as_json: bool) -> int:
    """The units heard of, or those of one device: what each runs, was told, and what failed.

    It asks the server at METRICS_LISTEN_ADDR.
    """
    named = Device.parse(device) if device else None
    units = _ask(OperatorsAddress.of(settings, url), named)
    if as_json:
        click.echo(json.dumps({"units": units}, indent=2))
    elif units:
        rows = [[str(each[name] or "-") for name in _COLUMNS] for each in units]
        click.echo(table([[name.upper() for name in _COLUMNS], *rows]))
    else:
        click.echo("otaflux: no unit that names itself was heard of yet", err=True)
    return 0


def _ask(address: OperatorsAddress, device: Device | None) -> list[dict[str, Any]]:
    """All units, page by page; raises `Undecided`."""
    units: list[dict[str, Any]] = []
    first: int | None = 0
    while first is not None:
        named = {"device": device.name} if device else {}
        status, said = address.ask(f"/units?{urlencode(named | {'first': first})}")
        try:
            units += [{name: each[name] for name in _COLUMNS} for each in said["units"]]
            following = said.get("next")
            first = following if following is not None and following > first else None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Undecided(
                f"{address.shown} answers {status}, and no list of units",
                hint="Is that the operators' port of an otaflux of this version?",
            ) from None
    return units
