"""Why something was not learnt, as those who hear of it need it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from otaflux.errors import Busy, DiskFailed, OtaFluxError, Undecided, Unreachable


class Cause(StrEnum):
    """What stands in the way: the registry as a whole, one of its answers, the disk, or others."""

    UNREACHABLE = "unreachable"
    REGISTRY = "registry"
    DISK = "disk"
    OTHERS = "others"  # whoever goes first had the place: nobody has to do anything


class Reason(msgspec.Struct, frozen=True):
    """Why something was not learnt, in words, and what a person may do about it (may be empty)."""

    cause: Cause
    text: str
    hint: str = ""

    @classmethod
    def of(cls, error: OtaFluxError) -> Reason:
        """What an error says."""
        match error:
            case DiskFailed():
                cause = Cause.DISK
            case Unreachable():
                cause = Cause.UNREACHABLE
            case Busy():
                cause = Cause.OTHERS
            case _:
                cause = Cause.REGISTRY
        return cls(cause, str(error), error.hint if isinstance(error, Undecided) else "")
