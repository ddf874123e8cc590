"""When signatures that were found before are asked for anew: at hooks, and every so many looks.

What is signed and unchanged costs a re-check no request more than what is not, and a signature that
was taken away without a hook counts no more within `EVERY` re-checks. Soft memory: after a start
devices begin somewhere in their round, so that not all are asked about at once.
"""

from __future__ import annotations

import random

from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device

EVERY = 10  # looks: in the last of them signatures are asked for anew


class Rounds:
    """Counts the looks at each device since its signatures were asked for."""

    def __init__(self, chance: random.Random, *, every: int = EVERY) -> None:
        self._chance = chance
        self._every = every
        self._left: dict[Device, int] = {}

    def is_due(self, touch: Touch) -> bool:
        """Whether a look for that reason asks for signatures anew."""
        is_last = self._left.get(touch.device) == 0
        return touch.priority is Priority.HOOK or touch.deletion or is_last

    def ended(self, device: Device, *, asked: bool, is_signed: bool) -> None:
        """A look learnt all that it asked for; whether it asked for signatures, and found any."""
        left = self._left.pop(device, None)
        if not is_signed:
            return
        if asked:
            left = self._every
        elif left is None:
            left = self._chance.randrange(2, self._every)
        self._left[device] = max(0, left - 1)
