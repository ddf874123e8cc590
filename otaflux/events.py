"""What happens, as values, and the one list of those who hear of it.

A run, the receiver and the registry client tell what happened in the step in which it did, and know
nobody who listens. The log, the metrics and whatever comes next subscribe. What is told is what is
so: a release that is refused at each look is told at each look, and saying it once is a listener's
own business.

On one event loop. A listener is quick and does not wait; one that raises is logged once for each
kind of error, and neither ends what it heard of nor keeps it from the others.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from otaflux.log import Event, log
from otaflux.model.artifact import Digest
from otaflux.model.event import Action, Priority
from otaflux.model.names import Channel, Device, Tag
from otaflux.model.proof import SignatureProof
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.reason import Reason


class PullOutcome(StrEnum):
    """What came of fetching one artifact."""

    USABLE = "usable"
    UNUSABLE = "unusable"
    UNDECIDED = "undecided"


class HookAccepted(msgspec.Struct, frozen=True):
    """A part of a hook is a reason to look at a device; `tag` is None where it named none."""

    hook: str
    source: str
    device: Device
    tag: str | None
    action: Action


class HookAnswered(msgspec.Struct, frozen=True):
    """A whole hook was answered: `accepted`, `ignored` or `rejected`."""

    source: str
    outcome: str


class RequestSent(msgspec.Struct, frozen=True):
    """One request went to the registry: its kind and what came of it, as `Wire` has them."""

    kind: str
    outcome: str


class Pulled(msgspec.Struct, frozen=True):
    """The bytes of one artifact were asked for, in so many seconds; `digest` is its manifest's."""

    device: Device
    tag: Tag
    digest: Digest
    outcome: PullOutcome
    seconds: float


class Published(msgspec.Struct, frozen=True):
    """A channel is told another release now; `before` is what it was told.

    `is_new` says that no channel of the device was told it yet. `seconds` is since the first hook
    came, None where none caused it. `proof` says who signed it, None where nobody has to.
    """

    release: Release
    channel: Channel
    before: Release | None
    is_new: bool
    seconds: float | None
    hooks: tuple[str, ...] = ()
    proof: SignatureProof | None = None


class Moved(msgspec.Struct, frozen=True):
    """A channel is told other bytes under the same tag; `before` is what the tag stood for."""

    release: Release
    before: Release
    hooks: tuple[str, ...] = ()


class Withdrawn(msgspec.Struct, frozen=True):
    """A release's tag is gone from its source; its file stays for a while, served to nobody.

    One that is `told_on` stays, and is served, because channels never fall.
    """

    release: Release
    file: Path
    hooks: tuple[str, ...] = ()
    told_on: bool = False


class SignatureLapsed(msgspec.Struct, frozen=True):
    """A release that is told or kept has no signature any more that is trusted; it goes next."""

    release: Release
    reason: str
    hooks: tuple[str, ...] = ()


class TrustChanged(msgspec.Struct, frozen=True):
    """Others may sign from now on: each key and identity, in words."""

    trusted: tuple[str, ...]


class ReleaseRefused(msgspec.Struct, frozen=True):
    """A look found that a release cannot be served, or not yet; told at each such look.

    `digest` is None where the registry withholds that too. `for_tag` says that it is refused for
    its tag, and that the same bytes may be served under another.
    """

    device: Device
    tag: Tag
    version: Version
    digest: Digest | None
    reason: str
    hooks: tuple[str, ...] = ()
    for_tag: bool = False


class FoundUsable(msgspec.Struct, frozen=True):
    """A look found that a tag's release can be served; `digest` is its manifest's."""

    device: Device
    tag: Tag
    digest: Digest


class TagUnclear(msgspec.Struct, frozen=True):
    """Nothing was learnt about one tag; the run went on with the others."""

    device: Device
    tag: Tag
    reason: Reason
    hooks: tuple[str, ...] = ()


class TagClear(msgspec.Struct, frozen=True):
    """Something was learnt about a tag."""

    device: Device
    tag: Tag


