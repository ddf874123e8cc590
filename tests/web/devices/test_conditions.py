"""Conditions and ranges, held against RFC 9110."""

from __future__ import annotations

import pytest
from device_server import release
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from otaflux.web.answers import Answer, Span, firmware, version_text
from otaflux.web.devices.conditions import RangeKind, reach, single_range, weigh

CONTENT = b"0123456789"
WHOLE = firmware(release(content=CONTENT).firmware)
ETAG = WHOLE.etag
OTHER = f'"{"0" * 32}"'


def weighed(*lines: tuple[str, str], whole: Answer = WHOLE, head: bool = False) -> Answer:
    """A request's headers against a firmware of ten bytes."""
    return weigh(CIMultiDict(lines), whole, head=head)


@given(st.integers(0, 30), st.none() | st.integers(0, 30))
def test_a_range_gives_those_bytes(first: int, last: int | None) -> None:
    """A single range gives what slicing gives, is refused outside, and ignored if backwards."""
    answer = weighed(("Range", f"bytes={first}-{'' if last is None else last}"))
    if last is not None and last < first:
        assert answer is WHOLE
    elif first >= len(CONTENT):
        assert answer.status == 416
        assert dict(answer.headers)["Content-Range"] == "bytes */10"
    else:
        assert answer.status == 206
        assert answer.span is not None
        got = CONTENT[answer.span.start :][: answer.span.length]
        assert got == CONTENT[first : None if last is None else last + 1]
        assert dict(answer.headers)["Content-Length"] == str(len(got))
        assert (
            dict(answer.headers)["Content-Range"]
            == f"bytes {first}-{min(9, 9 if last is None else last)}/10"
        )


@given(st.integers(0, 30))
def test_a_suffix_gives_the_last_bytes(length: int) -> None:
    """The last N bytes, all of them where N is more, and nothing of none."""
    answer = weighed(("Range", f"bytes=-{length}"))
    if length == 0:
        assert answer.status == 416
    else:
        assert answer.span == Span(max(0, 10 - length), min(10, length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-2x",
        "bytes=1 - 2",
        "bytes=0x1-",
        "bytes=+1-2",
        "bytes=--1",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "bytes = 0-1",
        "lines=0-1",
        "bytes=²-",
        "bytes=5-2",
    ],
)
def test_what_is_no_single_range_gives_the_whole(text: str) -> None:
    """Malformed and multiple ranges, and other units, are answered whole."""
    assert weighed(("Range", text)) is WHOLE


def test_two_range_headers_give_the_whole() -> None:
    """Two headers are as good as a list of two."""
    assert weighed(("Range", "bytes=0-1"), ("Range", "bytes=0-1")) is WHOLE


def test_units_of_ranges_have_no_case_and_numbers_no_bound() -> None:
    """`Bytes=` is bytes; an offset of thousands of digits is past the end, or clamped."""
    assert weighed(("Range", "Bytes= 2-3 ")).span == Span(2, 2)
    assert weighed(("Range", "bytes=" + "9" * 6000 + "-")).status == 416
    assert weighed(("Range", "bytes=1-" + "9" * 6000)).span == Span(1, 9)
    assert weighed(("Range", "bytes=-" + "9" * 6000)).span == Span(0, 10)
    assert weighed(("Range", "bytes=" + "0" * 6000 + "3-4")).span == Span(3, 2)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"a,b", {ETAG}', True),
        (f"{OTHER},{ETAG} ,", True),
        ("*", True),
        (OTHER, False),
        (ETAG.strip('"'), False),
        ('"*"', False),
        ("", False),
        (f"{OTHER}, *", False),
    ],
)
def test_if_none_match_compares_weakly(value: str, same: bool) -> None:
    """A list, weak tags and `*` match; 304 wins over a range."""
    for more in ((), (("Range", "bytes=0-3"),)):
        answer = weighed(("If-None-Match", value), *more)
        assert (answer.status == 304) is same
        if same:
            assert answer.etag == ETAG
            assert answer.span is None
    assert (weighed(("If-None-Match", value), head=True).status == 304) is same


