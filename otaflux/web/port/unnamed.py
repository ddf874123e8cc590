"""A request as any board of its kind sends it: without what one board says of itself.

Pure. Boards that name themselves send as many different requests as there are boards, and no answer
depends on the name, nor, where downgrades are followed, on what the board runs. Neither does one
depend on the address that a proxy adds, but on whether it adds one. So these values are cut out
before a request is looked up: where each is one that no parser could read otherwise, and stands
where boards and proxies write it. All else is left as it came.
"""

from __future__ import annotations

import re

import msgspec

# What came may be cut in the middle of a value: then nothing ends it yet.
_VALUE = re.compile(rb"[A-Za-z0-9:._-]{1,64}(?=[ &\r])")
_IN_VALUES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:._-"
_LONGEST = 64
_HOPS = re.compile(rb"[0-9A-Fa-f:., ]{1,200}(?=\r)")
_OF_PROXIES = (b"\r\nX-Forwarded-For: ", b"\r\nX-Real-IP: ")
_HEADERS = (b"\r\nx-ESP32-STA-MAC: ", b"\r\nx-ESP8266-STA-MAC: ", b"\r\nRAUC-Serial: ")


def unnamed(data: bytes, *, with_current: bool = True) -> tuple[bytes, bytes, bytes]:
    """The request without them, the board's name, and what it says it runs; empty where not cut.

    `with_current` says whether what it runs is cut too.
    """
    unit = runs = b""
    end = data.find(b" HTTP/1.1\r\n")
    data, unit = _without(data, _parameter(data, b"unit=", end))
    if with_current:
        end -= len(unit)
        data, runs = _without(data, _parameter(data, b"current=", end))
    for header in _HEADERS:
        at = data.find(header)
        if at > 0:
            data, name = _without(data, at + len(header))
            unit = unit or name
    for header in _OF_PROXIES:
        at = data.find(header)
        if at > 0:
            data, _ = _without(data, at + len(header), _HOPS)
    return data, unit, runs


class RequestKind(msgspec.Struct, frozen=True):
    """Requests that are the same but for the board's name: `key` is theirs without it.

    Who stands between `before` and `after` is told by two comparisons and no search.
    """

    before: bytes
    after: bytes
    key: bytes
    runs: bytes

    @classmethod
    def of(cls, data: bytes, key: bytes, unit: bytes, runs: bytes) -> RequestKind | None:
        """The kind of a request that `unnamed` cut; None where more than one name was cut."""
        if not unit or len(data) != len(key) + len(unit) + len(runs):
            return None
        for mark in (b"unit=", *_HEADERS):
            at = data.find(mark + unit) + len(mark)
            before, after = data[:at], data[at + len(unit) :]
            if at >= len(mark) and unnamed(before + after) == (key, b"", runs):
                return cls(before, after, key, runs)
        return None

    def name_in(self, data: bytes) -> bytes:
        """The board's name in a request of this kind; nothing where it is of another."""
        before, after = self.before, self.after
        if not (data.startswith(before) and data.endswith(after)):
            return b""
        name = data[len(before) : len(data) - len(after)]
        return name if len(name) <= _LONGEST and not name.translate(None, _IN_VALUES) else b""


def _parameter(data: bytes, name: bytes, end: int) -> int:
    """Where the value of the query's parameter begins; 0 where there is none."""
    at = data.find(name, 0, max(end, 0))
    return at + len(name) if at > 0 and data[at - 1] in b"?&" else 0


def _without(data: bytes, at: int, form: re.Pattern[bytes] = _VALUE) -> tuple[bytes, bytes]:
    """Without the value that begins there, where it is one and ends as it has to; and the value."""
    found = form.match(data, at) if at else None
    return (data, b"") if found is None else (data[:at] + data[found.end() :], found[0])
