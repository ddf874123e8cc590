"""The places where a setting may stand: flags, the environment, the file of `--env-file`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from otaflux.settings import envfile


class Found(msgspec.Struct, frozen=True):
    """A value as it was written, and where."""

    text: str
    where: str


class SettingPlaces:
    """The places where a value may stand, the strongest first."""

    def __init__(
        self,
        flags: Mapping[str, str | None],
        environment: Mapping[str, str],
        env_file: Path | None,
    ) -> None:
        self._flags = flags
        self._environment = environment
        self._file: Mapping[str, str] = {} if env_file is None else envfile.read(env_file)
        self._file_name = str(env_file)

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Every name that stands in the environment or the file, with its value and where."""
        for name, text in self._environment.items():
            yield name, text, "environment"
        for name, text in self._file.items():
            yield name, text, self._file_name

    def find(self, field: str) -> Found | None:
        """The value that counts; None where it is set nowhere, or only to nothing."""
        name = field.upper()
        flag = "--" + field.replace("_", "-")
        for text, where in (
            (self._flags.get(field), flag),
            (self._environment.get(name), "environment"),
            (self._file.get(name), self._file_name),
        ):
            if text and text.strip():
                return Found(text, where)
        return None
