"""When an update that failed is offered to its unit again. Pure."""

from __future__ import annotations

from otaflux.units.seen import SeenUnit

# Seconds after the first failure, the second, the third; then once a day.
_AFTER = (0, 3600, 6 * 3600)
_DAILY = 24 * 3600


def wait_after(failures: int) -> int:
    """The seconds between the last of so many failures and the next offer."""
    return 0 if failures <= 0 else (*_AFTER, _DAILY)[min(failures - 1, len(_AFTER))]


def is_due(seen: SeenUnit, action: int, now: float) -> bool:
    """Whether an action is offered to a unit as far as its failures go.

    `now` is in seconds since the epoch; a failure in the future was written by a clock that was
    wrong, and is no reason to wait.
    """
    if seen.action != action or not seen.failures:
        return True
    return not 0 <= now - seen.failed_at < wait_after(seen.failures)
