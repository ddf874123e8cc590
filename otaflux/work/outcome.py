"""How a run of a key ended, and so when it runs again."""

from __future__ import annotations

import msgspec

from otaflux.errors import OtaFluxError
from otaflux.model.event import Touch


class Done(msgspec.Struct, frozen=True):
    """The device is as the source says."""


class Again(msgspec.Struct, frozen=True):
    """Worth another look after so many seconds, for that reason.

    `is_settled` is False where the run gave its place back before it had seen all.
    """

    after: float
    touch: Touch
    is_settled: bool = True


class Failed(msgspec.Struct, frozen=True):
    """Nothing was learnt, or not all; the touch goes back to its key.

    `within` is how many seconds it may wait there at most, where it was learnt that something else
    is due by then.
    """

    error: OtaFluxError
    within: float | None = None


class Unasked(msgspec.Struct, frozen=True):
    """There was nothing to ask the source, so this says nothing of it."""


Outcome = Done | Again | Failed | Unasked
