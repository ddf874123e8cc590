"""What devices and registries reach, bound to what keeps devices up to date; no socket yet.

Decides nothing. `answer` answers each request: the table of addresses says who does. Plain polls
are answered by `cache` before. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from otaflux.app.controller import Controller
from otaflux.hooks.intake import Intake
from otaflux.model.event import Touch
from otaflux.web.devices.continuity import DownloadMemory, LastTold
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.exchange import Parts
from otaflux.web.devices.firstlooks import FirstLooks
from otaflux.web.devices.handlers import Devices
from otaflux.web.hooks.receiver import ADDRESSES as HOOKS
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.observer import Observer
from otaflux.web.origin import Origins
from otaflux.web.port.addresses import Addresses
from otaflux.web.port.requestcache import RequestCache


class Edge:
    """The parts behind `LISTEN_ADDR`; they hear of each record from the moment they are built.

    `secrets` gives the webhook secrets that count now, `downloads` is how many there may be at
    once, `secure` says that the port has TLS, `observer` hears of requests.
    """

    def __init__(
        self,
        controller: Controller,
        *,
        secrets: Callable[[], Sequence[str]],
        origins: Origins,
        observer: Observer,
        downloads: int,
        secure: bool,
    ) -> None:
        self._controller = controller
        self._origins = origins
        machine = controller.machine
        last_told, memory = LastTold(machine.clock), DownloadMemory(machine)
        first_looks = FirstLooks(
            controller.catalog,
            controller.queue,
            controller.namespace,
            roster=controller.roster,
        )
        self.downloads = Downloads(downloads, clock=machine.clock)
        self.cache = RequestCache(
            ready_record=first_looks.ready_record,
            sender=self.downloads,
            connections=last_told,
            origins=origins,
            observer=observer,
            channels=controller.channels,
            secure=secure,
            clock=machine.clock,
            now=machine.now,
        )
        for part in (self.cache, memory):
            controller.catalog.listen(part.hear)
        devices = Devices(
            Parts(
                catalog=controller.catalog,
                store=controller.store,
                first_looks=first_looks,
                downloads=self.downloads,
                last_told=last_told,
                memory=memory,
                origins=origins,
                observer=observer,
                channels=controller.channels,
                machine=machine,
            )
        )
        receiver = self._receiver(secrets)
        self.unreadable = receiver.unreadable
        self.answer = Addresses(
            [(path, receiver.answer) for path in HOOKS],
            devices.answer,
            posted=receiver.answer,
            unless=devices.has,
        )

    def _receiver(self, secrets: Callable[[], Sequence[str]]) -> Receiver:
        controller = self._controller

        def touch(touch: Touch) -> None:
            _ = controller.touch(touch)  # nobody waits: the hook is answered before its run

        return Receiver(
            secrets=secrets,
            intake=Intake(controller.namespace, controller.channels, controller.awaits_signature),
            touch=touch,
            known=controller.roster.name,
            events=controller.events,
            sender=lambda request: self._origins.client(request.remote or "", request.headers),
            clock=controller.machine.clock,
        )
