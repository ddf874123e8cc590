"""Builds the parts from the settings and owns their lifetimes; decides nothing.

`serve` reads top to bottom: lock the folder, judge what lies there, open the source, bind queue,
reconciler and wake to each other, listen, run until told to stop.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

import otaflux
from otaflux import restore
from otaflux.catalog import Catalog
from otaflux.datafolder import DataFolder
from otaflux.errors import BadSetting, Undecided
from otaflux.guests import Guests
from otaflux.intake import Intake
from otaflux.journal import Journal
from otaflux.log import Event, log
from otaflux.metrics import Metrics
from otaflux.model.event import Touch
from otaflux.model.names import Namespace
from otaflux.pull import Puller
from otaflux.reconciler import Reconciler
from otaflux.registry.credentials import Credentials, credential_files
from otaflux.registry.endpoint import Endpoint
from otaflux.registry.layout import Layout
from otaflux.registry.remote import Remote
from otaflux.registry.retries import COMMAND, SERVER
from otaflux.registry.source import Source
from otaflux.settings import Settings
from otaflux.store import Store
from otaflux.unpack.limits import Limits
from otaflux.wake import Wake
from otaflux.web.answers import PlainPolls
from otaflux.web.devices import Devices
from otaflux.web.door import Door
from otaflux.web.downloads import Sender
from otaflux.web.newcomers import Newcomers
from otaflux.web.openfiles import make_room
from otaflux.web.origin import Origins
from otaflux.web.receiver import Receiver
from otaflux.web.server import Port
from otaflux.web.tls import Certificate
from otaflux.web.told import Connections, Downloads
from otaflux.workqueue import Outcome, WorkQueue

UNPACKED = 4  # times MAX_FIRMWARE_SIZE: all that is unpacked on the way to a firmware


def limits(settings: Settings) -> Limits:
    """The bounds on what one artifact may unpack to."""
    return Limits(settings.max_firmware_size, UNPACKED * settings.max_firmware_size)


def judged_by(settings: Settings) -> str:
    """What verdicts depend on: the limits and the program's version."""
    return f"otaflux {otaflux.__version__}, MAX_FIRMWARE_SIZE {settings.max_firmware_size}"


def credentials(settings: Settings) -> Credentials | None:
    """Who OtaFlux is for the registry; None for the embedded folder. Reads credentials files."""
    if settings.registry_url is None:
        return None
    environ = dict(os.environ)
    if settings.registry_auth_file is not None:
        environ["REGISTRY_AUTH_FILE"] = str(settings.registry_auth_file)
    return Credentials(
        Endpoint.parse(settings.registry_url, insecure=settings.registry_insecure),
        username=settings.registry_username,
        password=settings.registry_password,
        files=credential_files(environ, Path.home()),
    )


def namespace(settings: Settings) -> Namespace:
    """The rule from repositories to devices."""
    known = credentials(settings)
    return settings.namespace(credentials=known is not None and known.configured())


@asynccontextmanager
async def open_source(
    settings: Settings,
    *,
    patient: bool,
    on_request: Callable[[str, str], None] = lambda _kind, _outcome: None,
) -> AsyncIterator[Source]:
    """The registry, or the embedded folder where `REGISTRY_URL` is unset.

    `patient` is for commands, which have nothing to do but to wait.
    """
    if settings.registry_url is None:
        yield Layout(DataFolder(settings.data_dir).registry)
        return
    async with Remote(
        Endpoint.parse(settings.registry_url, insecure=settings.registry_insecure),
        namespace(settings),
        credentials(settings),
        ca_cert_path=settings.registry_ca_cert_path,
        insecure=settings.registry_insecure,
        environ=os.environ,
        policy=COMMAND if patient else SERVER,
        concurrency=settings.registry_concurrency,
        on_request=on_request,
    ) as remote:
        yield remote


async def serve(settings: Settings) -> None:
    """Run the server until SIGTERM or SIGINT.

    Raises `BadSetting` where the folder is in use or cannot be written, or nothing can listen.
    """
    with DataFolder(settings.data_dir).locked():
        journal = Journal(Metrics(CollectorRegistry()))
        async with open_source(
            settings, patient=False, on_request=journal.registry_request
        ) as source:
            server = _Server(settings, source, journal)
            await server.restore()
            await server.run()