def test_if_none_match_may_be_several_lines() -> None:
    """Two header lines are one list."""
    assert weighed(("If-None-Match", OTHER), ("If-None-Match", ETAG)).status == 304


@pytest.mark.parametrize(
    ("value", "fails"),
    [
        (ETAG, False),
        (f"{OTHER}, {ETAG}", False),
        ("*", False),
        (f"W/{ETAG}", True),
        (OTHER, True),
        ("", True),
    ],
)
def test_if_match_compares_strongly(value: str, fails: bool) -> None:
    """Weak tags never match; 412 goes before everything else."""
    answer = weighed(("If-Match", value), ("If-None-Match", ETAG), ("Range", "bytes=0-3"))
    assert answer.status == (412 if fails else 304)
    assert weighed(("If-Match", value)).status == (412 if fails else 200)


@pytest.mark.parametrize(
    "value",
    [
        OTHER,
        f"W/{ETAG}",
        f"{ETAG}, {ETAG}",
        "*",
        "",
        ETAG.strip('"'),
        "Tue, 15 Nov 1994 08:12:31 GMT",
    ],
)
def test_an_if_range_that_is_not_ours_gives_the_whole(value: str) -> None:
    """Only our own strong ETag lets a range through."""
    assert weighed(("If-Range", value), ("Range", "bytes=5-")) is WHOLE
    assert weighed(("If-Range", value), ("Range", "bytes=99-")) is WHOLE


def test_our_if_range_gives_the_part() -> None:
    """With our ETag a download goes on where it broke off; without a range it means nothing."""
    assert weighed(("If-Range", ETAG), ("Range", "bytes=5-")).span == Span(5, 5)
    assert weighed(("If-Range", ETAG), ("Range", "bytes=99-")).status == 416
    assert weighed(("If-Range", OTHER)) is WHOLE


def test_dates_are_passed_over() -> None:
    """Nothing here has a modification date, so conditions with dates mean nothing."""
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    assert weighed(("If-Modified-Since", date), ("If-Unmodified-Since", date)) is WHOLE


def test_ranges_are_for_get_of_firmware() -> None:
    """HEAD and `/version` ignore ranges, but not conditions."""
    assert weighed(("Range", "bytes=0-3"), head=True) is WHOLE
    text = version_text(release())
    assert weighed(("Range", "bytes=0-3"), whole=text) is text
    assert weighed(("If-None-Match", text.etag), whole=text).status == 304


@pytest.mark.parametrize(
    ("lines", "reached"),
    [
        ([], RangeKind.WHOLE),
        ([("Range", "bytes=0-")], RangeKind.START),
        ([("Range", "bytes=00-7")], RangeKind.START),
        ([("Range", "bytes=1-")], RangeKind.LATER),
        ([("Range", "bytes=-5")], RangeKind.LATER),
        ([("Range", "bytes=1-2,3-4")], RangeKind.WHOLE),
        ([("Range", "bytes=9-"), ("If-Range", "x")], RangeKind.ANCHORED),
        ([("If-Range", "x")], RangeKind.WHOLE),
    ],
)
def test_what_a_request_reaches_for(lines: list[tuple[str, str]], reached: RangeKind) -> None:
    """Where a request begins is known before the firmware is."""
    assert reach(CIMultiDict(lines), head=False) is reached
    assert reach(CIMultiDict(lines), head=True) is RangeKind.HEAD


@given(
    st.dictionaries(
        st.sampled_from(["Range", "If-Range", "If-Match", "If-None-Match"]),
        st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=60)
        | st.from_regex(r"bytes=[0-9]{0,30}-[0-9]{0,30}", fullmatch=True),
    )
)
def test_any_headers_have_an_answer(headers: dict[str, str]) -> None:
    """Whatever the headers hold, the answer is one of five, and a part lies inside the whole."""
    lines = CIMultiDict(headers)
    answer = weigh(lines, WHOLE, head=False)
    assert answer.status in {200, 206, 304, 412, 416}
    if answer.status == 206:
        assert answer.span is not None
        assert 0 <= answer.span.start <= answer.span.last < 10
        assert single_range(lines) is not None
