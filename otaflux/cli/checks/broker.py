"""The broker: whether it takes, keeps and gives back what is sent below the topic."""

from __future__ import annotations

from collections.abc import AsyncIterator

from otaflux.cli.checks.finding import Finding, failed, note, works
from otaflux.errors import Undecided
from otaflux.settings import Settings


async def broker(settings: Settings) -> AsyncIterator[Finding]:
    """What became of it; nothing where no broker is set."""
    if settings.mqtt_url is None:
        return
    from otaflux.app.broker import account
    from otaflux.broker.probe import probe

    who = account(settings, settings.mqtt_url)
    what = f"broker {who.url}"
    try:
        protocol = await probe(who)
    except Undecided as error:
        yield failed(what, error)
    else:
        name = f"the account '{who.username}'" if who.username else "anybody"
        yield works(what, f"lets {name} write and read {who.topic}/#, and keeps it ({protocol})")
    if settings.public_url is None:
        yield note(
            "messages at the broker",
            "their url is a path alone, for PUBLIC_URL is not set",
            "Set PUBLIC_URL to the address that devices reach",
        )
