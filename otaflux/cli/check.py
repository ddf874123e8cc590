"""`otaflux check`: tries what the settings name, and says for each what works and what to do.

Nothing is changed by it, but for a file in `DATA_DIR` that is removed again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import click

from otaflux.cli import known
from otaflux.cli.flags import EVERYTHING, uses
from otaflux.errors import OtaFluxError, Undecided
from otaflux.settings import Settings
from otaflux.state.datafolder import DataFolder


@dataclass(frozen=True, slots=True)
class Finding:
    """What was tried and what came of it; `good` is None for what is merely told."""

    what: str
    good: bool | None
    says: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "note"}[self.good]
        advice = f"\n      -> {self.advice}" if self.advice else ""
        return f"{mark}  {self.what}: {self.says}{advice}"


@click.command("check")
@uses(*EVERYTHING)
def command(settings: Settings) -> int:
    """Try registry, credentials, data folder and the rest; exit 0 only if all of it works.

    Wrong settings end it at once with exit code 2, as they end the server.
    """
    findings = asyncio.run(_try(settings))
    for finding in findings:
        click.echo(str(finding))
    return 1 if any(finding.good is False for finding in findings) else 0


async def _try(settings: Settings) -> list[Finding]:
    findings = [Finding("settings", good=True, says="each can be read")]
    findings.extend(_folder(settings))
    findings.extend([finding async for finding in _source(settings)])
    findings.extend(_hooks(settings))
    findings.append(_listening(settings))
    return findings


def _folder(settings: Settings) -> Iterator[Finding]:
    """Whether DATA_DIR can be written, has room, and who has it. Blocks, shortly."""
    root = settings.data_dir
    where = root
    while not where.exists():
        where = where.absolute().parent
    what = f"data folder {root}"
    try:
        with tempfile.TemporaryFile(dir=where) as file:
            file.write(b"otaflux")
    except OSError as error:
        yield Finding(
            what,
            good=False,
            says=f"cannot be written: {error.strerror or error}",
            advice=f"Give user {os.getuid()} the right to write {where}, or set DATA_DIR",
        )
        return
    made = "" if root.exists() else "; it is made at the first start"
    yield Finding(what, good=True, says=f"can be written{made}")
    free, needed = shutil.disk_usage(where).free, settings.max_firmware_size
    yield Finding(
        "room on its disk",
        good=free > needed,
        says=f"{free >> 20} MiB free, the largest firmware may take {needed >> 20} MiB",
        advice="" if free > needed else "Free space, or lower MAX_FIRMWARE_SIZE",
    )
    if (root / "lock").exists():
        yield Finding("server on this folder", good=None, says=_lock(settings))


def _lock(settings: Settings) -> str:
    try:
        descriptor = os.open(settings.data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return f"cannot be told: {error.strerror or error}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return "runs"
    finally:
        os.close(descriptor)
    return "does not run"


async def _source(settings: Settings) -> AsyncIterator[Finding]:
    """Whether the registry answers and takes the credentials, and how many devices there are."""
    from otaflux.app import server as app

    what = f"registry {settings.registry_url or '(embedded folder)'}"
    embedded = DataFolder(settings.data_dir).registry
    fresh = not (embedded.exists() or any(known.records(settings.data_dir)))
    if settings.registry_url is None and fresh:
        yield Finding(what, good=True, says="is made at the first start or push")
        return
    try:
        credentials = app.credentials(settings)
        if credentials is not None:
            login = credentials.login()
            says = f"from {login.look_at}" if login else "none: asked without a name"
            yield Finding("credentials", good=None, says=says)
        namespace = app.namespace(settings)
        async with app.open_source(settings, patient=False) as source:
            listed = await source.devices()
            names = {*settings.devices, *(listed or ())}
            asked = min(names, default=known.NOBODY)
            listing = await source.tags(asked)
    except OtaFluxError as error:
        hint = error.hint if isinstance(error, Undecided) else ""
        yield Finding(what, good=False, says=str(error), advice=hint)
        return
    tags = f"{len(listing.tags)} tags of {asked}" if listing.repository_known else "no releases yet"
    yield Finding(what, good=True, says=f"answers: {tags}")
    if namespace.is_closed():
        yield Finding(
            "devices served",
            good=None,
            says=f"only the {len(settings.devices)} of DEVICES, for there are credentials and no"
            " REPOSITORY_PREFIX",
            advice="Set REPOSITORY_PREFIX; / serves every repository that the credentials can read",
        )
    elif listed is None:
        yield Finding(
            "listing",
            good=None,
            says="the registry lists no devices, or is not asked to without REPOSITORY_PREFIX",
            advice="A device is known once DEVICES, a hook or a poll names it",
        )
    records = known.of_source(settings.data_dir, source.name, namespace.prefix)
    yield _round(settings, len({*names, *records}))


def _round(settings: Settings, devices: int) -> Finding:
    seconds = devices / settings.registry_rate
    long = seconds > settings.recheck_interval
    return Finding(
        "re-checks",
        good=None,
        says=f"{devices} devices at REGISTRY_RATE {settings.registry_rate:g} take {seconds:.0f} s"
        f" of RECHECK_INTERVAL {settings.recheck_interval:g} s",
        advice="Raise REGISTRY_RATE, or let hooks do it and raise RECHECK_INTERVAL" if long else "",
    )


def _hooks(settings: Settings) -> Iterator[Finding]:
    if settings.webhook_secret is None:
        yield Finding(
            "hooks",
            good=None,
            says="closed: all are answered 403",
            advice=f"Set WEBHOOK_SECRET; without hooks a push is told within"
            f" {settings.recheck_interval:g} s",
        )
    else:
        count = len(settings.webhook_secret.current().reveal().split())
        yield Finding("hooks", good=True, says=f"open, {count} secret{'s' * (count != 1)} set")


def _listening(settings: Settings) -> Finding:
    """Whether somebody answers at LISTEN_ADDR, or whether it is free for us."""
    address = settings.listen_addr
    what = f"address {address}"
    try:
        with socket.create_connection((address.reachable.host, address.port), timeout=2):
            return Finding(what, good=None, says="somebody answers there: the server, if it runs")
    except OSError:
        pass
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.create_server((address.host, address.port), family=family):
            return Finding(what, good=True, says="can be listened on")
    except OSError as error:
        return Finding(
            what,
            good=False,
            says=f"cannot be listened on: {error.strerror or error}",
            advice="Set LISTEN_ADDR to an address of this machine and a free port",
        )
