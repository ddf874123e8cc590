"""What an archive of SWUpdate says of itself in its `sw-description`. Pure.

An `.swu` is a cpio archive in the "new ASCII" or "new CRC" format (070701, 070702) whose first file
is `sw-description`, in libconfig's syntax or as JSON. Sources: SWUpdate's documentation, "Images
delivered" and "SWUpdate: syntax and tags with the default parser"; cpio(5); the manual of
libconfig, "Configuration file grammar". Read is the `version` of the group `software`, and nothing
is evaluated; a description that is encrypted, or larger than what is looked at, says nothing.
"""

from __future__ import annotations

import re

from otaflux.wording import plain

_MAGICS = (b"070701", b"070702")
_FIELD = 8  # hexadecimal digits of each number in the header
_HEADER = 110  # bytes of the header: the magic, and 13 numbers
_SIZE, _NAME_SIZE = 6, 11  # which of the numbers
_ALIGNED = 4
_NAME = b"sw-description"
_MAX_NAME = 4096
MAX_VERSION = 64  # characters

_TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | //[^\n]* | /\*.*?\*/
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<name>[A-Za-z*][-A-Za-z0-9_*]*)
    | (?P<mark>[{}()\[\]=:;,])
    | (?P<broken>"|/\*)
    | (?P<other>[^\s"{}()\[\]=:;,\#/]+|/)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def is_archive(head: bytes) -> bool:
    """Whether a file is a cpio archive of SWUpdate's kinds."""
    return head[: len(_MAGICS[0])] in _MAGICS


def version_of(head: bytes) -> str | None:
    """The version that an archive says; None for what is no cpio, empty where it says none."""
    if not is_archive(head):
        return None
    description = _description(head)
    return plain(_version_in(description), MAX_VERSION) if description else ""


def _description(head: bytes) -> str:
    """The first file, where it is the description and all of it is in `head`."""
    try:
        size, name_size = _number(head, _SIZE), _number(head, _NAME_SIZE)
    except ValueError:
        return ""
    if not 0 < name_size <= _MAX_NAME:
        return ""
    name = head[_HEADER : _HEADER + name_size].rstrip(b"\0").removeprefix(b"./")
    start = -(-(_HEADER + name_size) // _ALIGNED) * _ALIGNED
    if name != _NAME or len(head) < start + size:
        return ""
    return head[start : start + size].decode("utf-8", "replace")


def _number(head: bytes, which: int) -> int:
    digits = head[6 + which * _FIELD : 6 + (which + 1) * _FIELD]
    if len(digits) < _FIELD:
        raise ValueError
    return int(digits, 16)


def _version_in(description: str) -> str:
    """The `version` of the group `software`; empty where there is none."""
    place = _Place()
    for token in _TOKEN.finditer(description):
        if token.lastgroup == "broken":  # what it begins has no end
            return ""
        if token.lastgroup == "text" and place.is_version:
            return _ESCAPE.sub(r"\1", token[0][1:-1])
        if token.lastgroup is not None:
            place.pass_over(token[0], is_mark=token.lastgroup == "mark")
    return ""


class _Place:
    """Where in a description its reader is: in which groups, and behind which name."""

    def __init__(self) -> None:
        self._groups: list[str] = []  # an empty one for each that has no name, as in lists
        self._name = ""
        self._is_value = False

    @property
    def is_version(self) -> bool:
        """Whether a text here is the version."""
        named = [group for group in self._groups if group]
        return self._is_value and self._name == "version" and named == ["software"]

    def pass_over(self, text: str, *, is_mark: bool) -> None:
        """Take in what stands here."""
        if is_mark and text in "=:":
            self._is_value = True
            return
        if is_mark:
            if text in "{([":
                self._groups.append(self._name)
            elif text in "})]" and self._groups:
                self._groups.pop()
            self._name, self._is_value = "", False
        elif not self._is_value:
            self._name = text.strip('"')
