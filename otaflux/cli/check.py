"""`otaflux check`: tries what the settings name, and says for each what works and what to do.

Nothing is changed by it, but for a file in `DATA_DIR` that is removed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import click

from otaflux.cli.checks.broker import broker
from otaflux.cli.checks.finding import Finding
from otaflux.cli.checks.folder import folder
from otaflux.cli.checks.listening import address, certificate, hooks
from otaflux.cli.checks.named import named
from otaflux.cli.checks.signers import signers
from otaflux.cli.checks.source import source
from otaflux.cli.flags import EVERYTHING, uses
from otaflux.model.names import Device
from otaflux.settings import SettingOrigins, Settings


@click.command("check")
@click.argument("device", required=False)
@uses(*EVERYTHING, with_origins=True)
def command(settings: Settings, device: str | None, *, origins: SettingOrigins) -> int:
    """Try registry, credentials, data folder and the rest; exit 0 only if all of it works.

    With DEVICE it tries a release of that device. A wrong setting ends it at once with exit code 2.
    """
    return asyncio.run(_told(settings, Device.parse(device) if device else None, origins))


async def _told(settings: Settings, device: Device | None, origins: SettingOrigins) -> int:
    """Say each finding as soon as it is there; returns the exit code."""
    failures = 0
    async for finding in _findings(settings, device, origins):
        click.echo(str(finding))
        failures += finding.good is False
    return 1 if failures else 0


async def _findings(
    settings: Settings, device: Device | None, origins: SettingOrigins
) -> AsyncIterator[Finding]:
    for finding in (*named(origins), *folder(settings)):
        yield finding
    async for finding in source(settings, device):
        yield finding
    async for finding in broker(settings):
        yield finding
    for finding in signers(settings):
        yield finding
    yield hooks(settings)
    for finding in certificate(settings):
        yield finding
    yield address(settings.listen_addr, "LISTEN_ADDR")
    yield address(settings.metrics_listen_addr, "METRICS_LISTEN_ADDR")
