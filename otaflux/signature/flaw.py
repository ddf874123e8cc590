"""Why one signature that was found does not hold, and which of several reasons to tell."""

from __future__ import annotations

from enum import IntEnum


class Flaw(IntEnum):
    """Kinds of flaws; the higher one says more about what went wrong.

    What a trusted key did sign is a fact and says most. What nobody trusted signed is the word of
    whoever wrote it.
    """

    UNREADABLE = 0
    ATTESTATION = 1
    OTHER_DIGEST_CLAIMED = 2
    NOT_OURS = 3
    CHANGED = 4
    OTHER_TYPE = 5
    OTHER_DIGEST = 6


class Flawed(ValueError):
    """A signature that does not hold, with its kind and a reason; never leaves this room."""

    def __init__(self, flaw: Flaw, reason: str) -> None:
        super().__init__(reason)
        self.flaw = flaw
