"""The running server: its parts, bound to each other and to sockets, and their lifetimes.

Decides nothing. `serve` reads top to bottom: lock the folder, open the source (`parts.py`), bind
what keeps devices up to date (`controller.py`) and what they reach (`edge.py`), judge what lies
there, listen, run until told to stop.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import otaflux
from otaflux.app import libraries
from otaflux.app.controller import Controller
from otaflux.app.edge import Edge
from otaflux.app.operators import Observation, OperatorSide
from otaflux.app.parts import Assembly
from otaflux.collector import set_aside, setting_aside
from otaflux.errors import BadSetting, Undecided
from otaflux.freed import give_back
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE
from otaflux.overheard import Overheard
from otaflux.registry.layout import Layout
from otaflux.registry.source import Source
from otaflux.secret import several
from otaflux.settings import Settings
from otaflux.state.datafolder import DataFolder
from otaflux.units.saver import Saver
from otaflux.units.units import Units
from otaflux.web.devices.admission import Admission
from otaflux.web.origin import Origins
from otaflux.web.port.openfiles import make_room
from otaflux.web.port.server import Port
from otaflux.web.port.tls import Certificate

if TYPE_CHECKING:
    from otaflux.broker.link import Link

# Seconds after which a thread that computes lets the event loop go on. A poll asks for its turn
# two or three times: with Python's 5 ms, sorting out a large listing keeps each waiting for 15.
TURN = 0.001
FLUSH = 3.0  # seconds, at the end, for messages that wait to be sent to the broker
OPERATORS = 200  # connections at METRICS_LISTEN_ADDR; live pages hold one each
LAST_ANSWERS = 1.0  # seconds that operators' requests have at the end


async def serve(
    settings: Settings,
    *,
    overheard: Overheard | None = None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Run the server until SIGTERM, SIGINT or SIGHUP; `stopping` is called when one came.

    `overheard` has the log's warnings, for operators.

    Raises `BadSetting` where the folder is in use or cannot be written, or nothing can listen.
    """
    sys.setswitchinterval(TURN)
    with libraries.heard(), DataFolder(settings.data_dir).locked():
        seen = Observation(overheard or Overheard())
        parts = Assembly(settings)
        async with parts.open_source(patient=False, events=seen.events) as source:
            server = _Server(parts, source, seen)
            await server.restore()
            await server.run(stopping)