class _Server:
    """The parts of a running server, bound to each other."""

    def __init__(self, settings: Settings, source: Source, journal: Journal) -> None:
        self._settings = settings
        self._source = source
        self._journal = journal
        self._folder = DataFolder(settings.data_dir)
        self._namespace = namespace(settings)
        self._catalog = Catalog(self._folder.catalog)
        self._store = Store(self._folder.firmware)
        self._guests = Guests(self._catalog, self._store)
        journal.hear_polls(self._guests.polled)
        self._queue = WorkQueue(
            self._work,
            places=settings.registry_concurrency,
            longest_wait=settings.recheck_interval,
        )
        self._wake = Wake(
            source,
            self._catalog,
            self._queue.touch,
            devices=settings.devices,
            interval=settings.recheck_interval,
            rate=settings.registry_rate,
            stamps=source.stamps if isinstance(source, Layout) else None,
        )
        self._reconciler = Reconciler(
            source,
            Puller(source, self._store, limits(settings), judged_by=judged_by(settings)),
            self._catalog,
            self._store,
            prefix=self._namespace.prefix,
            channels=settings.channels,
            keep_versions=settings.keep_versions,
            is_known=self._wake.is_known,
            found=self._guests.found,
        )

    async def _work(self, touch: Touch) -> Outcome:
        return await self._reconciler.run(touch)

    async def restore(self) -> None:
        """Judge what lies in the folder; what nobody names any more goes."""
        try:
            judged = await asyncio.to_thread(
                restore.restore,
                self._folder.catalog,
                self._store,
                source=self._source.name,
                prefix=self._namespace.prefix,
                namespace=self._namespace,
                channels=self._settings.channels,
            )
            if isinstance(self._source, Layout) and not any(r.channels for r in judged.records):
                await self._source.prepare()
        except Undecided as error:
            raise BadSetting(f"DATA_DIR: {error}. {error.hint}") from error
        self._judged = judged

    async def run(self) -> None:
        """Listen, and keep devices up to date, until told to stop."""
        stop = _stop_signals()
        port = self._port()
        for record in self._judged.records:
            self._catalog.adopt(record)
        named, elsewhere = self._catalog.names, self._judged.elsewhere
        if self._judged.all_read:
            with suppress(Undecided):  # what cannot be removed now is at the next start
                await asyncio.to_thread(
                    self._store.sweep, lambda digest: named(digest) or digest in elsewhere
                )
        async with port:
            self._say_started(port)
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._queue.run(), name="work queue"),
                    tasks.create_task(self._wake.run(), name="wake"),
                ]
                await stop.wait()
                log.info(Event.SERVER_STOPPING, downloads=self._sender.under_way)
                for task in running:
                    task.cancel()
        log.info(Event.SERVER_STOPPED)

    def _port(self) -> Port:
        """The device port, with the hooks on it."""
        settings = self._settings
        room = make_room(settings.max_downloads)
        polls = PlainPolls()
        connections, begun = Connections(), Downloads()
        origins = Origins(settings.public_url, settings.trusted_proxies)
        channels = frozenset(settings.channels)
        newcomers = Newcomers(
            self._catalog, self._queue, self._namespace, is_known=self._wake.is_known
        )
        self._sender = Sender(room.downloads)
        secure = settings.tls_cert_path is not None
        door = Door(
            polls,
            at_hand=newcomers.at_hand,
            sender=self._sender,
            connections=connections,
            origins=origins,
            observer=self._journal,
            channels=channels,
            secure=secure,
        )
        for part in (polls, door, begun, newcomers):
            self._catalog.listen(part.hear)
        devices = Devices(
            catalog=self._catalog,
            store=self._store,
            newcomers=newcomers,
            sender=self._sender,
            connections=connections,
            downloads=begun,
            origins=origins,
            observer=self._journal,
            channels=channels,
        )
        app = web.Application()
        app.add_routes(self._receiver(origins).routes())
        app.add_routes(devices.routes())
        return Port(
            app,
            settings.listen_addr.host,
            settings.listen_addr.port,
            direct=devices.answer,
            door=door,
            sender=self._sender,
            certificate=Certificate(settings.tls_cert_path, settings.tls_key_path)
            if settings.tls_cert_path and settings.tls_key_path
            else None,
            max_connections=room.connections,
            shutdown_timeout=settings.shutdown_timeout,
        )

    def _receiver(self, origins: Origins) -> Receiver:
        secret = self._settings.webhook_secret

        def secrets() -> list[str]:
            return secret.current().reveal().split() if secret else []

        def touch(touch: Touch) -> None:
            _ = self._queue.touch(touch)  # nobody waits: the hook is answered before its run

        return Receiver(
            secrets=secrets,
            intake=Intake(
                self._namespace,
                frozenset(self._settings.channels),
                self._reconciler.awaits_signature,
            ),
            touch=touch,
            known=self._wake.name,
            counted=self._journal.hook,
            sender=lambda request: origins.client(request.remote or "", request.headers),
        )

    def _say_started(self, port: Port) -> None:
        settings = self._settings
        log.info(
            Event.SERVER_STARTED,
            version=otaflux.__version__,
            url=port.url,
            registry=self._source.name,
            prefix=self._namespace.prefix,
            hooks="open" if settings.webhook_secret else "closed: WEBHOOK_SECRET is not set",
            devices=len(self._catalog.devices()),
        )
        if self._namespace.closed:
            log.warning(
                Event.ONLY_DEVICES,
                devices=sorted(device.name for device in settings.devices),
                reason="there are credentials for the registry and no REPOSITORY_PREFIX",
                hint="Set REPOSITORY_PREFIX; / serves every repository that they can read",
            )
        known = len(self._wake.known())
        round_seconds = known / settings.registry_rate
        if round_seconds > settings.recheck_interval:
            log.warning(
                Event.ROUND_IS_LONG,
                devices=known,
                seconds=round(round_seconds),
                hint="Raise REGISTRY_RATE, or let hooks do it and raise RECHECK_INTERVAL",
            )


def _stop_signals() -> asyncio.Event:
    """Set once SIGTERM or SIGINT came."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
