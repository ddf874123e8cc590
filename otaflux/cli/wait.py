"""`otaflux wait`: a CI job is green when devices are told a release, red when they will not be.

It asks a running server, again and again, and judges what that says (`waitfor.py`).
"""

from __future__ import annotations

import time
from urllib.parse import quote

import click

from otaflux.cli.flags import uses
from otaflux.cli.operators import OperatorsAddress
from otaflux.cli.reference import device_and_tag
from otaflux.cli.waitfor import IsTold, Judged, Never, NotYet, Wait, WaitedFor, judge
from otaflux.errors import BadName, BadSetting, Undecided
from otaflux.model.artifact import Digest
from otaflux.model.version import Version
from otaflux.settings import Settings
from otaflux.settings.values import Wrong, seconds

EVERY = 0.5  # seconds between two questions
LONGEST = 86_400  # seconds


@click.command("wait")
@click.argument("release", metavar="DEVICE:TAG")
@click.option("--timeout", metavar="SECONDS", default="300", help="Give up then. [default: 300]")
@click.option("--digest", help="Wait for these bytes under the tag, as `otaflux push` prints it.")
@click.option("--url", metavar="URL", help="Operators' port, if it is behind a proxy.")
@uses("metrics_listen_addr", "log_level")
def command(
    settings: Settings, release: str, timeout: str, digest: str | None, url: str | None
) -> int:
    """Wait until devices are told a release; exit 1, with the reason, if they will not be.

    It asks the server at METRICS_LISTEN_ADDR.
    """
    device, tag = device_and_tag(release, any_tag=False)
    wanted = WaitedFor(device, tag, Version.parse(tag.text), _digest(digest))
    address = OperatorsAddress.of(settings, url)
    waited = Wait(_timeout(timeout))
    while True:
        outcome = waited.weigh(_ask(address, wanted))
        if isinstance(outcome, IsTold):
            return 0
        if isinstance(outcome, Never):
            raise Undecided(f"{release}: {outcome.reason}", hint=outcome.hint)
        time.sleep(EVERY)


def _ask(address: OperatorsAddress, wanted: WaitedFor) -> Judged:
    try:
        status, said = address.ask(f"/status?device={quote(wanted.device.name, safe='/')}")
    except Undecided as error:
        return NotYet(str(error), error.hint, may_come=False)
    return judge(status, said, wanted)


def _timeout(text: str) -> float:
    try:
        return seconds(0, LONGEST, "300")(text.strip())
    except Wrong as error:
        raise BadSetting(f"--timeout: found {text!r}, expected {error.expected}") from None


def _digest(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return str(Digest.parse(text.strip()))
    except BadName:
        raise BadSetting(
            f"--digest: found {text!r}, expected one as `otaflux push` prints it, sha256:…"
        ) from None
