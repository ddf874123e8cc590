"""What a version costs little to rank is ranked as the version itself is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otaflux.errors import BadName
from otaflux.model.version import MAX_VERSION, Rank, Version, rank

TEXTS = st.from_regex(r"[vV]?[0-9]{1,2}(\.[0-9]{1,2}){1,2}([-+_ .][0-9a-zA-Z.+_-]{0,8}){0,2}")


@given(st.one_of(TEXTS, st.text(alphabet="vV019.-+_ arcé٣\n", max_size=16)))
def test_a_rank_is_that_of_the_version(text: str) -> None:
    """Ranked is what parses, with the same key and channel; nothing else is."""
    try:
        version = Version.parse(text)
    except BadName:
        assert rank(text) is None
    else:
        assert rank(text) == Rank(version.key, version.pre_release)


def test_what_is_too_long_has_no_rank() -> None:
    """As it is no version."""
    assert rank("1.0." + "1" * (MAX_VERSION - 4)) is not None
    assert rank("1.0." + "1" * (MAX_VERSION - 3)) is None
