"""What is remembered of one device, as values. Times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from otaflux.model.names import Channel
from otaflux.reason import Cause


class Noted(msgspec.Struct, frozen=True):
    """Something that happened to a device: `at` is since the epoch (s), `word` the log's event.

    The same again and again is one entry, with how many `times`, and the last time.
    """

    at: float
    word: str
    text: str
    tag: str = ""
    hint: str = ""
    times: int = 1


class Refusal(msgspec.Struct, frozen=True):
    """A release that could not be served at the last look at it."""

    at: float
    tag: str
    version: str
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class FailedLook:
    """A look that learnt nothing, or not all: since when, how often in a row, and what to do."""

    since: float
    at: float
    reason: str
    hint: str
    cause: Cause
    tag: str = ""
    times: int = 1


class Looping(msgspec.Struct, frozen=True):
    """A unit that takes one release again and again; `times` within the last day."""

    at: float
    unit: str
    tag: str
    text: str
    times: int


@dataclass(slots=True)
class Notes:
    """What is remembered of one device; times are since the epoch, None where it never was."""

    hook_at: float | None = None
    hook: str = ""  # its source and what it said
    poll_at: float | None = None
    polls: int = 0
    downloads: int = 0
    broken_off: int = 0
    looked_at: float | None = None
    looked_for: str = ""
    trouble: FailedLook | None = None
    refused: dict[str, Refusal] = field(default_factory=dict)  # by tag
    came: dict[Channel, str] = field(default_factory=dict)  # how the current release came
    runs: dict[str, int] = field(default_factory=dict)  # polls, by the version that units say
    looping: dict[str, Looping] = field(default_factory=dict)  # by unit
    is_left_alone: str = ""  # why the device is not served
