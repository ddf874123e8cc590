"""Lines of a running server's log, waited for."""

from __future__ import annotations

import time
from typing import Any

from programs import PATIENCE, Server


def logged(
    running: Server, event: str, *, number: int = 1, within: float = PATIENCE, **fields: Any
) -> list[dict[str, Any]]:
    """The lines of an event that have these fields, once there are so many."""
    deadline = time.monotonic() + within
    while True:
        lines = [
            line
            for line in running.log()
            if line["event"] == event and fields.items() <= line.items()
        ]
        if len(lines) >= number:
            return lines
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.02)
