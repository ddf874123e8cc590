"""What libraries log by themselves becomes lines of our log, folded.

asyncio and aiohttp write to `logging`, which would go to stderr as plain text: one line for each
socket while there are no more files, and tracebacks for what no handler of ours saw.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from otaflux.folded import Folded
from otaflux.log import Event
from otaflux.wording import plain

MAX_SHOWN = 300  # characters of what a library says


class _Lines(logging.Handler):
    """Writes `library_said`; the first line of what is said tells one kind from another."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._folded = Folded(Event.LIBRARY_SAID, clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        reason, _, _ = record.getMessage().partition("\n")
        crash = {"exc_info": record.exc_info} if record.exc_info else {}
        self._folded.note(
            (record.name, reason), library=record.name, reason=plain(reason, MAX_SHOWN), **crash
        )


@contextmanager
def heard(clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Take what libraries say from here on, while the context lasts."""
    root, lines = logging.getLogger(), _Lines(clock)
    root.addHandler(lines)
    try:
        yield
    finally:
        root.removeHandler(lines)
