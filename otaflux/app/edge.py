"""What devices and registries reach, bound to what keeps devices up to date; no socket yet.

Decides nothing. Addresses of devices go to `answer`, hooks and all else through `app`; plain polls
are answered by `cache` before either. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from otaflux.app.controller import Controller
from otaflux.hooks.intake import Intake
from otaflux.journal import Journal
from otaflux.model.event import Touch
from otaflux.web.answers import PlainPolls
from otaflux.web.devices.continuity import DownloadMemory, LastTold
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.firstlooks import FirstLooks
from otaflux.web.devices.handlers import Devices
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.origin import Origins
from otaflux.web.port.requestcache import RequestCache


class Edge:
    """The parts behind `LISTEN_ADDR`; they hear of each record from the moment they are built.

    `secrets` gives the webhook secrets that count now, `downloads` is how many there may be at
    once, `secure` says that the port has TLS.
    """

    def __init__(
        self,
        controller: Controller,
        *,
        secrets: Callable[[], Sequence[str]],
        origins: Origins,
        journal: Journal,
        downloads: int,
        secure: bool,
    ) -> None:
        self._controller = controller
        self._origins = origins
        clock, now = controller.machine.clock, controller.machine.now
        polls = PlainPolls()
        connections, begun = LastTold(clock), DownloadMemory(clock)
        newcomers = FirstLooks(
            controller.catalog,
            controller.queue,
            controller.namespace,
            roster=controller.roster,
        )
        self.sender = Downloads(downloads, clock=clock)
        self.cache = RequestCache(
            polls,
            ready_record=newcomers.ready_record,
            sender=self.sender,
            connections=connections,
            origins=origins,
            observer=journal,
            channels=controller.channels,
            secure=secure,
            clock=clock,
            now=now,
        )
        for part in (polls, self.cache, begun):
            controller.catalog.listen(part.hear)
        devices = Devices(
            catalog=controller.catalog,
            store=controller.store,
            newcomers=newcomers,
            sender=self.sender,
            connections=connections,
            downloads=begun,
            origins=origins,
            observer=journal,
            channels=controller.channels,
            clock=clock,
            now=now,
        )
        self.answer = devices.answer
        receiver = self._receiver(secrets, journal)
        self.unreadable = receiver.unreadable
        self.app = web.Application()
        self.app.add_routes(receiver.routes())
        self.app.add_routes(devices.routes())

    def _receiver(self, secrets: Callable[[], Sequence[str]], journal: Journal) -> Receiver:
        controller = self._controller

        def touch(touch: Touch) -> None:
            _ = controller.touch(touch)  # nobody waits: the hook is answered before its run

        return Receiver(
            secrets=secrets,
            intake=Intake(controller.namespace, controller.channels, controller.awaits_signature),
            touch=touch,
            known=controller.roster.name,
            counted=journal.hook,
            sender=lambda request: self._origins.client(request.remote or "", request.headers),
            clock=controller.machine.clock,
        )
