"""The cyclic collector: where it would look at much and find nothing, it does not look.

It runs after so many new objects, and looks at all there is again and again while modules are
imported or records are read, which all stay. When Python ends it looks several times more, at what
goes with the process anyway: a tenth of the time of a short command.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
