"""How a run of a key ended, and so when it runs again."""

from __future__ import annotations

from dataclasses import dataclass

from otaflux.errors import OtaFluxError
from otaflux.model.event import Touch


@dataclass(frozen=True, slots=True)
class Done:
    """The device is as the source says."""


@dataclass(frozen=True, slots=True)
class Again:
    """Worth another look after so many seconds, for that reason.

    `is_settled` is False where the run gave its place back before it had seen all.
    """

    after: float
    touch: Touch
    is_settled: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was learnt, or not all; the touch goes back to its key.

    `within` is how many seconds it may wait there at most, where it was learnt that something else
    is due by then.
    """

    error: OtaFluxError
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Unasked:
    """There was nothing to ask the source, so this says nothing of it."""


Outcome = Done | Again | Failed | Unasked
