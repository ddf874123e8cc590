"""Whether a broker does what is needed of it, tried on a topic of our own: for `otaflux check`."""

from __future__ import annotations

import asyncio

from aiomqtt import ProtocolVersion

from otaflux.broker import failures
from otaflux.broker.account import Account
from otaflux.broker.link import OldProtocol, connected, new_replica
from otaflux.broker.session import Session
from otaflux.threads import end

PATIENCE = 5.0  # seconds for each answer
_NAMES = {ProtocolVersion.V5: "MQTT 5", ProtocolVersion.V311: "MQTT 3.1.1"}


async def probe(account: Account, *, patience: float = PATIENCE) -> str:
    """Connect, send a message that is kept, read it and remove it; returns the protocol spoken.

    Raises `Undecided` saying which of it did not work.
    """
    try:
        return await _probe(account, ProtocolVersion.V5, patience)
    except OldProtocol:
        return await _probe(account, ProtocolVersion.V311, patience)


async def _probe(account: Account, version: ProtocolVersion, patience: float) -> str:
    replica = new_replica()
    topic = account.own("check", replica)
    async with connected(account, version, replica=replica, patience=patience) as session:
        trying = asyncio.create_task(_try(session, topic))
        ending = asyncio.create_task(session.end())  # which knows why, where the broker ends it
        await asyncio.wait({trying, ending}, return_when=asyncio.FIRST_COMPLETED)
        outcome = ending if ending.done() else trying
        await end(*({trying, ending} - {outcome}))
        await outcome
    return _NAMES[version]


async def _try(session: Session, topic: str) -> None:
    await session.open()
    await session.publish(topic, b"otaflux check", retain=True)
    held = await session.read([topic])
    if held.get(topic) != b"otaflux check":
        raise failures.not_kept(session.account, topic)
    await session.publish(topic, b"", retain=True)
