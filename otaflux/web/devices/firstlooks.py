"""Devices that nothing is known of yet: one look for all who ask, waited for a short while.

On the event loop. A look is a touch in the work queue, shared by all polls of a device and by
whoever else touched it; a client that hangs up ends nobody's. Names cost nothing: what the queue
holds for them, who waits, and what is remembered of devices that do not exist are all bounded, and
how fast looks begin that only polls ask for is the queue's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from otaflux.errors import Busy
from otaflux.log import Event, log
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Namespace, NotServed
from otaflux.model.record import Record
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.web.devices.offer import nothing_for
from otaflux.work.outcome import Again, Failed, Outcome
from otaflux.work.queue import WorkQueue

PATIENCE = 3.0  # seconds that a poll waits for a first look; boards give up after 4.5
MOST_WAITING = 256  # polls that wait at once; more are answered at once
MOST_LOOKS = 256  # unknown devices that the queue holds for polls
RETRY_AFTER = 5.0  # seconds


@dataclass(slots=True, eq=False)
class _Look:
    """A device that the queue holds for polls.

    `failing` says that its last run learnt nothing, `asked` that a poll came since the one before.
    """

    ended: asyncio.Future[Outcome]
    failing: bool = False
    asked: bool = True
    waiting: int = 0


class FirstLooks:
    """Finds a device's record, looking for it where nothing is known yet."""

    def __init__(
        self,
        catalog: Catalog,
        queue: WorkQueue,
        namespace: Namespace,
        *,
        roster: Roster,
        patience: float = PATIENCE,
        most_waiting: int = MOST_WAITING,
        most_looks: int = MOST_LOOKS,
    ) -> None:
        self._catalog = catalog
        self._queue = queue
        self._namespace = namespace
        self._roster = roster
        self._patience = patience
        self._most_waiting = most_waiting
        self._most_looks = most_looks
        self._looks: dict[Device, _Look] = {}
        self._waiting = {False: 0, True: 0}  # for unknown devices, and for known ones
        self._said_not_served = False

    @property
    def waiting(self) -> int:
        """How many polls wait for a first look."""
        return sum(self._waiting.values())

    def ready_record(self, device: Device) -> Record | None:
        """The record, if a poll of that device needs no look."""
        record = self._catalog.get(device)
        return record if record is not None and (record.ever_synced or record.channels) else None

    async def record(self, device: Device) -> Record:
        """A device's record, after its first look where it had none.

        Raises `NotFound` for a device that does not exist or is not served, `Busy` where the look
        takes longer, cannot be made, or too many wait.
        """
        record = self.ready_record(device)
        if record is not None:
            return record
        self._check_served(device)
        if self._roster.is_absent(device):
            raise nothing_for(device)
        outcome = await self._wait(device)
        record = self.ready_record(device)
        if record is not None:
            return record
        if isinstance(outcome, Failed):
            after = getattr(outcome.error, "retry_after", None) or RETRY_AFTER
            raise Busy(f"Device '{device}' cannot be looked up now", retry_after=after)
        if isinstance(outcome, Again) and not outcome.is_settled:
            raise Busy(f"Device '{device}' is being looked up", retry_after=RETRY_AFTER)
        self._roster.note_absent(device)
        raise nothing_for(device)

    def _check_served(self, device: Device) -> None:
        try:
            self._namespace.repository(device)
        except NotServed as error:
            if not self._said_not_served:
                self._said_not_served = True
                log.warning(Event.DEVICE_NOT_SERVED, device=device.name, reason=str(error))
            raise nothing_for(device) from error

    async def _wait(self, device: Device) -> Outcome:
        """How the look ended that the device is having; raises `Busy` where that takes long."""
        known = self._roster.is_known(device)
        # Made-up names take no room from devices that somebody named.
        if self._waiting[known] >= self._most_waiting:
            raise Busy("Too many ask for devices not known yet", retry_after=RETRY_AFTER)
        if known:
            ended = self._queue.touch(Touch(device, Priority.START))
            look = None
        else:
            look = self._look(device)
            ended = look.ended
            look.waiting += 1
        self._waiting[known] += 1
        try:
            # Waits without taking part: neither the timeout nor a client that leaves ends the look.
            await asyncio.wait({ended}, timeout=self._patience)
        finally:
            self._waiting[known] -= 1
            if look is not None:
                look.waiting -= 1
        if not ended.done() or ended.cancelled():
            raise Busy(f"Device '{device}' is being looked up", retry_after=RETRY_AFTER)
        return ended.result()

    def _look(self, device: Device) -> _Look:
        look = self._looks.get(device)
        if look is not None:
            look.asked = True
            return look
        if len(self._looks) >= self._most_looks:
            self._make_room()
        look = _Look(self._queue.touch(Touch(device, Priority.FIRST_POLL)))
        self._looks[device] = look
        self._follow(device, look)
        return look

    def _make_room(self) -> None:
        """Give up a look that nobody waits for, one that fails first; raises `Busy` without any."""
        left = [device for device, look in self._looks.items() if not look.waiting]
        if not left:
            raise Busy("Too many ask for devices not known yet", retry_after=RETRY_AFTER)
        device = next((each for each in left if self._looks[each].failing), left[0])
        del self._looks[device]
        self._queue.give_up(device)

    def _follow(self, device: Device, look: _Look) -> None:
        """Keep a look in mind for as long as the queue holds its device.

        A run that learnt nothing is followed by another; of a device that nobody asked for since
        the run before, there is none.
        """

        def over(ended: asyncio.Future[Outcome]) -> None:
            failed = not ended.cancelled() and isinstance(ended.result(), Failed)
            if self._looks.get(device) is not look:
                if failed and device not in self._looks:
                    self._queue.give_up(device)  # it ran when it made room: nobody else would
                return
            if not failed:
                del self._looks[device]
            elif not (look.asked or look.waiting):
                del self._looks[device]
                self._queue.give_up(device)
            else:
                look.failing, look.asked = True, False
                look.ended = self._queue.touch(Touch(device, Priority.FIRST_POLL))
                look.ended.add_done_callback(over)

        look.ended.add_done_callback(over)
