"""When a device is worth another look, after a run that learnt all or most of what it asked for.

Pure. Re-checks come anyway; what is here comes sooner, because somebody said that something is on
its way: a tag that a hook named, a signature, the second look that a withdrawal needs.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import accumulate

ARRIVAL = 15.0  # seconds after a hook in which a tag that it names may still come to be there
SOONEST_ARRIVAL = 0.05  # seconds until the first look for it: docker-registry moves a tag right
# after its hook
ARRIVAL_GROWTH = 2.0  # times the age of the hook are the waits after that: six looks in all
SIGNATURE_WAITS = (2.0, 5.0, 10.0, 30.0)  # seconds: signatures are pushed after what they sign
SIGNATURE_LOOKS = tuple(accumulate(SIGNATURE_WAITS))  # … and so when they are looked for again
EARLY = 0.01  # seconds by which a timer may be early


def seconds_until(
    *,
    second_look: float | None,
    hook_age: float | None,
    is_ahead: bool,
    took: float = 0.0,
    awaited: Collection[float] = (),
) -> float | None:
    """Seconds until the next look; None where a re-check is soon enough.

    `second_look` is when a missing tag may be judged. `hook_age` is how long ago the last hook came
    (None without one), and `is_ahead` says that what it told of was not all there in a run that
    `took` so many seconds: what arrives may have done so after it was asked for. `awaited` is how
    many seconds each signature has been missing that is missing still.
    """
    waits = [] if second_look is None else [second_look]
    if is_ahead and hook_age is not None and hook_age - took < ARRIVAL:
        waits.append(max(SOONEST_ARRIVAL, ARRIVAL_GROWTH * (hook_age - took)))
    for age in awaited:
        waits += [at - age for at in SIGNATURE_LOOKS if at > age + EARLY][:1]
    return min(waits, default=None)
