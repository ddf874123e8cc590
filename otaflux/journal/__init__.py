"""What happened lately, for people: of each device, and in short."""

from otaflux.journal.journal import (
    EVENTS_EACH,
    MOST_LOOPING,
    MOST_REFUSED,
    MOST_VERSIONS,
    Journal,
)
from otaflux.journal.notes import FailedLook, Looping, Noted, Notes, Refusal

__all__ = [
    "EVENTS_EACH",
    "MOST_LOOPING",
    "MOST_REFUSED",
    "MOST_VERSIONS",
    "FailedLook",
    "Journal",
    "Looping",
    "Noted",
    "Notes",
    "Refusal",
]
