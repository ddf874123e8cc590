"""Which settings are set and from where, and names that are nearly one."""

from __future__ import annotations

from collections.abc import Iterator

from otaflux.cli.checks.finding import Finding, note, works
from otaflux.settings import SettingOrigins


def named(origins: SettingOrigins) -> Iterator[Finding]:
    """That they can be read (else nobody would come here), and what they are."""
    count = len(origins.settings)
    says = "all have their defaults" if not count else f"{count} set, each can be read"
    yield works("settings", says)
    for origin in origins.settings:
        yield note(origin.name, f"{origin.shown} ({origin.where})")
    for name in origins.misspelt:
        yield note(
            name.name,
            f"is no setting ({name.where}), and nothing reads it",
            f"Is {name.meant} meant?",
        )
    for taken in origins.notes:
        yield note("settings", taken)
