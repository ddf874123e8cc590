"""The connection to the broker: made, held, and made again when it is lost.

The library does not reconnect, and a client of it is used once: so each connection is a new one,
after a wait that grows while it fails. Nothing that happens here ends the server or keeps a device
waiting. MQTT 5 is spoken first, for its bound on the size of messages; a broker that has only 3.1.1
gets that. On one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from otaflux.broker import failures
from otaflux.broker.account import Account
from otaflux.broker.session import Session
from otaflux.errors import Undecided
from otaflux.events import BrokerConnected, BrokerFailed, Events
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.threads import to_its_end
from otaflux.work.backoff import Backoff

LARGEST = 16 << 10  # bytes of a message that a broker of MQTT 5 may send us; ours are below 2,000
# Seconds for the answer to CONNECT: that a broker closed the connection instead, the library does
# not tell, and one that restarts does so to whoever comes too early.
GREETING = 4.0
KEEPALIVE = 20  # seconds between signs of life; a TLS handshake may take as long
RECONNECT = Backoff(first=0.25, most=5.0)
# What the library says by itself is said by our own lines, or is none of anybody's business.
_SILENT = logging.getLogger("otaflux.broker")
_SILENT.setLevel(logging.CRITICAL + 1)


class Participant(Protocol):
    """What uses the connection."""

    async def begin(self, session: Session) -> None:
        """Do what has to be done before others use it; may raise `Undecided`."""
        ...

    async def serve(self, session: Session) -> None:
        """Use it until cancelled, or until there is nothing more to do; may raise `Undecided`."""
        ...

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        ...


class Link:
    """Holds a connection for `parts`, which begin with it one after the other, while `run` runs.

    `patience` is how many seconds the broker has for an answer.
    """

    def __init__(
        self,
        account: Account,
        parts: Sequence[Participant],
        *,
        events: Events,
        machine: Machine = REAL_MACHINE,
        backoff: Backoff = RECONNECT,
        patience: float = 10.0,
        replica: str | None = None,
    ) -> None:
        self._account = account
        self._parts = parts
        self._events = events
        self._machine = machine
        self._backoff = backoff
        self._patience = patience
        self._replica = replica or new_replica()
        self._connected = False

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return sum(part.waiting for part in self._parts)

    async def run(self) -> None:
        """Connect, and again whenever that fails or ends, until cancelled."""
        failures_in_row = 0
        version = ProtocolVersion.V5
        while True:
            try:
                async with connected(
                    self._account, version, replica=self._replica, patience=self._patience
                ) as session:
                    failures_in_row = 0
                    await self._serve(session)
            except OldProtocol as error:
                version = _other(version)
                if version is ProtocolVersion.V311:
                    continue
                self._failed(error)
            except Undecided as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - a bug here must not end the server
                log.exception(Event.BROKER_CRASHED, broker=self._account.url)
                self._failed(Undecided(f"a bug of OtaFlux: {type(error).__name__}"))
            failures_in_row += 1
            await self._machine.sleep(self._backoff.after(failures_in_row, self._machine.chance))

    async def flush(self, within: float) -> None:
        """Wait until nothing waits to be sent, so many seconds at most; not without a broker."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._connected and self.waiting:  # noqa: ASYNC110 - the parts only count
                    await asyncio.sleep(0.01)

    def _failed(self, error: Undecided) -> None:
        self._events.tell(BrokerFailed(str(error), error.hint))

    async def _serve(self, session: Session) -> None:
        """Let the parts use a connection until it is lost; raises `Undecided` then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                # Each in a task of its own, whose end nobody else's cancellation can be lost in.
                tasks.create_task(session.end(), name="broker")
                tasks.create_task(self._begin(session, tasks), name="broker: begin")
        except BaseExceptionGroup as group:
            ours, bugs = group.split(Undecided)
            if bugs is not None or ours is None:
                raise
            raise _first(ours) from None
        finally:
            self._connected = False

    async def _begin(self, session: Session, tasks: asyncio.TaskGroup) -> None:
        """Let the parts have it, once what is sent comes back."""
        await session.open()
        self._connected = True
        self._events.tell(BrokerConnected(self._account.url, self._account.topic))
        for part in self._parts:
            await part.begin(session)
        for part in self._parts:
            tasks.create_task(part.serve(session), name=f"broker: {type(part).__name__}")


class OldProtocol(Undecided):
    """The broker does not speak this version of MQTT, or says nothing to who speaks it."""


def new_replica() -> str:
    """A name for this process among its replicas."""
    return secrets.token_hex(8)


@asynccontextmanager
async def connected(
    account: Account, version: ProtocolVersion, *, replica: str, patience: float
) -> AsyncIterator[Session]:
    """A connection, closed at the end; raises `Undecided` where there is none."""
    heard: list[Callable[[aiomqtt.Message], None]] = []

    class HandedOn(asyncio.Queue[aiomqtt.Message]):
        """The library's queue, which holds nothing: a message is heard in the step it comes in."""

        def put_nowait(self, message: aiomqtt.Message) -> None:
            for hear in heard:
                hear(message)

    try:
        context = await asyncio.to_thread(_tls, account) if account.secure else None
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        raise Undecided(
            f"the certificates for the broker cannot be read: {error}",
            hint="Look at MQTT_CA_CERT_PATH, MQTT_CLIENT_CERT_PATH and MQTT_CLIENT_KEY_PATH",
        ) from None
    client = aiomqtt.Client(
        account.host,
        account.port,
        username=account.username,
        password=account.password.current().reveal() if account.password else None,
        identifier=f"otaflux-{replica}",
        logger=_SILENT,
        queue_type=HandedOn,
        protocol=version,
        properties=_bounds() if version is ProtocolVersion.V5 else None,
        timeout=min(patience, GREETING),
        keepalive=KEEPALIVE,
        tls_context=context,
    )
    try:
        # Cancelled half-way it would leave a thread that connects, and a socket of nobody's.
        await to_its_end(client.__aenter__())
    except MqttError as error:
        await _drop(client)
        refusal = failures.not_connected(account, error)
        if failures.code_of(error) in failures.UNSUPPORTED or "not answer" in str(refusal):
            raise OldProtocol(str(refusal), hint=refusal.hint) from None
        raise refusal from None
    except asyncio.CancelledError:
        await _drop(client)
        raise
    client.timeout = patience
    session = Session(client, version, account, replica, patience=patience)
    heard.append(session.hear)
    try:
        yield session
    finally:
        await _drop(client)


async def _drop(client: aiomqtt.Client) -> None:
    """Say goodbye if that can be said at once, and close the socket."""
    client.timeout = 1.0
    with suppress(MqttError):
        await to_its_end(client.__aexit__(None, None, None))


def _other(version: ProtocolVersion) -> ProtocolVersion:
    return ProtocolVersion.V311 if version is ProtocolVersion.V5 else ProtocolVersion.V5


def _bounds() -> Properties:
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = LARGEST
    return properties  # type: ignore[no-any-return]


class _Closing(ssl.SSLSocket):
    """A socket that is closed when its handshake fails; the library leaves it lying."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is inherited
        """See `ssl.SSLSocket`."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls(account: Account) -> ssl.SSLContext:
    """Reads files. Raises `OSError` where they are not what they should be."""
    context = ssl.create_default_context()
    context.sslsocket_class = _Closing
    if account.ca_cert_path is not None:
        context.load_verify_locations(cafile=account.ca_cert_path)
    if account.client_cert_path is not None:
        context.load_cert_chain(
            account.client_cert_path, account.client_key_path, password=_no_passphrase
        )
    return context


def _no_passphrase() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("the client's key asks for a passphrase")


def _first(group: BaseExceptionGroup[Undecided]) -> Undecided:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
