"""What a setting's text can be: one small parser for each kind of value.

A parser gets the text without spaces around it, never empty, and returns a value or raises `Wrong`
with what was expected, in words that follow "expected". It looks at the file system only where a
setting names a file that must be there.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path

from otaflux.errors import BadName, Refused
from otaflux.model.names import STABLE, Channel, Device

FOLLOW, NEVER = "follow", "never"
LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "critical",
}
# As the Rust program's filter has them: numbers from nothing to everything.
OLD_LEVELS = {
    "off": "critical",
    "0": "critical",
    "1": "error",
    "2": "warning",
    "3": "info",
    "4": "debug",
    "5": "debug",
}

_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:(b?)|([kmgt])(i?)b)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_SEPARATOR = re.compile(r"[\s,]+")


class Wrong(Refused):
    """A value that cannot be one; `expected` says what can, `found` replaces it in the complaint.

    `found` is given where the value as a whole would not help, or must not be shown.
    """

    def __init__(self, expected: str, *, found: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found


def text(value: str) -> str:
    """Any text."""
    return value


def boolean(value: str) -> bool:
    """Yes or no, in the usual words."""
    match value.lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
        case _:
            raise Wrong("true or false")


def size(value: str) -> int:
    """Bytes: a plain number, or one with a unit of 1000 (kB, MB, GB) or of 1024 (KiB, MiB, GiB)."""
    match = _SIZE.fullmatch(value)
    if match is None:
        raise Wrong("a size, such as 256MiB, 1GB or a plain number of bytes")
    number, _, unit, binary = match.groups()
    count = float(number) * (1024 if binary else 1000) ** _UNITS[(unit or "").lower()]
    exact = int(number) if number.isdecimal() and not unit else int(count)
    if not 1 <= exact <= 1 << 44:
        raise Wrong("a size from 1 byte to 16 TiB, such as 256MiB")
    return exact


def number(low: float, high: float, example: str) -> Callable[[str], float]:
    """A parser for numbers, decimals allowed, from `low` to `high`."""

    def parse(value: str) -> float:
        if not _NUMBER.fullmatch(value) or not low <= float(value) <= high:
            raise Wrong(f"a number from {low:g} to {high:g}, such as {example}")
        return float(value)

    return parse


def seconds(low: float, high: float, example: str) -> Callable[[str], float]:
    """A parser for seconds, decimals allowed, with or without an `s` behind them."""

    def parse(value: str) -> float:
        bare = value.removesuffix("s").rstrip()
        if not _NUMBER.fullmatch(bare) or not low <= float(bare) <= high:
            raise Wrong(f"seconds from {low:g} to {high:g}, such as {example}")
        return float(bare)

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    """A parser for whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdecimal() and low <= int(value[:20]) <= high):
            raise Wrong(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def level(value: str) -> str:
    """The lowest level that is logged."""
    try:
        return (LEVELS | OLD_LEVELS)[value.lower()]
    except KeyError:
        raise Wrong("debug, info, warning or error") from None


def log_format(value: str) -> str:
    """How a log line is written."""
    if value.lower() not in {"json", "console"}:
        raise Wrong("json or console")
    return value.lower()


def downgrades(value: str) -> str:
    """Whether channels fall."""
    if value.lower() not in {FOLLOW, NEVER}:
        raise Wrong("follow or never")
    return value.lower()


def words(value: str) -> tuple[str, ...]:
    """A list: white space or commas stand between its members; each counts once."""
    return tuple(dict.fromkeys(word for word in _SEPARATOR.split(value) if word))


def devices(value: str) -> frozenset[Device]:
    """Names of devices."""
    try:
        return frozenset(Device.parse(word) for word in words(value))
    except BadName as error:
        raise Wrong(f"names of devices; {_lowered(error)}") from None


def channels(value: str) -> tuple[Channel, ...]:
    """Names of pre-release channels; the stable one is always there and is not named."""
    names = words(value)
    if STABLE in names:
        raise Wrong("pre-release channels without 'stable', which is always served")
    try:
        return tuple(Channel.parse(name) for name in names)
    except BadName as error:
        raise Wrong(f"pre-release channels, such as beta rc; {_lowered(error)}") from None


def channel(value: str) -> Channel:
    """The name of one channel, the stable one too."""
    try:
        return Channel.parse(value.strip())
    except BadName as error:
        raise Wrong(f"stable or one of CHANNELS; {_lowered(error)}") from None


def _lowered(error: BadName) -> str:
    message = str(error)
    return message[:1].lower() + message[1:]


def path(value: str) -> Path:
    """A path; `~` is the home of whoever runs the program."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise Wrong("a path whose '~' can be resolved") from None


def file(value: str) -> Path:
    """A file that is there."""
    where = path(value)
    if not where.is_file():
        raise Wrong("the path of a file that is there")
    return where


def certificates(value: str) -> Path:
    """A PEM file with at least one certificate to trust."""
    where = file(value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=where)
    except OSError:  # ssl.SSLError is one
        raise Wrong("the path of a readable PEM file with certificates") from None
    return where
