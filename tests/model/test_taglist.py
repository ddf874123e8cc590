"""Very many tags in little memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.names import Tag
from otaflux.model.taglist import PIECE, TagList

TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(st.lists(st.lists(TAGS, max_size=5), max_size=5))
def test_what_goes_in_comes_out(pages: list[list[str]]) -> None:
    """In its order, page after page, empty ones too."""
    tags = TagList(pages)
    texts = [text for page in pages for text in page]
    assert list(tags.texts()) == texts
    assert list(tags) == [Tag(text) for text in texts]
    assert len(tags) == len(texts)
    assert all(Tag(text) in tags for text in texts)
    assert Tag("no-such-tag-of-twenty-one") not in tags


def test_a_hundred_thousand_take_little_more_than_their_letters() -> None:
    """Also while they are gone through, which makes texts of a piece of them at a time."""
    tags = TagList([f"{number:040}" for number in range(1000)] for _ in range(100))
    assert len(tags) * 40 > 50 * PIECE
    tracemalloc.start()
    try:
        assert sum(1 for _ in tags.texts()) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 8 * PIECE
    finally:
        tracemalloc.stop()
