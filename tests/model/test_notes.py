"""What a pusher writes for people: links open and do not run, text controls nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.notes import MAX_NOTE, page_of, summary_of


@pytest.mark.parametrize(
    "page",
    [
        "https://lamp.example",
        "http://lamp.example:8080/1.4.0?a=b#notes",
        "HTTPS://Lamp.example/" + "x" * (MAX_NOTE - 21),
    ],
)
def test_an_address_of_the_web_is_kept(page: str) -> None:
    """As it was written."""
    assert page_of(page) == page


@pytest.mark.parametrize(
    "page",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "//lamp.example",
        "lamp.example",
        "https://",
        "https://a b",
        "https://lamp.example/\n",
        "https://user@lamp.example",
        "https://lamp.example/" + "x" * MAX_NOTE,
    ],
)
def test_what_is_no_address_of_the_web_is_left_out(page: str) -> None:
    """Nor is one cut, for it would lead elsewhere."""
    assert page_of(page) == ""


@given(st.text(max_size=MAX_NOTE * 2))
def test_a_summary_controls_nothing(text: str) -> None:
    """Only what can be printed, and lines; short."""
    summary = summary_of(text)
    assert len(summary) <= MAX_NOTE
    assert summary.replace("\n", "").replace("\t", "").isprintable()
