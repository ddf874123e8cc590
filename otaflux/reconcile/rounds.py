"""When signatures that were found before are asked for anew: at hooks, and every so many looks.

What is signed and unchanged costs a re-check no request more than what is not, and a signature that
was taken away without a hook counts no more within `EVERY` re-checks. They are asked for in the
first look after others may sign, too: who of the new ones signed as well is known before the old
ones go. Soft memory: after a start devices begin somewhere in their round, so that not all are
asked about at once.
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
        self._left: dict[Device, tuple[int, str]] = {}  # … and who might sign then

    def is_due(self, touch: Touch, trusted: str = "") -> bool:
        """Whether a look for that reason asks for signatures anew; `trusted` names who may sign."""
        left, before = self._left.get(touch.device, (None, trusted))
        is_last = left == 0 or before != trusted
        return touch.priority is Priority.HOOK or touch.deletion or is_last

    def ended(self, device: Device, *, asked: bool, is_signed: bool, trusted: str = "") -> None:
        """A look learnt all that it asked for; whether it asked for signatures, and found any."""
        left, before = self._left.pop(device, (None, trusted))
        if not is_signed:
            return
        if asked:
            left, before = self._every, trusted
        elif left is None:
            left = self._chance.randrange(2, self._every)
        self._left[device] = max(0, left - 1), before
