"""What replicas tell each other: that a hook was accepted, and that a unit closed an action.

A replica that accepts a hook tells the others, and each looks at that device as if the hook had
come to it. What comes from the broker is never passed on, so there are no loops. Messages are not
retained, and whoever misses one finds the same at its next re-check.

Trust: anybody who may publish below the topic can write such a message. It is read strictly and
bounded, and a name has to be one that a device can have and that is served here. A message that a
hook was accepted causes no more than looks at a bounded rate (`inbox.py`), and needs no proof. That
something was deleted, or that a unit closed an action, counts only with a proof that its sender
knows `WEBHOOK_SECRET` (`seal.py`). Without that setting nobody can prove anything: then no deletion
counts, and an action that is said to be closed well is kept from that unit for a day after its
release, and nothing else changes (`otaflux.units.rumours`). Nothing that comes from here moves a
unit to another device. On one event loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Hashable
from typing import Annotated, TypeVar

import msgspec

from otaflux.broker.account import Account
from otaflux.broker.inbox import Inbox
from otaflux.broker.outbox import SETTLED, Outbox
from otaflux.broker.seal import Seal, Sealed, Secrets
from otaflux.broker.session import Session
from otaflux.errors import BadName, Unproven
from otaflux.events import ActionClosed, BrokerHeard, Events, Happening, HookAccepted
from otaflux.folded import Folded
from otaflux.log import Event, log
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Action, Priority, Touch
from otaflux.model.names import Device, Namespace
from otaflux.roster.roster import Roster
from otaflux.units.seen import MAX_ACTION
from otaflux.units.units import Units
from otaflux.wording import plain
from otaflux.work.backoff import Burst

MAX_MESSAGE = 2048  # bytes; the longest of ours has some 700
KNOWN = (300, 20.0)  # looks at devices that are known: at once, and then a second
NEW = (100, 1.0)  # … at names that nobody said before, each of which is remembered for a while
CLOSED = (1000, 100.0)  # actions that were closed elsewhere
MOST_CLOSED = 10_000  # of those that wait

T = TypeVar("T", bound="_Message")


class _Message(Sealed, frozen=True, kw_only=True, omit_defaults=True):
    """What each message has; `replica` is who sent it."""

    replica: str
    device: str


class HookHeard(_Message, frozen=True, kw_only=True, omit_defaults=True):
    """A hook was accepted for a device."""


class ActionHeard(_Message, frozen=True, kw_only=True, omit_defaults=True):
    """A unit closed an action, whose release has that version; `said` is what its attributes said.

    `by_attribute` says that it named its device itself, as no address does.
    """

    unit: str
    action: Annotated[int, msgspec.Meta(ge=1, le=MAX_ACTION)]
    version: str
    well: bool
    by_attribute: bool = False
    said: str = ""


class Peers:
    """Tells other replicas, and hears them.

    `secrets` gives what replicas share, `settled` is how many seconds after a lost connection the
    others are connected again too. Deletions go to a topic of their own besides, so that a
    release that was taken back goes as soon everywhere.
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
        secrets: Secrets,
        machine: Machine = REAL_MACHINE,
        settled: float = SETTLED,
    ) -> None:
        self._replica = replica
        self._seal = Seal(secrets, now=machine.now)
        self._namespace = namespace
        self._roster = roster
        self._units = units
        self._touch = touch
        self._events = events
        self._clock = machine.clock
        self._hooks = account.own("hooks")
        self._deletions = account.own("deletions")
        self._actions = account.own("units")
        self._out = {
            kind: Outbox(kind, events=events, settled=settled) for kind in ("hook", "unit")
        }
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
        await session.listen(self._hooks, self._hook_heard)
        await session.listen(self._deletions, self._deletion_heard)
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
                hook = HookHeard(replica=self._replica, device=device.name)
                bare = msgspec.json.encode(hook)
                self._out["hook"].put(device, self._hooks, lambda: bare)
                if action is Action.DELETE:
                    self._tell("hook", (device, action), self._deletions, hook)
            case ActionClosed():
                closed = ActionHeard(
                    replica=self._replica,
                    device=happening.device.name,
                    unit=happening.unit,
                    action=happening.action,
                    version=happening.version,
                    well=happening.again_in is None,
                    by_attribute=happening.by_attribute,
                    said=happening.said,
                )
                key = (happening.device, happening.unit, happening.action)
                self._tell("unit", key, self._actions, closed)
            case _:
                pass  # nobody else's business

    def _tell(self, kind: str, key: Hashable, topic: str, message: _Message) -> None:
        """Send a message with its proof, which says when it was sent."""
        self._out[kind].put(key, topic, lambda: self._seal.put_on(topic, message))

    def _hook_heard(self, payload: bytes) -> None:
        """Another replica accepted a hook, or so it says."""
        heard = self._read("hook", payload, HookHeard)
        device = self._served("hook", heard) if heard else None
        if heard is not None and device is not None:
            self._put_look(device, heard.replica, gone=False)

    def _deletion_heard(self, payload: bytes) -> None:
        """Another replica accepted a hook that something was deleted there, and proves it."""
        heard = self._read("hook", payload, HookHeard)
        device = self._served("hook", heard) if heard else None
        if heard is None or device is None:
            return
        if self._is_proven("hook", self._deletions, heard):
            self._put_look(device, heard.replica, gone=True)

    def _put_look(self, device: Device, replica: str, *, gone: bool) -> None:
        box = self._known if self._roster.is_known(device) else self._new
        _, was_gone = box.get(device) or ("", False)
        if not box.put(device, (plain(replica), gone or was_gone)):
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
        elif not self._seal.is_there:
            if heard.well:
                self._events.tell(BrokerHeard("unit", "unproven"))
                self._units.rumours.note(device, heard.unit, heard.action)
        elif self._is_proven("unit", self._actions, heard) and not self._closed.put(
            (heard.device, heard.unit), heard
        ):
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
            said=heard.said,
        )

    def _is_proven(self, kind: str, topic: str, heard: _Message) -> bool:
        """Whether a replica sent it, for the first time; said where none did."""
        if self._seal.was_taken(heard):
            self._events.tell(BrokerHeard(kind, "ignored"))
            return False
        try:
            self._seal.check(topic, heard)
        except Unproven as error:
            self._ignore(kind, str(error))
            return False
        return True

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
