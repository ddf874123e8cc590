"""Whether a manifest says something twice: pure, over the bytes of a document that parses.

JSON leaves it open which of two equal keys counts, and other tools read keys without regard to
case (Go's `encoding/json` takes `Layers` for `layers`, and of two the last). So of a document in
which a key that counts comes twice, or in other letters, tools would serve different bytes: it is
refused. Keys that nobody reads may come as often as they like; annotations' names have a case.

Objects that are read are walked, everything else is skipped at the speed of a regular expression;
memory does not grow with the document. Some 0.3 s for the worst 4 MiB: for a thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from otaflux.errors import Unusable

MAX_STEPS = 200_000  # keys and brackets that are looked at; annotations that count nothing are none

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_KEY = re.compile(rb'[\s,]*+("(?:[^"\\]++|\\.)*+")\s*+:\s*+')
_SCALAR = re.compile(_STRING + rb"|[^\s,{}\[\]]++")
_SPACE = re.compile(rb"[\s,]*+")
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])")
# A thousand members of an object in which no key is escaped and no value an object or a list: many
# at once, and not all, for a regular expression lets no other thread run meanwhile.
_FLAT = re.compile(
    rb'(?:\s*+"[^"\\]*+"\s*+:\s*+(?:' + _STRING + rb'|[^\s",{}\[\]]++)\s*+,?){1,1000}+'
)


class Shape(msgspec.Struct, frozen=True):
    """The keys of an object that count, and the shapes of those that are objects or lists of some.

    With `exact`, keys in other letters are other keys.
    """

    keys: frozenset[str]
    inner: Mapping[str, Shape] = msgspec.field(default_factory=dict)
    exact: bool = False


def check_keys(body: bytes, shape: Shape) -> None:
    """Raise `Unusable` where a key that counts is not said once, as it is written.

    `body` is valid JSON, an object at its top.
    """
    _Walk(body).object(_space(body, 0), shape)


class _Walk:
    """One walk over one document."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = MAX_STEPS

    def object(self, at: int, shape: Shape) -> int:
        """Walk the object that begins at a position; returns where it ends."""
        if shape.exact and (end := self._flat(at, shape)):
            return end
        known = {key.casefold(): key for key in shape.keys}
        seen: set[str] = set()
        at += 1
        while (match := _KEY.match(self._body, at)) is not None:
            self._step()
            at = match.end()
            key = _text(match[1])
            counts = key if key in shape.keys else None
            if counts is None and not shape.exact:
                counts = known.get(key.casefold())
            if counts is not None:
                _check(key, counts, seen)
            at = self._value(at, shape.inner.get(key) if counts else None)
        return _space(self._body, at) + 1

    def _flat(self, at: int, shape: Shape) -> int:
        """Where a flat object ends in which each key that counts comes once; else 0."""
        end = at + 1
        while (match := _FLAT.match(self._body, end)) is not None:
            end = match.end()
        end = _space(self._body, end)
        if self._body[end : end + 1] != b"}":
            return 0
        for key in shape.keys:
            if self._body.count(f'"{key}"'.encode(), at, end) > 1:
                return 0
        return end + 1

    def _value(self, at: int, shape: Shape | None) -> int:
        opens = self._body[at : at + 1]
        if opens == b"{" and shape is not None:
            return self.object(at, shape)
        if opens == b"[" and shape is not None:
            return self._list(at, shape)
        if opens in {b"{", b"["}:
            return self._skipped(at)
        scalar = _SCALAR.match(self._body, at)
        return scalar.end() if scalar is not None else len(self._body)

    def _list(self, at: int, shape: Shape) -> int:
        at = _space(self._body, at + 1)
        while at < len(self._body) and self._body[at : at + 1] != b"]":
            self._step()
            at = _space(self._body, self._value(at, shape))
        return at + 1

    def _skipped(self, at: int) -> int:
        """Where an object or list ends that nobody reads."""
        depth = 0
        while (match := _BRACKET.match(self._body, at)) is not None:
            self._step()
            at = match.end()
            depth += 1 if match[1] in b"{[" else -1
            if depth == 0:
                return at
        return len(self._body)

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Unusable(f"it has more than {MAX_STEPS} parts that are no annotations")


def _check(key: str, counts: str, seen: set[str]) -> None:
    if counts != key:
        raise Unusable(
            f"its key '{counts}' is written in other letters, so that tools would read it"
            " differently"
        )
    if key in seen:
        raise Unusable(f"its key '{key}' comes twice, so that tools would read it differently")
    seen.add(key)


def _space(body: bytes, at: int) -> int:
    match = _SPACE.match(body, at)
    return match.end() if match is not None else at


def _text(quoted: bytes) -> str:
    """A key as text: most are plain."""
    bare = quoted[1:-1]
    if b"\\" not in bare and bare.isascii():
        return bare.decode()
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return bare.decode(errors="replace")
