"""Foreign text in messages: short, printable, and without what may be a password."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otaflux.wording import MAX_NAME, plain, quoted, quoted_address, quoted_names


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_text_is_shown_short_and_printable(text: str | bytes) -> None:
    """Control characters, line ends, marks that turn a line around and surrogates are escaped."""
    said = quoted(text)
    assert said.isprintable()
    assert said.encode()
    assert len(said) <= MAX_NAME + 2


def test_text_of_other_languages_stays_readable() -> None:
    """What can be printed is: names of firmware are not only English."""
    assert plain("lämp-灯") == "lämp-灯"


def test_what_is_cut_off_says_so() -> None:
    """And what fits is shown whole."""
    assert plain("x" * MAX_NAME) == "x" * MAX_NAME
    assert plain("x" * (MAX_NAME + 1)) == "x" * (MAX_NAME - 1) + "…"


def test_a_name_or_a_password_before_a_host_is_not_shown() -> None:
    """Nor a query, which may be signed."""
    assert plain("see http://eve:topsecret@host/x") == "see http://host/x"
    assert quoted_address("http://eve:topsecret@host/x?sig=1") == "'http://host/x?'"


def test_of_many_names_the_first_few_are_shown() -> None:
    """A million would flood the log."""
    assert quoted_names("abcdefgh") == "'a', 'b', 'c', 'd', 'e' and 3 more"
