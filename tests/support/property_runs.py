"""How many examples a property gets that asks for a number of its own."""

from __future__ import annotations

import os

WHOLE = 100  # what `EXAMPLES` is unless it is set, as `make quick` does


def examples(whole: int) -> int:
    """`whole` of them, or the share of it that `EXAMPLES` is of a hundred; at least five."""
    return max(5, whole * int(os.environ.get("EXAMPLES", WHOLE)) // WHOLE)