class _Server:
    """The parts of a running server, bound to each other."""

    def __init__(self, parts: Assembly, source: Source, seen: Observation) -> None:
        self._settings = settings = parts.settings
        self._seen = seen
        self._source = source
        self._controller = Controller(
            source,
            parts.folder,
            parts.policy,
            machine=REAL_MACHINE,
            events=seen.events,
            stamps=source.stamps if isinstance(source, Layout) else None,
            logins_changed=parts.credentials.changed if parts.credentials else None,
            trusted=parts.trusted,
        )
        self._units = Units(settings.units, events=seen.events)
        self._saver = Saver(self._units, parts.folder.units)
        room = make_room(settings.max_downloads)
        self._edge = Edge(
            self._controller,
            units=self._units,
            secrets=self._secrets,
            origins=Origins(settings.public_url, settings.trusted_proxies),
            observer=seen.observer,
            downloads=room.downloads,
            secure=settings.tls_cert_path is not None,
            admission=Admission(
                tokens=self._device_tokens,
                by_certificate=settings.tls_client_ca_path is not None,
                now=REAL_MACHINE.now,
            ),
            poll_interval=settings.poll_interval,
        )
        self._port = Port(
            self._edge.answer,
            settings.listen_addr.host,
            settings.listen_addr.port,
            cache=self._edge.cache,
            downloads=self._edge.downloads,
            certificate=Certificate(
                settings.tls_cert_path, settings.tls_key_path, settings.tls_client_ca_path
            )
            if settings.tls_cert_path and settings.tls_key_path
            else None,
            unreadable=self._edge.unreadable,
            max_connections=room.connections,
            shutdown_timeout=settings.shutdown_timeout,
        )
        self._operators = OperatorSide(seen, self._controller, self._edge, source.name)
        self._operators_port = Port(
            self._operators.answer,
            settings.metrics_listen_addr.host,
            settings.metrics_listen_addr.port,
            setting="METRICS_LISTEN_ADDR",
            max_connections=OPERATORS,
            shutdown_timeout=min(settings.shutdown_timeout, LAST_ANSWERS),
        )

    def _broker(self) -> Link | None:
        """The broker, where one is set; its library is not even loaded without."""
        settings = self._settings
        if settings.mqtt_url is None:
            return None
        from otaflux.app.broker import account, link

        who = account(settings, settings.mqtt_url)
        return link(who, settings, self._controller, self._units, secrets=self._secrets)

    def _secrets(self) -> list[str]:
        return several(self._settings.webhook_secret)

    def _device_tokens(self) -> list[str]:
        return several(self._settings.device_tokens)

    async def restore(self) -> None:
        """Judge what lies in the folder, and tell what may be told."""
        gc.collect()  # what loading the program left, before much is made that `set_aside` keeps
        try:
            told = await self._controller.restore()
            if isinstance(self._source, Layout) and not told:
                await self._source.prepare()
        except Undecided as error:
            raise BadSetting(f"DATA_DIR: {error}. {error.hint}") from error
        await self._controller.load()
        set_aside()

    def _stays(self) -> int:
        """How much there is that stays: a record and some notes of each device."""
        return len(self._controller.catalog.devices()) + len(self._seen.journal.noted())

    async def run(self, stopping: Callable[[], None]) -> None:
        """Listen, and keep devices up to date, until told to stop."""
        stop = _stop_signals()
        # Now, for what was found on the disk is no change.
        link = self._broker()
        with setting_aside(self._stays):
            async with self._saver, self._operators_port, self._port, asyncio.TaskGroup() as tasks:
                self._say_started()
                controller = tasks.create_task(self._controller.run(), name="controller")
                giving = tasks.create_task(
                    give_back(self._controller.machine.in_thread), name="freed"
                )
                broker = tasks.create_task(link.run(), name="broker") if link else None
                await stop.wait()
                stopping()
                self._operators.live.end()
                self._edge.long_polls.close()
                log.info(Event.SERVER_STOPPING, downloads=self._edge.downloads.under_way)
                controller.cancel()
                giving.cancel()
                if link and broker:
                    await link.flush(FLUSH)
                    broker.cancel()
        log.info(Event.SERVER_STOPPED)

    def _say_started(self) -> None:
        settings, controller = self._settings, self._controller
        known = len(controller.roster.devices())
        log.info(
            Event.SERVER_STARTED,
            version=otaflux.__version__,
            url=self._port.url,
            operators=self._operators_port.url,
            registry=self._source.name,
            prefix=controller.namespace.prefix,
            hooks="secret required"
            if settings.webhook_secret
            else "closed: WEBHOOK_SECRET is not set",
            devices=known,
        )
        if controller.namespace.is_closed():
            log.warning(
                Event.ONLY_DEVICES,
                devices=sorted(device.name for device in settings.devices),
                reason="there are credentials for the registry and no REPOSITORY_PREFIX",
                hint="Set REPOSITORY_PREFIX; / serves every repository that they can read",
            )
        round_seconds = known / settings.registry_rate
        if round_seconds > settings.recheck_interval:
            log.warning(
                Event.ROUND_IS_LONG,
                devices=known,
                seconds=round(round_seconds),
                hint="Raise REGISTRY_RATE, or let hooks do it and raise RECHECK_INTERVAL",
            )


def _stop_signals() -> asyncio.Event:
    """Set once SIGTERM, SIGINT or SIGHUP came; the last stays ignored where `nohup` did that."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # a terminal that was closed, a supervisor that means reload
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    return stop
