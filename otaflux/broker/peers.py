"""What replicas tell each other: that a hook was accepted, and that a unit closed an action.

A replica that accepts a hook tells the others, and each looks at that device as if the hook had
come to it. What comes from the broker is never passed on, so there are no loops. Messages are not
retained, and whoever misses one finds the same at its next re-check.

Trust: anybody who may publish below the topic can write such a message. It is read strictly and
bounded; a name has to be one that a device can have and that is served here; and it causes no more
than looks at a bounded rate (`inbox.py`). On one event loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TypeVar

import msgspec

from otaflux.broker.account import Account
from otaflux.broker.inbox import Inbox
from otaflux.broker.outbox import Outbox
from otaflux.broker.session import Session
from otaflux.errors import BadName
from otaflux.events import ActionClosed, BrokerHeard, Events, Happening, HookAccepted
from otaflux.folded import Folded
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Action, Priority, Touch
from otaflux.model.names import Device, Namespace
from otaflux.roster.roster import Roster
from otaflux.units.units import Units
from otaflux.wording import plain
from otaflux.work.backoff import Burst

MAX_MESSAGE = 2048  # bytes; the longest of ours has some 700
KNOWN = (300, 20.0)  # looks at devices that are known: at once, and then a second
NEW = (100, 1.0)  # … at names that nobody said before, each of which is remembered for a while
CLOSED = (1000, 100.0)  # actions that were closed elsewhere
MOST_CLOSED = 10_000  # of those that wait

T = TypeVar("T", bound="_Message")


class _Message(msgspec.Struct, frozen=True):
    """What each message has; `replica` is who sent it."""

    replica: str
    device: str


class HookHeard(_Message, frozen=True):
    """A hook was accepted for a device."""


class ActionHeard(_Message, frozen=True):
    """A unit closed an action, whose release has that version."""

    unit: str
    action: int
    version: str
    well: bool
    by_attribute: bool = False


class Peers:
    """Tells other replicas, and hears them.

    `known` is called with each device that another's hook names, before `touch`. Deletions go to a
    topic of their own besides, so that a release that was taken back goes as soon everywhere.
    """

    def __init__(
        self,
        account: Account,
        replica: str,
        *,
        namespace: Namespace,
        roster: Roster,
        units: Units,
        touch: Callable[[Touch], object],
        events: Events,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._replica = replica
        self._namespace = namespace
        self._roster = roster
        self._units = units
        self._touch = touch
        self._events = events
        self._clock = machine.clock
        self._hooks = account.own("hooks")
        self._deletions = account.own("deletions")
        self._actions = account.own("units")
        self._out = {kind: Outbox(kind, events=events) for kind in ("hook", "unit")}
        self._known: Inbox[Device, tuple[str, bool]] = Inbox(
            self._look, most=MOST_CLOSED, burst=Burst(*KNOWN), machine=machine
        )
        self._new: Inbox[Device, tuple[str, bool]] = Inbox(
            self._look, most=NEW[0], burst=Burst(*NEW), machine=machine
        )
        self._closed: Inbox[tuple[str, str], ActionHeard] = Inbox(
            lambda _, heard: self._close(heard),
            most=MOST_CLOSED,
            burst=Burst(*CLOSED),
            machine=machine,
        )
        self._ignored = Folded(Event.BROKER_MESSAGE_IGNORED, machine.clock)
        events.listen(self._hear)

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return sum(box.waiting for box in self._out.values())

    async def begin(self, session: Session) -> None:
        """Hear the others from now on."""
        await session.listen(self._hooks, lambda payload: self._hook_heard(payload, gone=False))
        await session.listen(self._deletions, lambda payload: self._hook_heard(payload, gone=True))
        await session.listen(self._actions, self._action_heard)

    async def serve(self, session: Session) -> None:
        """Tell the others over one connection, and see to what they said; raises `Undecided`."""
        async with asyncio.TaskGroup() as tasks:
            for box in self._out.values():
                tasks.create_task(box.serve(session))
            for inbox in (self._known, self._new, self._closed):
                tasks.create_task(inbox.run())

    def _hear(self, happening: Happening) -> None:
        """What happened here that others are to know."""
        match happening:
            case HookAccepted(device=device, action=action):
                said = msgspec.json.encode(HookHeard(self._replica, device.name))
                self._out["hook"].put(device, self._hooks, said)
                if action is Action.DELETE:
                    self._out["hook"].put((device, action), self._deletions, said)
            case ActionClosed():
                said = msgspec.json.encode(
                    ActionHeard(
                        self._replica,
                        happening.device.name,
                        happening.unit,
                        happening.action,
                        happening.version,
                        well=happening.again_in is None,
                        by_attribute=happening.by_attribute,
                    )
                )
                key = (happening.device, happening.unit, happening.action)
                self._out["unit"].put(key, self._actions, said)
            case _:
                pass  # nobody else's business

    def _hook_heard(self, payload: bytes, *, gone: bool) -> None:
        """Another replica accepted a hook, or so it says; `gone` of something deleted."""
        heard = self._read("hook", payload, HookHeard)
        device = self._served("hook", heard) if heard else None
        if heard is None or device is None:
            return
        box = self._known if self._roster.is_known(device) else self._new
        _, was_gone = box.get(device) or ("", False)
        if not box.put(device, (plain(heard.replica), gone or was_gone)):
            self._ignore("hook", "too many names at once that nobody here knows")

    def _look(self, device: Device, said: tuple[str, bool]) -> None:
        """Look at a device as if the hook had come here."""
        replica, gone = said
        hook = secrets.token_hex(6)
        log.info(Event.HOOK_HEARD, hook=hook, device=device.name, replica=replica)
        self._events.tell(BrokerHeard("hook", "accepted"))
        self._roster.name(device)
        now = self._clock()
        self._touch(Touch(device, Priority.HOOK, hooks=(hook,), first_hook_at=now, deletion=gone))

    def _action_heard(self, payload: bytes) -> None:
        """Another replica says that a unit closed an action there."""
        heard = self._read("unit", payload, ActionHeard)
        device = self._served("unit", heard) if heard else None
        if heard is None or device is None:
            return
        if not self._roster.is_there(device):
            self._ignore("unit", "a unit of a device that nobody here knows")
        elif not self._closed.put((heard.device, heard.unit), heard):
            self._ignore("unit", "too many closed actions at once")

    def _close(self, heard: ActionHeard) -> None:
        self._events.tell(BrokerHeard("unit", "accepted"))
        self._units.closed_elsewhere(
            Device(heard.device),
            heard.unit,
            heard.action,
            heard.version,
            well=heard.well,
            by_attribute=heard.by_attribute,
        )

    def _read(self, kind: str, payload: bytes, form: type[T]) -> T | None:
        """A message; None where it is our own, or none."""
        if len(payload) > MAX_MESSAGE:
            self._ignore(kind, f"a message of {len(payload)} bytes")
            return None
        try:
            heard = msgspec.json.decode(payload, type=form)
        except (msgspec.DecodeError, ValueError, RecursionError):
            self._ignore(kind, "a message that has not the form of one")
            return None
        return None if heard.replica == self._replica else heard

    def _served(self, kind: str, heard: _Message) -> Device | None:
        """The device of a message; None where it cannot be one, or is not served here."""
        try:
            device = Device.parse(heard.device)
            self._namespace.repository(device)
        except BadName as error:
            self._ignore(kind, str(error))
            return None
        return device

    def _ignore(self, kind: str, reason: str) -> None:
        """Log it, folded: whoever may publish there may do so as often as he likes."""
        self._events.tell(BrokerHeard(kind, "ignored"))
        self._ignored.note(kind, about=kind, reason=reason)
