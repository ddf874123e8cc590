"""A thread of its own, where one can be had.

A system that has no more threads to give ends nothing here: whoever wants one does without it, and
asks again later. Without asyncio, so that commands that need none do not load it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


def begun(run: Callable[[], object], name: str) -> threading.Thread | None:
    """A thread that runs, and keeps no process from its end; None where none can be had now."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the limit on threads
        return None
    return thread
