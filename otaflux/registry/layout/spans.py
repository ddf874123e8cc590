"""Where the entries of an `index.json` lie in its bytes: found in steps, for it may have megabytes.

A decoder keeps every other thread waiting until it has read all, which for 16 MiB is longer than a
poll may wait. So the list of manifests is cut into its entries here, a step of at most 64 KiB at a
time, and only the entries, one by one, and what is around the list go to the decoder, which is the
judge of their syntax. Pure.
"""

from __future__ import annotations

import codecs
import re
from array import array
from collections.abc import Iterator

import msgspec

from otaflux.errors import Undecided

MAX_PART = 1 << 20  # bytes of one entry, and of all that is around the list

_STEP = 64 * 1024  # bytes that are looked at without letting others run
_BLANKS = re.compile(rb"[ \t\r\n]*")
_MARK = re.compile(rb'["{}\[\]]')
_SCALAR_END = re.compile(rb"[,\]} \t\r\n]")
# What descriptors look like: an object of plain strings, numbers and objects of these. The
# alternatives begin with different bytes and end before others, so that there is one way to match.
# No possessive quantifiers, which would say the same: Python 3.11 up to 3.11.4 gets them wrong.
_PLAIN = rb'[^{}\[\]"]+(?=[{}\[\]"])|"[^"\\]*"'
_DESCRIPTOR = re.compile(rb"\{(?:" + _PLAIN + rb"|\{(?:" + _PLAIN + rb")*\})*\}")
_MAX_KEY = 64  # bytes of a key that could be `manifests`, however it is escaped


class Spans:
    """An index's bytes, where each entry begins and ends in them, and what is around the list."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._starts = array("L")
        self._ends = array("L")
        self._list: tuple[int, int] | None = None
        _check_text(body)
        self._walk()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[bytes]:
        for start, end in zip(self._starts, self._ends, strict=True):
            yield self.body[start:end]

    def around(self) -> bytes:
        """The document with an empty list in the place of its manifests."""
        if self._list is None:
            return self.body
        start, end = self._list
        return b"".join((self.body[:start], b"[]", self.body[end:]))

    def _walk(self) -> None:
        """Go through the outermost object; raises `Undecided` where that is none."""
        at = _blank(self.body, self._after(_blank(self.body, 0), b"{"))
        while self.body[at : at + 1] != b"}":
            key_end = self._value_end(at)
            is_list = _is_manifests(self.body[at:key_end])
            at = _blank(self.body, self._after(_blank(self.body, key_end), b":"))
            if is_list and self.body[at : at + 1] == b"[":
                if self._list is not None:
                    raise Undecided("it does not parse: 'manifests' is there twice")
                end = self._entries(at)
                self._list = (at, end)
            else:
                end = self._value_end(at)
            at = _blank(self.body, end)
            if self.body[at : at + 1] == b",":
                at = _blank(self.body, at + 1)
        outside = len(self.body) - (self._list[1] - self._list[0] if self._list else 0)
        if outside > MAX_PART:
            raise Undecided(f"it has more than {MAX_PART} bytes besides its manifests")

    def _entries(self, at: int) -> int:
        """Note each entry of the list that begins there; returns its end."""
        at = _blank(self.body, at + 1)
        if self.body[at : at + 1] == b"]":
            return at + 1
        while True:
            end = self._value_end(at)
            if end - at > MAX_PART:
                raise Undecided(f"it has an entry of more than {MAX_PART} bytes")
            self._starts.append(at)
            self._ends.append(end)
            at = _blank(self.body, end)
            if self.body[at : at + 1] == b"]":
                return at + 1
            at = _blank(self.body, self._after(at, b","))

    def _after(self, at: int, mark: bytes) -> int:
        if self.body[at : at + 1] != mark:
            raise Undecided(f"it does not parse: no {mark.decode()} at byte {at}")
        return at + 1

    def _value_end(self, at: int) -> int:
        """Where the value ends that begins there."""
        body = self.body
        first = body[at : at + 1]
        if first == b'"':
            return _string_end(body, at)
        if first not in {b"{", b"["}:
            ends = _SCALAR_END.search(body, at, at + _STEP)
            if ends is None or ends.start() == at:
                raise Undecided(f"it does not parse: no value at byte {at}")
            return ends.start()
        whole = _DESCRIPTOR.match(body, at, at + _STEP)
        return whole.end() if whole else _container_end(body, at)


def _container_end(body: bytes, at: int) -> int:
    depth = 0
    while at < len(body):
        mark = _MARK.search(body, at, at + _STEP)
        if mark is None:
            at += _STEP
            continue
        at = mark.end()
        if mark[0] == b'"':
            at = _string_end(body, at - 1)
        elif mark[0] in b"{[":
            depth += 1
        else:
            depth -= 1
            if not depth:
                return at
    raise Undecided("it does not parse: it ends too early")


def _string_end(body: bytes, at: int) -> int:
    at += 1
    while True:
        end = body.find(b'"', at)
        if end < 0:
            raise Undecided("it does not parse: it ends too early")
        before = body[at:end]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return end + 1
        at = end + 1


def _blank(body: bytes, at: int) -> int:
    """The first byte from `at` on that is no white space."""
    while True:
        match = _BLANKS.match(body, at, at + _STEP)
        end = match.end() if match else at
        if end - at < _STEP:
            return end
        at = end


def _is_manifests(key: bytes) -> bool:
    if len(key) > _MAX_KEY:
        return False
    try:
        return bool(msgspec.json.decode(key) == "manifests")
    except (msgspec.MsgspecError, UnicodeError):
        return False


def _check_text(body: bytes) -> None:
    """Raises `Undecided` for bytes that are no UTF-8, which a decoder passes over."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(body), _STEP):
            decoder.decode(body[at : at + _STEP])
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise Undecided(f"it does not parse: {error}") from None
