"""Which settings are set, and from where; and names that are nearly one. For people.

A name that is no setting is left alone, for an environment holds many; one that is nearly a setting
was probably meant as it, and who set it counts on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from otaflux.settings.places import SettingPlaces
from otaflux.settings.table import SETTINGS
from otaflux.settings.values import OLD_LEVELS
from otaflux.wording import plain

HIDDEN = "(hidden)"
OURS = "OTAFLUX_"  # what people put in front of names that have no such prefix

# How alike a name has to be, from 0 to 1: in a file that was written for us, and in an environment,
# where other programs have names of their own.
ALIKE_IN_FILE = 0.8
ALIKE_IN_ENVIRONMENT = 0.85

SHORTENED = 8  # characters from which on the beginning of a setting's name is nearly it

_NAMES = frozenset(
    name
    for setting in SETTINGS
    for name in (setting.name, *([f"{setting.name}_FILE"] if setting.secret else []))
)


class Origin(msgspec.Struct, frozen=True):
    """A setting that is set: its name, its value as it may be shown, and where it stands."""

    name: str
    shown: str
    where: str


class Misspelt(msgspec.Struct, frozen=True):
    """A name that is no setting, where it stands, and the setting that was probably meant."""

    name: str
    where: str
    meant: str


class SettingOrigins(msgspec.Struct, frozen=True):
    """What is set, what was probably meant to be, and what is taken as something else (notes)."""

    settings: tuple[Origin, ...] = ()
    misspelt: tuple[Misspelt, ...] = ()
    notes: tuple[str, ...] = ()


def origins(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    *,
    env_file: Path | None = None,
    only: Collection[str],
) -> SettingOrigins:
    """Where each of the settings of `only` stands, in the order of the table.

    Takes what `read` takes; raises `BadSetting` where the file cannot be read.
    """
    places = SettingPlaces(flags, environment, env_file)
    found = []
    for setting in SETTINGS:
        if setting.field not in only:
            continue
        for field, hidden in ((setting.field, setting.secret), (f"{setting.field}_file", False)):
            at = places.find(field) if field == setting.field or setting.secret else None
            if at is not None:
                shown = HIDDEN if hidden else plain(at.text.strip())
                found.append(Origin(field.upper(), shown, at.where))
    misspelt = []
    for name, text, where in places.names():
        meant = _meant(name, in_file=where != "environment") if text.strip() else None
        if meant is not None:
            misspelt.append(Misspelt(name, where, meant))
    return SettingOrigins(tuple(found), tuple(misspelt), tuple(_notes(places)))


def _notes(places: SettingPlaces) -> Iterator[str]:
    """What the Rust program knows and this one takes otherwise."""
    size = places.find("cache_size")
    if size is not None:
        yield (
            f"CACHE_SIZE ({size.where}) does nothing here: firmware is served from the disk;"
            " KEEP_VERSIONS says how many older releases stay there"
        )
    level = places.find("log_level")
    taken = OLD_LEVELS.get(level.text.strip().lower()) if level else None
    if level and taken:
        yield f"LOG_LEVEL ({level.where}): {plain(level.text.strip())} is taken as {taken}"


def _meant(name: str, *, in_file: bool) -> str | None:
    """The setting that a name is nearly; None for a setting itself and for what is none."""
    if name in _NAMES:
        return None
    bare = name.upper().removeprefix(OURS)
    if bare in _NAMES:
        return bare
    begun = [each for each in _NAMES if len(bare) >= SHORTENED and each.startswith(bare)]
    if len(begun) == 1:
        return begun[0]
    import difflib

    cutoff = ALIKE_IN_FILE if in_file else ALIKE_IN_ENVIRONMENT
    alike = difflib.get_close_matches(bare, sorted(_NAMES), n=1, cutoff=cutoff)
    return alike[0] if alike else None
