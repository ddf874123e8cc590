"""The few tags at the top of very many: which of a listing a run looks at. Pure.

Texts are ranked as they come, and only those at the top become versions, so a hundred thousand of
them take some time, which is for a thread, and next to no memory. What a run could not see to the
end goes on in a later one, below where it stopped: `Progress` says where that was, and a sum over
the tags above it, for where others are there now it begins at the top again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

import msgspec

from otaflux.model.names import Channel, Tag
from otaflux.model.version import Version, rank
from otaflux.reconcile.choice import Candidate

Order = tuple[object, ...]

_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Down to where a channel was looked through: nothing from the top to `last` can be used.

    One that `starved` was not come to in the last run, for others took all that it might look at.
    """

    last: Order
    above: int  # the sum over the tags from the top to there
    starved: bool = False


NOT_BEGUN = Progress((math.inf,), 0)


class Shortlist(msgspec.Struct, frozen=True):
    """The candidates that a channel's look begins with, highest first.

    `is_cut` says that there are lower ones; `above` is the sum over those higher ones that an
    earlier run looked through.
    """

    candidates: tuple[Candidate, ...] = ()
    is_cut: bool = False
    above: int = 0
    begins_below: Order | None = None

    def progress(self, looked_at: Collection[Tag]) -> Progress | None:
        """Where the next run begins, after one that looked at these; None for at the top."""
        last, above = self.begins_below, self.above
        for candidate in self.candidates:
            if self.begins_below is not None and candidate.order >= self.begins_below:
                continue  # a hook named it: it counts among those above
            if candidate.tag not in looked_at:
                break
            last, above = candidate.order, above + hash(candidate.tag.text) & _BITS
        return None if last is None else Progress(last, above)


class Sifted(msgspec.Struct, frozen=True):
    """What a run needs of a listing: which of the tags that it asked for are there, and the top."""

    there: frozenset[Tag]
    channels: Mapping[Channel, Shortlist]


def sift(
    texts: Iterable[str],
    channels: Iterable[Channel],
    *,
    most: int,
    besides: Collection[Tag] = (),
    asked: Collection[Tag] = (),
    named: Collection[Tag] = (),
    progress: Mapping[Channel, Progress] | None = None,
) -> Sifted:
    """The `most` highest versions of each channel below its progress, and those `named` above it.

    `besides` are tags that count as if they were listed. `named` are looked at wherever they stand,
    for a hook says that they changed. `asked` are tags of which it is worth knowing whether they
    are listed. Takes some 5 µs for each text.
    """
    lists = [_Channel(channel, most, named, (progress or {}).get(channel)) for channel in channels]
    wanted = {tag.text for tag in asked}
    there = set()
    for text in texts:
        if text in wanted:
            there.add(Tag(text))
        _offer(text, lists)
    for tag in besides:
        _offer(tag.text, lists)
    return Sifted(frozenset(there), {each.name: each.shortlist() for each in lists})


def _offer(text: str, lists: Iterable[_Channel]) -> None:
    ranked = rank(text)
    if ranked is not None:
        order = (*ranked.key, text)
        for each in lists:
            if each.name.takes(ranked):
                each.offer(text, order)


class _Top:
    """The highest of what is offered, each once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._best: dict[str, Order] = {}
        self._floor: Order | None = None
        self.is_cut = False

    def offer(self, text: str, order: Order) -> None:
        if self._floor is not None and order <= self._floor:
            return
        self._best[text] = order
        if len(self._best) > 4 * self._most:
            self._cut()

    def _cut(self) -> None:
        if len(self._best) > self._most:
            self._best = dict(heapq.nlargest(self._most, self._best.items(), key=itemgetter(1)))
            self._floor = min(self._best.values(), default=None)
            self.is_cut = True

    def texts(self) -> list[str]:
        """Highest first."""
        self._cut()
        return sorted(self._best, key=self._best.__getitem__, reverse=True)


class _Channel:
    """One channel's top, from where an earlier run stopped and from the very top."""

    def __init__(
        self, name: Channel, most: int, named: Collection[Tag], progress: Progress | None
    ) -> None:
        self.name = name
        self._progress = progress
        self._named = {tag.text for tag in named}
        self._named_above: dict[str, Order] = {}
        self._from_top = _Top(most)
        self._onward = _Top(most)
        self._seen: set[int] = set()
        self._above = 0

    def offer(self, text: str, order: Order) -> None:
        self._from_top.offer(text, order)
        if self._progress is None:
            return
        if order < self._progress.last:
            self._onward.offer(text, order)
            return
        if text in self._named:
            self._named_above[text] = order
        number = hash(text)
        if number not in self._seen:  # some registries list a tag twice
            self._seen.add(number)
            self._above = self._above + number & _BITS

    def shortlist(self) -> Shortlist:
        if self._progress is None or self._above != self._progress.above:
            texts = self._from_top.texts()
            return Shortlist(_candidates(texts), self._from_top.is_cut)
        onward = self._onward.texts()
        named = sorted(self._named_above, key=self._named_above.__getitem__, reverse=True)
        return Shortlist(
            _candidates([*named, *onward]),
            self._onward.is_cut,
            self._above,
            self._progress.last,
        )


def _candidates(texts: Iterable[str]) -> tuple[Candidate, ...]:
    return tuple(Candidate(Tag(text), Version.parse(text)) for text in texts)