class RunEnded(msgspec.Struct, frozen=True):
    """A run learnt all that it asked for; `requests` went to the registry for its sake."""

    device: Device
    priority: Priority
    looks: int
    requests: int
    seconds: float
    hooks: tuple[str, ...] = ()


class RunFailed(msgspec.Struct, frozen=True):
    """A run learnt nothing, or not all; `tag` is the one that was asked about, if any."""

    device: Device
    tag: Tag | None
    reason: Reason
    requests: int
    seconds: float
    hooks: tuple[str, ...] = ()


class FilesLeft(msgspec.Struct, frozen=True):
    """Files that nobody names any more could not be removed."""

    device: Device
    reason: Reason


class DeviceForgotten(msgspec.Struct, frozen=True):
    """A device went, and its files with it."""

    device: Device
    reason: str


class DeviceNotServed(msgspec.Struct, frozen=True):
    """A device is left alone from now on."""

    device: Device
    reason: str


class BrokerConnected(msgspec.Struct, frozen=True):
    """There is a connection to the broker, and what is sent below `topic` can be read."""

    url: str
    topic: str


class BrokerFailed(msgspec.Struct, frozen=True):
    """There is no connection to the broker any more, or none came to be.

    Where `is_connected`, there is one all the same, and something else is not as it should be.
    """

    reason: str
    hint: str
    is_connected: bool = False


class BrokerSent(msgspec.Struct, frozen=True):
    """The broker took a message: `announcement`, `hook` or `unit`."""

    kind: str


class BrokerHeard(msgspec.Struct, frozen=True):
    """A message of another replica came: a `hook` or a `unit`; `accepted` or `ignored`."""

    kind: str
    outcome: str


class BrokerWaiting(msgspec.Struct, frozen=True):
    """So many messages of a kind wait to be sent."""

    kind: str
    messages: int


class ActionClosed(msgspec.Struct, frozen=True):
    """A unit closed an action of hawkBit's protocol here, whose release has that version.

    `again_in` is None where it went well, else the seconds until it is offered again.
    `by_attribute` says that the unit named its device itself, as no address does; `said` is the
    version that its attributes had.
    """

    device: Device
    unit: str
    action: int
    version: str
    again_in: float | None = None
    by_attribute: bool = False
    said: str = ""


class UnitLooping(msgspec.Struct, frozen=True):
    """A unit took all of a release so many `times` within a day, which is three at least.

    So it does where the version inside an image is not that of its tag.
    """

    release: Release
    unit: str
    times: int


Happening = (
    HookAccepted
    | HookAnswered
    | RequestSent
    | Pulled
    | Published
    | Moved
    | Withdrawn
    | SignatureLapsed
    | TrustChanged
    | ReleaseRefused
    | FoundUsable
    | TagUnclear
    | TagClear
    | RunEnded
    | RunFailed
    | FilesLeft
    | DeviceForgotten
    | DeviceNotServed
    | BrokerConnected
    | BrokerFailed
    | BrokerSent
    | BrokerHeard
    | BrokerWaiting
    | ActionClosed
    | UnitLooping
)
Listener = Callable[[Happening], None]


class Events:
    """The listeners, in the order in which they came."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)
        self._crashed: set[tuple[int, type[Exception]]] = set()

    def listen(self, hear: Listener) -> None:
        """Have `hear` called with everything that happens from now on."""
        self._listeners.append(hear)

    def tell(self, happening: Happening) -> None:
        """Let everybody hear of it, in this step. Never raises."""
        for number, hear in enumerate(self._listeners):
            try:
                hear(happening)
            except Exception as error:  # noqa: BLE001 - a bug in a listener must not end a run
                self._note(number, hear, error)

    def _note(self, number: int, hear: Listener, error: Exception) -> None:
        """Log a listener's bug, once for each kind of error: it is called for everything."""
        if (number, type(error)) not in self._crashed:
            self._crashed.add((number, type(error)))
            name = getattr(hear, "__qualname__", type(hear).__name__)
            log.exception(Event.LISTENER_CRASHED, listener=name)
