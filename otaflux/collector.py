"""The cyclic collector: where it would look at much and find nothing, it does not look.

It runs after so many new objects, and looks at all there is again and again while modules are
imported or records are read, which all stay. When Python ends it looks several times more, at what
goes with the process anyway: a tenth of the time of a short command.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

LONG = 0.01  # seconds that one look may take
MORE = 2000  # things that stay; to look at them takes about that long
WHOLE = 2  # the generation whose look is one at all there is


def set_aside() -> None:
    """Have the cyclic collector look no more at what there is now: for what stays, and is much.

    With twenty thousand records a whole look takes a tenth of a second, in which polls wait. So
    what is garbage by then is to be collected before much is made.
    """
    gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the cyclic collector from running: for work that only makes things that stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def setting_aside(
    stays: Callable[[], int],
    *,
    more: int = MORE,
    longer: float = LONG,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[None]:
    """Set aside what is there after a whole look that took longer than so many seconds.

    A server that hears of devices as it runs has as much that stays as one that found it at its
    start, and polls wait for each look at it. `stays` counts that, and only where there is so much
    `more` of it than ever before is anything set aside. For what is in a cycle by then, and becomes
    garbage later, is never collected: connections are, and clients make as many as they like.
    """
    began, most = clock(), stays()

    def heard(phase: str, about: Mapping[str, int]) -> None:
        nonlocal began, most
        if about["generation"] != WHOLE:
            return
        if phase == "start":
            began = clock()
        elif clock() - began > longer and stays() >= most + more:
            most = stays()
            gc.freeze()

    gc.callbacks.append(heard)
    try:
        yield
    finally:
        gc.callbacks.remove(heard)
