"""The top of very many tags, and going on below where an earlier run stopped."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.names import STABLE, Channel, Tag
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate
from otaflux.reconcile.shortlist import Progress, Shortlist, sift

CHANNELS = (STABLE, Channel("rc"))


def some_tags(chance: random.Random, most: int) -> list[str]:
    """Versions of both channels, in no order, some of them twice, and what is no version."""
    texts = [
        f"{chance.choice(['', 'v'])}{chance.randrange(3)}.{chance.randrange(3)}.0"
        f"{chance.choice(['', '-rc.1', '-rc.2', '-beta', '_b1'])}"
        for _ in range(chance.randrange(most))
    ]
    return [*texts, *chance.sample(texts, len(texts) // 3), "latest"]


def whole(texts: list[str], channel: str) -> list[Candidate]:
    """All candidates of a channel, as `choice` has them."""
    return list(choice.of_channel(choice.candidates(map(Tag, texts)), channel))


@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_the_top_is_that_of_all_candidates(chance: random.Random, most: int) -> None:
    """Whatever the order of the listing; what is cut is said to be."""
    texts = some_tags(chance, 80)
    sifted = sift(texts, CHANNELS, most=most, asked=(Tag("latest"), Tag("9.9.9")))
    assert sifted.there == {Tag("latest")}
    for channel in CHANNELS:
        every = whole(texts, channel)
        found = sifted.channels[channel]
        assert list(found.candidates) == every[:most]
        assert found.is_cut == (len(every) > most)


def sweep(texts: list[str], most: int, budget: int) -> list[Tag]:
    """The tags of a channel in the order in which run after run looks at them."""
    seen: list[Tag] = []
    progress: Progress | None = None
    while True:
        found = _sift(texts, most, progress)
        looked = [candidate.tag for candidate in found.candidates[:budget]]
        seen += looked
        if len(found.candidates) <= budget and not found.is_cut:
            return seen
        progress = found.progress(looked)


def _sift(
    texts: list[str], most: int, progress: Progress | None, named: tuple[Tag, ...] = ()
) -> Shortlist:
    known = {STABLE: progress} if progress else None
    return sift(texts, (STABLE,), most=most, progress=known, named=named).channels[STABLE]


@given(st.randoms(use_true_random=False), st.integers(1, 9), st.integers(1, 9))
def test_run_after_run_sees_each_once(chance: random.Random, most: int, budget: int) -> None:
    """In their order, from the top to the end, though a listing names some tags twice."""
    texts = some_tags(chance, 60)
    assert sweep(texts, most, budget) == [candidate.tag for candidate in whole(texts, STABLE)]


def test_what_changed_above_begins_anew() -> None:
    """A tag that came or went above makes a run begin at the top; one below does not."""
    texts = [f"1.0.{number}" for number in range(20)]
    first = _sift(texts, 5, None)
    progress = first.progress([candidate.tag for candidate in first.candidates])
    onward = [f"1.0.{number}" for number in range(14, 9, -1)]
    assert [c.tag.text for c in _sift(texts, 5, progress).candidates] == onward
    assert [c.tag.text for c in _sift([*texts, "0.9.0"], 5, progress).candidates] == onward
    for changed in ([*texts, "2.0.0"], texts[:-1]):
        again = _sift(changed, 5, progress)
        assert again.candidates[0] == whole(changed, STABLE)[0]
        assert again.begins_below is None


def test_what_a_hook_names_is_looked_at_above_too() -> None:
    """It may have moved; and what it is does not change where the next run begins."""
    texts = [f"1.0.{number}" for number in range(20)]
    first = _sift(texts, 5, None)
    progress = first.progress([candidate.tag for candidate in first.candidates])
    named = _sift(texts, 5, progress, named=(Tag("1.0.18"), Tag("1.0.3")))
    assert [c.tag.text for c in named.candidates][:2] == ["1.0.18", "1.0.14"]
    looked = [candidate.tag for candidate in named.candidates]
    onward = _sift(texts, 5, named.progress(looked))
    assert [c.tag.text for c in onward.candidates] == [f"1.0.{n}" for n in range(9, 4, -1)]


def test_a_run_that_looked_at_nothing_stays_where_it_was() -> None:
    """At the top, or below what the run before it saw."""
    texts = [f"1.0.{number}" for number in range(20)]
    first = _sift(texts, 5, None)
    assert first.progress([]) is None
    progress = first.progress([first.candidates[0].tag])
    assert _sift(texts, 5, progress).progress([]) == progress
