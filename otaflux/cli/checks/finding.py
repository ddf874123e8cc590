"""One line of `otaflux check`, and what to do about it."""

from __future__ import annotations

import msgspec

from otaflux.errors import OtaFluxError, Undecided


class Finding(msgspec.Struct, frozen=True):
    """What was tried and what came of it; `good` is None for what is merely told."""

    what: str
    good: bool | None
    says: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "note"}[self.good]
        advice = f"\n      -> {self.advice}" if self.advice else ""
        return f"{mark}  {self.what}: {self.says}{advice}"


def works(what: str, says: str) -> Finding:
    """It was tried, and does what it should."""
    return Finding(what, good=True, says=says)


def note(what: str, says: str, advice: str = "") -> Finding:
    """Nobody can tell whether that is meant so."""
    return Finding(what, good=None, says=says, advice=advice)


def fails(what: str, says: str, advice: str) -> Finding:
    """It was tried, and does not work."""
    return Finding(what, good=False, says=says, advice=advice)


def failed(what: str, error: OtaFluxError) -> Finding:
    """The finding for an error, with its own hint."""
    return fails(what, str(error), error.hint if isinstance(error, Undecided) else "")
