"""Times as programs and people read them: ISO 8601, UTC, to the second. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: float) -> str | None:
    """A time since the epoch (s); None for one that no calendar has: a clock may be anywhere."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):
        return None


def seconds_of(text: str) -> float | None:
    """A time of the log, since the epoch (s); None for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
