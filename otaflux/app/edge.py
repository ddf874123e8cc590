"""What devices and registries reach, bound to what keeps devices up to date; no socket yet.

Decides nothing. `DeviceSide` binds what answers devices, for the server, the simulation, tests and
benchmarks alike; `Edge` adds the hooks, and the table of addresses that says who answers what.
Plain polls are answered by `cache` before. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from aiohttp import web

from otaflux.app.controller import Controller
from otaflux.hooks.intake import Intake
from otaflux.machine import Machine
from otaflux.model.event import Touch
from otaflux.model.names import Device, Namespace
from otaflux.model.record import Record
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.store import Store
from otaflux.units.units import Units
from otaflux.web.devices.admission import EVERYBODY, Admission
from otaflux.web.devices.ask import Channels
from otaflux.web.devices.continuity import DownloadMemory, LastTold
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.firstlooks import PATIENCE, FirstLooks
from otaflux.web.devices.handlers import Devices
from otaflux.web.devices.longpolls import LongPolls
from otaflux.web.devices.request import POLL_INTERVAL, Parts
from otaflux.web.devices.zigbeefiles import ZigbeeFiles
from otaflux.web.hooks.receiver import ADDRESSES as HOOKS
from otaflux.web.hooks.receiver import Receiver, address_of
from otaflux.web.observer import Everybody, Nobody, Observer, Polled
from otaflux.web.origin import Origins
from otaflux.web.port.addresses import Addresses
from otaflux.web.port.plaindownloads import PlainDownloads
from otaflux.web.port.requestcache import MAX_REMEMBERED, RequestCache
from otaflux.work.queue import WorkQueue


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of devices and their units, and where what is not known is looked for.

    `follows_down` says that what a unit runs changes nothing of what it is told.
    """

    catalog: Catalog
    store: Store
    checksums: Checksums
    roster: Roster
    queue: WorkQueue
    namespace: Namespace
    channels: Channels
    machine: Machine
    units: Units
    follows_down: bool = True


def ignored(_: Sequence[Record]) -> None:
    """What a start found is nothing to those who only remember what was answered since."""


class DeviceSide:
    """What answers devices; its parts hear of each record from the moment they are built.

    `secure` says that the port has TLS, `observer` hears of requests, `admission` says who may
    ask, and `patience` is how many seconds a poll waits for a first look.
    """

    def __init__(
        self,
        known: Known,
        downloads: Downloads,
        *,
        origins: Origins,
        observer: Observer,
        secure: bool = False,
        admission: Admission = EVERYBODY,
        poll_interval: int = POLL_INTERVAL,
        patience: float = PATIENCE,
    ) -> None:
        machine = known.machine
        self.downloads = downloads
        self.last_told, self.memory = LastTold(machine.clock), DownloadMemory(machine)
        self.first_looks = FirstLooks(
            known.catalog,
            known.queue,
            known.namespace,
            roster=known.roster,
            patience=patience,
        )
        cache = partial(
            RequestCache,
            ready_record=self.first_looks.ready_record,
            downloads=downloads,
            last_told=self.last_told,
            origins=origins,
            observer=observer,
            channels=known.channels,
            secure=secure,
            heard=lambda device, unit, runs, told: known.units.heard(
                device, unit, runs=runs, told=told
            ),
            follows_down=known.follows_down,
            admission=admission,
            most=MAX_REMEMBERED // 2 if origins.trusted else MAX_REMEMBERED,
            clock=machine.clock,
            now=machine.now,
        )
        plain = PlainDownloads(
            store=known.store,
            memory=self.memory,
            downloads=downloads,
            observer=observer,
            channels=known.channels,
            clock=machine.clock,
            now=machine.now,
        )
        self.cache = cache(plain=plain, behind=cache(shared=True) if origins.trusted else None)
        self.zigbee = ZigbeeFiles(known.store, machine)
        self.long_polls = LongPolls()
        for part in (self.cache, self.memory, self.long_polls):
            known.catalog.listen(part.hear, at_start=ignored)
        known.catalog.listen(self.zigbee.hear, at_start=self.zigbee.hear_start)
        self.parts = Parts(
            catalog=known.catalog,
            store=known.store,
            checksums=known.checksums,
            first_looks=self.first_looks,
            downloads=downloads,
            last_told=self.last_told,
            memory=self.memory,
            origins=origins,
            observer=observer,
            channels=known.channels,
            units=known.units,
            zigbee=self.zigbee,
            admission=admission,
            long_polls=self.long_polls,
            poll_interval=poll_interval,
            machine=machine,
        )
        self.devices = Devices(self.parts)


class _Polls(Nobody):
    """Lets the roster know which devices are asked for."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def poll(self, device: Device, runs: str) -> None:
        """One was."""
        self._roster.polled((device,))

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """Several were."""
        self._roster.polled({device for device, _ in answered})


class Edge(DeviceSide):
    """The parts behind `LISTEN_ADDR`: devices, and hooks at their own addresses.

    `secrets` gives the webhook secrets that count now, `downloads` is how many there may be at
    once; all else is as `DeviceSide` has it.
    """

    def __init__(
        self,
        controller: Controller,
        *,
        units: Units,
        secrets: Callable[[], Sequence[str]],
        origins: Origins,
        observer: Observer,
        downloads: int,
        secure: bool,
        admission: Admission = EVERYBODY,
        poll_interval: int = POLL_INTERVAL,
    ) -> None:
        machine = controller.machine
        known = Known(
            catalog=controller.catalog,
            store=controller.store,
            checksums=controller.checksums,
            roster=controller.roster,
            queue=controller.queue,
            namespace=controller.namespace,
            channels=Channels(controller.channels, controller.default_channel),
            machine=machine,
            units=units,
            follows_down=not controller.policy.never_fall,
        )

        def client(request: web.BaseRequest) -> str:
            return origins.client(request.remote or "", request.headers)

        sender = Downloads(downloads, client=client, clock=machine.clock)
        observer = Everybody(observer, _Polls(controller.roster))
        super().__init__(
            known,
            sender,
            origins=origins,
            observer=observer,
            secure=secure,
            poll_interval=poll_interval,
            admission=admission,
        )

        def touch(touch: Touch) -> None:
            _ = controller.touch(touch)  # nobody waits: the hook is answered before its run

        receiver = Receiver(
            secrets=secrets,
            intake=Intake(
                controller.namespace,
                controller.channels,
                controller.awaits_signature,
                heeds_signatures=lambda: controller.heeds_signatures,
            ),
            touch=touch,
            known=controller.roster.name,
            events=controller.events,
            sender=client,
            clock=machine.clock,
        )
        self.unreadable = receiver.unreadable

        async def hook(request: web.BaseRequest) -> web.StreamResponse:
            began = machine.clock()
            answer = await receiver.answer(request)
            path, seconds = address_of(request.raw_path), machine.clock() - began
            observer.request(path, request.method, answer.status, seconds)
            return answer

        self.answer = Addresses(
            [(path, hook) for path in HOOKS],
            self.devices.answer,
            posted=hook,
            unless=self.devices.has,
        )
