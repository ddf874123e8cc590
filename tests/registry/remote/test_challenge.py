"""`WWW-Authenticate` as registries write it, and as they should not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.registry.remote.challenge import MAX_HEADER, Challenge, parse_challenges


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="lab"'], [("basic", {"realm": "lab"})]),
        (
            ['Bearer realm="https://a/t",service="r",scope="repository:a/b:pull,push"'],
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "r", "scope": "repository:a/b:pull,push"},
                )
            ],
        ),
        (
            ['Negotiate YII=, basic Realm = "a, \\"b\\"" , Bearer realm=https://x/t'],
            [
                ("negotiate", {}),
                ("basic", {"realm": 'a, "b"'}),
                ("bearer", {"realm": "https://x/t"}),
            ],
        ),
        (["Negotiate", 'Basic realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Basic, Bearer"], [("basic", {}), ("bearer", {})]),
        (['Bearer realm="a",realm="b"'], [("bearer", {"realm": "a"})]),
        (['realm="no scheme"', ""], []),
        (['Bearer realm="open, Basic realm="ok"'], [("bearer", {}), ("basic", {"realm": "ok"})]),
    ],
)
def test_challenges_are_read(
    headers: list[str], expected: list[tuple[str, dict[str, str]]]
) -> None:
    """Several in one header or in several, commas in quotes, any case; nonsense is skipped."""
    assert [(each.scheme, dict(each.params)) for each in parse_challenges(headers)] == expected


TOKENS = st.text("abcdefghijklmnopqrstuvwxyzXYZ0123456789-_", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(
    st.lists(
        st.tuples(TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES, min_size=1)), max_size=4
    )
)
def test_what_is_written_by_the_grammar_is_read_back(
    challenges: list[tuple[str, dict[str, str]]],
) -> None:
    """Whatever is in the quotes, each challenge comes back whole and alone."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in params.items())
        for scheme, params in challenges
    )
    expected = [Challenge(scheme.lower(), params) for scheme, params in challenges]
    assert list(parse_challenges([header])) == expected


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_header_is_read_without_an_error(headers: list[str]) -> None:
    """A hostile header gives challenges or none."""
    parse_challenges(headers)


def test_a_hostile_header_costs_little() -> None:
    """Thousands of quotes that never close are read in bounded time: only 8 KiB are looked at."""
    began = time.process_time()
    parse_challenges(['a="' * 100_000])
    assert time.process_time() - began < 5, f"more than {MAX_HEADER} characters were read"
