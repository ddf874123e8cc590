"""What a webhook says, and what it makes OtaFlux do: look at a device."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import msgspec

from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag

MAX_TOUCH_TAGS = 32  # newest tag names that a touch carries; the listing shows the rest
MAX_TOUCH_HOOKS = 32  # newest hook ids that a touch carries, for the log


class Action(StrEnum):
    """What happened to a tag or a digest."""

    PUSH = "push"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class HookEvent:
    """Something was pushed or deleted: where to look, never what is there.

    Strings are as the sender wrote them, not yet parsed: `repository` whole and lower-cased,
    `tag` and `digest` empty where the event names none.
    """

    action: Action
    repository: str
    tag: str = ""
    digest: str = ""


class Noise(msgspec.Struct, frozen=True):
    """A part of a known payload that asks for nothing; `repository` is empty where unknown.

    `is_malformed` says that it asked for something, in a way that nobody understands.
    """

    repository: str
    reason: str
    is_malformed: bool = False


class Priority(IntEnum):
    """Who goes first; lower is sooner."""

    HOOK = 0
    FIRST_POLL = 1
    START = 2
    RECHECK = 3


@dataclass(frozen=True, slots=True)
class Touch:
    """A reason to look at a device. Touches of a device add up while it waits.

    `hooks` are the ids of the hooks behind it, `first_hook_at` is when the first of them came, and
    `later_hook_at`, where touches were added up, when the last did (seconds of the monotonic
    clock). `tags` are names that the listing may not show yet, newest last. `claimed` is what hooks
    said that some of them are: where the registry says otherwise it may be late, which is a reason
    to look again and no more. `deletion` says that one of the hooks told of something deleted, and
    `attached` that one told of something pushed that may be a signature.
    """

    device: Device
    priority: Priority
    hooks: tuple[str, ...] = ()
    first_hook_at: float | None = None
    tags: tuple[Tag, ...] = ()
    claimed: tuple[tuple[Tag, Digest], ...] = ()
    later_hook_at: float | None = None
    deletion: bool = False
    attached: bool = False

    @property
    def last_hook_at(self) -> float | None:
        """When the last of the hooks came."""
        return self.first_hook_at if self.later_hook_at is None else self.later_hook_at

    def __add__(self, later: Touch) -> Touch:
        """Both reasons in one: the more urgent priority, the first arrival, the newest names."""
        arrivals = [at for at in (self.first_hook_at, later.first_hook_at) if at is not None]
        latest = [at for at in (self.last_hook_at, later.last_hook_at) if at is not None]
        tags = dict.fromkeys(tag for tag in self.tags if tag not in later.tags)
        said = [(tag, digest) for tag, digest in self.claimed if tag not in later.tags]
        return Touch(
            self.device,
            min(self.priority, later.priority),
            tuple(dict.fromkeys(self.hooks + later.hooks))[-MAX_TOUCH_HOOKS:],
            min(arrivals, default=None),
            (*tags, *dict.fromkeys(later.tags))[-MAX_TOUCH_TAGS:],
            (*said, *later.claimed)[-MAX_TOUCH_TAGS:],
            max(latest, default=None),
            self.deletion or later.deletion,
            self.attached or later.attached,
        )
