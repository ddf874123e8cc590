"""What devices and registries reach, bound to what keeps devices up to date; no socket yet.

Decides nothing. Addresses of devices go to `answer`, hooks and all else through `app`; plain polls
are answered by `door` before either. On one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from otaflux.app.controller import Upkeep
from otaflux.hooks.intake import Intake
from otaflux.journal import Journal
from otaflux.model.event import Touch
from otaflux.web.answers import PlainPolls
from otaflux.web.devices.continuity import Connections, Downloads
from otaflux.web.devices.downloads import Sender
from otaflux.web.devices.firstlooks import Newcomers
from otaflux.web.devices.handlers import Devices
from otaflux.web.hooks.receiver import Receiver
from otaflux.web.origin import Origins
from otaflux.web.port.requestcache import Door


class Front:
    """The parts behind `LISTEN_ADDR`; they hear of each record from the moment they are built.

    `secrets` gives the webhook secrets that count now, `downloads` is how many there may be at
    once, `secure` says that the port has TLS.
    """

    def __init__(
        self,
        upkeep: Upkeep,
        *,
        secrets: Callable[[], Sequence[str]],
        origins: Origins,
        journal: Journal,
        downloads: int,
        secure: bool,
    ) -> None:
        self._upkeep = upkeep
        self._origins = origins
        clock, now = upkeep.machine.clock, upkeep.machine.now
        polls = PlainPolls()
        connections, begun = Connections(clock), Downloads(clock)
        newcomers = Newcomers(
            upkeep.catalog,
            upkeep.queue,
            upkeep.namespace,
            is_known=upkeep.wake.is_known,
            clock=clock,
        )
        self.sender = Sender(downloads, clock=clock)
        self.door = Door(
            polls,
            at_hand=newcomers.at_hand,
            sender=self.sender,
            connections=connections,
            origins=origins,
            observer=journal,
            channels=upkeep.channels,
            secure=secure,
            clock=clock,
            now=now,
        )
        for part in (polls, self.door, begun, newcomers):
            upkeep.catalog.listen(part.hear)
        devices = Devices(
            catalog=upkeep.catalog,
            store=upkeep.store,
            newcomers=newcomers,
            sender=self.sender,
            connections=connections,
            downloads=begun,
            origins=origins,
            observer=journal,
            channels=upkeep.channels,
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
        upkeep = self._upkeep

        def touch(touch: Touch) -> None:
            _ = upkeep.touch(touch)  # nobody waits: the hook is answered before its run

        return Receiver(
            secrets=secrets,
            intake=Intake(upkeep.namespace, upkeep.channels, upkeep.awaits_signature),
            touch=touch,
            known=upkeep.wake.name,
            counted=journal.hook,
            sender=lambda request: self._origins.client(request.remote or "", request.headers),
            clock=upkeep.machine.clock,
        )
