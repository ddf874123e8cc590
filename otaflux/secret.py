"""Secrets that do not show, and secrets, keys and certificates read again when their file changes.

Trust: a `Secret` hides its text from `repr`, `str` and so from logs, tracebacks and error messages;
only `reveal()` gives it out. A `Reread` value looks at its files each time it is asked (one `stat`
a file, microseconds) and reads them only when they changed, so that a rotated secret counts at once
and no timer is needed. While a file is missing, empty or wrong, the last good value stands: files
are often replaced in two steps. Both are for one thread, the event loop's.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from otaflux.errors import Undecided, reason_of
from otaflux.log import Event, log

MAX_FILE = 1 << 20  # bytes; no secret, key or chain of certificates is larger

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Signature = tuple[int, ...]


class Secret:
    """A text that shows only where it is asked for by `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Equal texts, compared in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(self._text)


class Current(Protocol[T_co]):
    """A value that may change while the program runs: ask each time, keep no copy."""

    def current(self) -> T_co:
        """The value that counts now."""
        ...


class Fixed(msgspec.Struct, Generic[T], frozen=True):
    """A value that never changes, where one that may is expected."""

    value: T

    def current(self) -> T:
        """The value."""
        return self.value


class Reread(Generic[T]):
    """What `parse` makes of some files, made again when one of them changes.

    `parse` gets the files' bytes in the order of `paths` and raises `ValueError` or `OSError` where
    they make no value; that counts as a file that cannot be read. `name` is what the log calls it,
    usually the setting. Files that belong together, as a certificate and its key, are one value.
    """

    def __init__(
        self, name: str, paths: Sequence[Path], parse: Callable[[Sequence[bytes]], T]
    ) -> None:
        self._name = name
        self._paths = tuple(paths)
        self._parse = parse
        self._seen: tuple[Signature, ...] | None = None
        self._good: tuple[Sequence[bytes], T] | None = None
        self._complained = False

    def current(self) -> T:
        """The newest value that could be read; raises `Undecided` where none ever could."""
        try:
            seen = tuple(_signature(path) for path in self._paths)
            if self._good is not None and seen == self._seen:
                self._complained = False
                return self._good[1]
            contents = tuple(_content(path) for path in self._paths)
            self._seen = seen  # now, so that content which makes no value is tried only once
            if self._good is None or contents != self._good[0]:
                first = self._good is None
                self._good = (contents, self._parse(contents))
                if not first:
                    log.info(Event.SECRET_READ_AGAIN, setting=self._name)
        except (OSError, ValueError) as error:
            return self._last_good(error)
        return self._good[1]

    def _last_good(self, error: Exception) -> T:
        where = " and ".join(str(path) for path in self._paths)
        reason = reason_of(error)
        if self._good is None:
            raise Undecided(f"{self._name}: cannot read {where}: {reason}")
        if not self._complained:
            self._complained = True
            log.warning(Event.SECRET_KEPT, setting=self._name, path=where, reason=reason)
        return self._good[1]


def several(secret: Current[Secret] | None) -> list[str]:
    """The secrets that one setting holds now, white space between; none where it is not set."""
    return secret.current().reveal().split() if secret is not None else []


def secret_file(name: str, path: Path) -> Reread[Secret]:
    """The secret in a file, without the line end that editors add."""
    return Reread(name, [path], lambda contents: Secret(text_of(contents[0])))


def text_of(content: bytes) -> str:
    """A secret's text: UTF-8 without line ends after it; raises `ValueError` where it is none."""
    try:
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if not text.strip():
        raise ValueError("it is empty")
    return text


def _signature(path: Path) -> Signature:
    """Differs once the file, or the link that leads to it, was changed."""
    status = path.stat()
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"it is larger than {MAX_FILE} bytes")
    return content
