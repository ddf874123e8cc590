"""How many requests went to the registry for the sake of one run.

Whoever begins a run counts; the client says so for each request on the wire. The count belongs to
the task and to those that it begins, so that runs beside each other are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """So many requests until now."""

    requests: int = 0


_counting: ContextVar[Tally | None] = ContextVar("requests_of_this_run", default=None)


@contextmanager
def counting() -> Iterator[Tally]:
    """Count what this task, and tasks that it begins meanwhile, send to the registry."""
    tally = Tally()
    token = _counting.set(tally)
    try:
        yield tally
    finally:
        _counting.reset(token)


def count_request() -> None:
    """One request went out, on behalf of whatever run this is called in."""
    tally = _counting.get()
    if tally is not None:
        tally.requests += 1
