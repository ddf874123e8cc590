"""What units send by hawkBit's protocol: feedback and attributes. Pure.

Trust: anybody may send one. What is not understood is left alone, for clients put much of their own
into it; what is no such body at all is `BadBody`.
"""

from __future__ import annotations

from enum import Enum
from itertools import islice
from typing import TypeVar

import msgspec

from otaflux.errors import BadBody

MAX_ATTRIBUTES = 32  # that are looked at
MAX_ATTRIBUTE = 200  # characters of each
_VERSIONS = ("version", "sw_version", "fw_version")

_Body = TypeVar("_Body")


class Outcome(Enum):
    """What a unit says of an action: that it goes on, or how it ended."""

    GOES_ON = "goes on"
    WELL = "well"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class _Result(msgspec.Struct):
    finished: str = "none"


class _Status(msgspec.Struct):
    execution: str
    result: _Result = msgspec.field(default_factory=_Result)


class _Feedback(msgspec.Struct):
    status: _Status


class _Attributes(msgspec.Struct):
    data: dict[str, object] | None = None
    mode: str = "merge"


def read_feedback(body: bytes) -> Outcome:
    """How the action goes; raises `BadBody`."""
    status = _decoded(body, _Feedback).status
    match status.execution.lower():
        case "closed":
            return Outcome.FAILED if status.result.finished.lower() == "failure" else Outcome.WELL
        case "canceled" | "cancelled":
            return Outcome.CANCELLED
        case "rejected":
            return Outcome.REJECTED
        case _:
            return Outcome.GOES_ON


def read_attributes(body: bytes) -> tuple[str, str]:
    """The version and the device that attributes name, each empty where they do not.

    Raises `BadBody`.
    """
    said = _decoded(body, _Attributes)
    if said.mode.lower() == "remove":
        return "", ""
    data = {
        name[:MAX_ATTRIBUTE]: str(value)[:MAX_ATTRIBUTE].strip()
        for name, value in islice((said.data or {}).items(), MAX_ATTRIBUTES)
        if isinstance(value, str | int | float)
    }
    return next((data[name] for name in _VERSIONS if data.get(name)), ""), data.get("device", "")


def _decoded(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError):
        raise BadBody(
            "The body is not what hawkBit's protocol has here: JSON of that shape"
        ) from None
