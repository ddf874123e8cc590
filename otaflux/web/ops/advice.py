"""What to do about a line of the log that says no more than what is wrong. Pure.

docs/logs.md says the same at more length; a line's own hint goes before this.
"""

from __future__ import annotations

from collections.abc import Mapping

from otaflux.log import Event

# Lines whose cause the page shows as a fault of its device, or of all devices.
SHOWN_AS_FAULTS = frozenset(
    {
        Event.REGISTRY_FAILED,
        Event.RELEASE_REFUSED,
        Event.RELEASE_WARNING,
        Event.UNIT_LOOPING,
        Event.DEVICE_NOT_SERVED,
    }
)
# Lines that stay true until they are taken back, if ever: most are said at the start alone.
STAYS = frozenset(
    {
        Event.SETTING_UNKNOWN,
        Event.ONLY_DEVICES,
        Event.ROUND_IS_LONG,
        Event.DOWNLOADS_CLAMPED,
        Event.LOG_LINES_LOST,
        Event.BROKER_FAILED,
    }
)
TITLES: Mapping[str, str] = {
    Event.SETTING_UNKNOWN: "A setting is misspelt",
    Event.HOOK_REJECTED: "A hook was rejected",
    Event.HOOK_IGNORED: "A hook was ignored",
    Event.RELEASE_WITHDRAWN: "A release was withdrawn",
    Event.LISTING_UNAVAILABLE: "The registry does not say which devices there are",
    Event.ONLY_DEVICES: "Only DEVICES are served",
    Event.ROUND_IS_LONG: "Re-checks take longer than RECHECK_INTERVAL",
    Event.DISK_FAILED: "The disk fails",
    Event.CERTIFICATE_ENDS: "The certificate ends",
    Event.TLS_FAILED: "TLS handshakes fail",
    Event.LOG_LINES_LOST: "Lines of the log were lost",
    Event.DOWNLOADS_CLAMPED: "Fewer downloads than MAX_DOWNLOADS",
    Event.CONNECTIONS_CROWDED: "As many connections are open as can be",
    Event.BROKER_FAILED: "The MQTT broker cannot be used",
    Event.RECORD_LEFT_OUT: "Records are left out",
    Event.RECORD_DAMAGED: "A record is damaged",
    Event.FIRMWARE_DAMAGED: "A firmware file is damaged",
    Event.FIRMWARE_MISSING: "A firmware file is gone",
    Event.SECRET_KEPT: "A secret's file cannot be read",
    Event.CREDENTIALS_FILE_SKIPPED: "A file of credentials cannot be read",
    Event.CREDENTIAL_HELPER_SKIPPED: "A program for credentials is not run",
    Event.REQUEST_FAILED: "Requests cannot be answered",
}
_ADVICE: Mapping[str, str] = {
    Event.HOOK_REJECTED: (
        "Give the registry's hook a secret of WEBHOOK_SECRET, and the address /hooks/registry"
    ),
    Event.HOOK_IGNORED: (
        "Nothing, if the push was not meant for devices; else correct what the reason says and push"
        " again: the tag, or REPOSITORY_PREFIX and DEVICES"
    ),
    Event.RELEASE_WITHDRAWN: "If you did not want that, push it again; its file is kept for a week",
    Event.DISK_FAILED: "Make room on the disk of DATA_DIR, and look whether it can be written",
    Event.LOG_LINES_LOST: "Look at where the log goes: is its disk full, is its reader slow",
    Event.RECORD_LEFT_OUT: "Look at REGISTRY_URL, REPOSITORY_PREFIX and DEVICES",
    Event.RECORD_DAMAGED: "Look at the disk of DATA_DIR, and who else writes there",
    Event.FIRMWARE_DAMAGED: "Look at the disk of DATA_DIR; the file is pulled again",
    Event.FIRMWARE_MISSING: "Look who else writes to DATA_DIR; the file is pulled again",
    Event.CONNECTIONS_CROWDED: "Raise the limit on open files",
    Event.SECRET_KEPT: "Correct the file; until then the last good one stays in use",
    Event.CREDENTIALS_FILE_SKIPPED: "Correct or remove the file",
    Event.CREDENTIAL_HELPER_SKIPPED: "Set REGISTRY_USERNAME and REGISTRY_PASSWORD",
    Event.REQUEST_FAILED: "Look at the disk of DATA_DIR",
}
_BUG = "This is a bug of OtaFlux: please report it, with the lines of the log around it"


def advice(event: str) -> str:
    """What to do about an event; empty where nobody knows."""
    crashed = event.endswith("_crashed") or event == Event.LIBRARY_SAID
    return _BUG if crashed else _ADVICE.get(event, "")


def title(event: str) -> str:
    """What an event is called where people read it."""
    return TITLES.get(event, event.replace("_", " ").capitalize())
