"""What devices and hooks reach: the address, the certificate, the secret of hooks."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from yarl import URL

from otaflux.cli.checks.finding import Finding, fails, note, works
from otaflux.secret import several
from otaflux.settings import Settings
from otaflux.settings.addresses import Address
from otaflux.web.port import validity
from otaflux.web.port.validity import SOON, Validity

DAY = 24 * 3600.0  # seconds


def hooks(settings: Settings) -> Finding:
    """Whether hooks are taken."""
    if settings.webhook_secret is None:
        return note(
            "hooks",
            "closed: all are answered 403",
            "Set WEBHOOK_SECRET; without hooks a push is told within"
            f" {settings.recheck_interval:g} s",
        )
    count = len(several(settings.webhook_secret))
    return works("hooks", f"taken with {'the' if count == 1 else f'one of {count}'} secret"
                   f"{'s' * (count != 1)} of WEBHOOK_SECRET")  # fmt: skip


def address(at: Address, setting: str) -> Finding:
    """Whether somebody answers there, or whether it is free for us; `setting` is its name."""
    what = f"address {at}"
    try:
        with socket.create_connection((at.reachable.host, at.port), timeout=2):
            return note(what, "somebody answers there: the server, if it runs")
    except OSError:
        pass
    try:
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        with socket.create_server((at.host, at.port), family=family):
            return works(what, "can be listened on")
    except OSError as error:
        return fails(
            what,
            f"cannot be listened on: {error.strerror or error}",
            f"Set {setting} to an address of this machine and a free port",
        )


def certificate(settings: Settings, *, now: float | None = None) -> Iterator[Finding]:
    """The server's own: when it ends, and whether it is for the name in PUBLIC_URL. Blocks."""
    path = settings.tls_cert_path
    if path is None:
        return
    what = f"certificate {path}"
    try:
        found = validity.read(path)
    except (OSError, ValueError) as error:
        yield note(what, f"when it ends cannot be read: {error}")
        return
    yield _ends(what, found, time.time() if now is None else now)
    host = URL(settings.public_url).host if settings.public_url else None
    if host and not found.covers(host):
        yield fails(
            "its names",
            f"it is for {', '.join(found.names) or 'no name'}, and not for {host} of PUBLIC_URL",
            "Boards that check certificates refuse it: get one for that name",
        )
    else:
        yield note("its names", ", ".join(found.names) or "none: clients refuse it")


def _ends(what: str, found: Validity, now: float) -> Finding:
    days = int((found.ends - now) // DAY)
    day = time.strftime("%Y-%m-%d", time.gmtime(found.ends))
    renew = "Renew it; the files are read again when they change"
    if found.begins > now:
        began = time.strftime("%Y-%m-%d %H:%M", time.gmtime(found.begins))
        return fails(what, f"counts only from {began} UTC on", "Is the clock right?")
    if found.ends <= now:
        return fails(what, f"ended on {day}: devices refuse it", renew)
    if found.ends - now < SOON:
        return note(what, f"ends in {days} days, on {day}", renew)
    return works(what, f"counts until {day}, {days} days")
