"""Conditions and ranges of a request against the answer that it would get (RFC 9110).

Pure. The order is that of section 13.2.2: `If-Match`, `If-None-Match`, then `Range` with its
`If-Range`. OtaFlux sends no `Last-Modified`, so conditions with dates are passed over (sections
13.1.3 and 13.1.4) and an `If-Range` with a date never holds.
"""

from __future__ import annotations

import re
from enum import Enum
from http import HTTPStatus

import msgspec
from multidict import MultiMapping

from otaflux.web.answers import Answer, Span, failed, not_modified, part, unsatisfiable

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\uffff]*")')
_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_DIGITS = 18  # an offset with more is past the end of any file; int() refuses thousands


class RangeKind(Enum):
    """What of a firmware a request reaches for, as far as that can be told before its size is.

    `WHOLE` is all of it, by GET. `START` and `LATER` are ranges, from the first byte or above it,
    a suffix counting as above. `ANCHORED` is a range that an `If-Range` ties to one content.
    """

    WHOLE = "whole"
    HEAD = "head"
    START = "start"
    LATER = "later"
    ANCHORED = "anchored"


class Range(msgspec.Struct, frozen=True):
    """`first-last`, or the last `suffix` bytes; `last` is None for all the rest."""

    first: int = 0
    last: int | None = None
    suffix: int | None = None

    def span(self, size: int) -> Span | None:
        """What it means of `size` bytes; None where it lies outside (section 14.1.2)."""
        if self.suffix is not None:
            length = min(self.suffix, size)
            return Span(size - length, length) if length else None
        if self.first >= size:
            return None
        last = size - 1 if self.last is None else min(self.last, size - 1)
        return Span(self.first, last - self.first + 1)


def single_range(headers: MultiMapping[str]) -> Range | None:
    """The one range that is asked for; None for none, for several, and for what is no range."""
    lines = headers.getall("Range", [])
    match = _RANGE.fullmatch(lines[0]) if len(lines) == 1 else None
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return Range(suffix=_offset(last)) if last else None
    if last and _offset(last) < _offset(first):
        return None
    return Range(_offset(first), _offset(last) if last else None)


def reach(headers: MultiMapping[str], *, head: bool) -> RangeKind:
    """What a request for firmware reaches for; HEAD has no ranges (section 14.2)."""
    asked = None if head else single_range(headers)
    if head:
        return RangeKind.HEAD
    if asked is None:
        return RangeKind.WHOLE
    if "If-Range" in headers:
        return RangeKind.ANCHORED
    return RangeKind.LATER if asked.first or asked.suffix is not None else RangeKind.START


def weigh(headers: MultiMapping[str], whole: Answer, *, head: bool) -> Answer:
    """`whole`, or a part of it, 304, 412 or 416; for HEAD still with the body it has."""
    if "If-Match" in headers and not _matches(headers.getall("If-Match"), whole, strong=True):
        return failed(HTTPStatus.PRECONDITION_FAILED, "This is not the content that If-Match names")
    if "If-None-Match" in headers and _matches(
        headers.getall("If-None-Match"), whole, strong=False
    ):
        return not_modified(whole)
    asked = None if head or whole.span is None else single_range(headers)
    if whole.span is None or asked is None:
        return whole
    # Strong comparison, and one tag only: a list, a date or a weak tag gives the whole.
    if "If-Range" in headers and headers.getall("If-Range") != [whole.etag]:
        return whole
    span = asked.span(whole.span.length)
    return unsatisfiable(whole) if span is None else part(whole, span)


def _matches(lines: list[str], whole: Answer, *, strong: bool) -> bool:
    """Whether a list of entity tags names this content (section 8.8.3.2)."""
    value = ", ".join(lines)
    if value.strip() == "*":
        return True
    return any(tag == whole.etag and not (strong and weak) for weak, tag in _TAG.findall(value))


def _offset(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS else int("9" * _DIGITS)
