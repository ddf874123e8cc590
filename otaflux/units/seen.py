"""What is known of one unit, as a value, and which names and words a unit may have.

Pure. All of it was said by a board, or by whoever pretends to be one: it is bounded and printable
here, and decides nothing but what that unit itself is offered.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from otaflux.model.names import Device

MAX_UNIT = 200  # characters of a unit's name
MAX_WORD = 128  # characters of a version, which comes from a tag or from a board
MAX_ACTION = 0x7FFFFFFF  # the largest number that clients read into 32 bits with a sign

_UNIT = re.compile(rf"[ -~]{{1,{MAX_UNIT}}}")  # printable ASCII
_WORD = re.compile(rf"[!-~]{{0,{MAX_WORD}}}")


class Protocol(StrEnum):
    """How a unit was heard; their order is that of numbers in memory."""

    HTTP = "http"
    ARDUINO = "arduino"
    ESPHOME = "esphome"
    RAUC = "rauc"
    DDI = "ddi"
    MEMFAULT = "memfault"
    GITHUB = "github"
    SWUPDATE = "swupdate"
    ESP32FOTA = "esp32fota"
    OTA_PULL = "ota-pull"
    SYSUPDATE = "sysupdate"
    REPLICA = "replica"  # another replica heard of it


class SeenUnit(msgspec.Struct, frozen=True):
    """One unit as it was heard of last.

    `device` is None while nobody knows what it is a unit of; `by_attribute` says that it named its
    device itself. `heard` is in seconds since the epoch. `runs` and `told` are versions, empty
    where nothing was said. `failed` is the version whose update failed, empty once another went
    well; `failures` counts those of `action`, the last of them at `failed_at`.

    Of hawkBit's protocol: `closed` is the action that went well last, `action` the one that was
    begun last, `is_amid` that it was neither closed nor cancelled, `gave_feedback` that it was more
    than looked at, `goes_on` that its cancel was refused. `said` is the version that the unit's
    attributes had, `is_asked` that they are wanted (again).
    """

    unit: str
    device: Device | None
    protocol: Protocol
    heard: int
    runs: str = ""
    told: str = ""
    failed: str = ""
    said: str = ""
    closed: int = 0
    action: int = 0
    failures: int = 0
    failed_at: int = 0
    by_attribute: bool = False
    is_amid: bool = False
    is_asked: bool = True
    goes_on: bool = False
    gave_feedback: bool = False
    is_late: bool = False

    def was_given(self, action: int) -> bool:
        """Whether it is amid an action that it began before its release was taken back."""
        return self.is_amid and self.action == action and not self.is_late


def can_be_unit(text: str) -> bool:
    """Whether a unit may be called so."""
    return _UNIT.fullmatch(text) is not None


def can_be_word(text: str) -> bool:
    """Whether a version may be remembered as it was said; empty is said nothing."""
    return _WORD.fullmatch(text) is not None


def can_be_action(number: int) -> bool:
    """Whether an action may have that number."""
    return 0 < number <= MAX_ACTION
