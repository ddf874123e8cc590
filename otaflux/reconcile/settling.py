"""What the channels of one run are told: look from the top until one release stands, and publish.

Each channel changes once, when it is settled. One of which not enough is learnt stays as it is and
holds up no other. On one event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from otaflux.errors import Undecided, Unreachable
from otaflux.model.artifact import Gone
from otaflux.model.look import Unfit, Usable
from otaflux.model.names import STABLE, Channel, Tag
from otaflux.model.record import Standing
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate, LookAt, Nothing, Stands
from otaflux.reconcile.listed import ListedTags
from otaflux.reconcile.looks import Looks
from otaflux.reconcile.means import Means
from otaflux.reconcile.publication import Publication
from otaflux.reconcile.shortlist import NOT_BEGUN, Progress, Shortlist


class Settling:
    """The channels of one run, and what it still may look at: `most` tags.

    `progress` is how far down runs before it looked channels through that are not settled yet, and
    how far this one did; `is_cut_short` says that somewhere there is more to look at than it may,
    and `unsettled` is the first tag that kept a channel from being settled.
    """

    def __init__(
        self,
        means: Means,
        looks: Looks,
        out: Publication,
        progress: Mapping[Channel, Progress],
        *,
        most: int,
    ) -> None:
        self._means = means
        self._looks = looks
        self._out = out
        self._left = most
        self._channels = (STABLE, *means.policy.channels)
        self._settled: set[Channel] = set()
        self.progress = dict(progress)
        self.is_cut_short = False
        self.unsettled: Tag | None = None

    async def settle(self, listed: ListedTags) -> None:
        """Settle each channel, stable first; who was cut short before comes last.

        But who was not come to at all comes first, or others would be in its way each time.
        """
        for channel in sorted(self._channels, key=self._turn):
            await self._settle(channel, listed)

    def _turn(self, channel: Channel) -> int:
        progress = self.progress.get(channel)
        if progress is None:
            return 1
        return 0 if progress.starved else 2

    async def _settle(self, channel: Channel, listed: ListedTags) -> None:
        left = self._left
        shortlist = listed.shortlists[channel]
        able = choice.above(shortlist.candidates, self._out.record.floor(channel))
        goes_on = shortlist.is_cut and len(able) == len(shortlist.candidates)
        while True:
            told = self._out.record.current(channel)
            step = choice.settle(able, self._looks.found, told, self._out.gone)
            match step:
                case LookAt(candidate):
                    if not self._left:
                        await self._cut_short(channel, shortlist, starved=self._left == left)
                        return
                    self._left -= 1
                    if not await self._learns_of(candidate, listed):
                        return
                case Stands(release):
                    await self._stand(channel, release)
                    return
                case Nothing():
                    if goes_on:
                        await self._cut_short(channel, shortlist)
                    else:
                        await self._stand(channel, None)
                    return
                case _:
                    assert_never(step)

    async def _cut_short(
        self, channel: Channel, shortlist: Shortlist, *, starved: bool = False
    ) -> None:
        """Leave a channel of which there is more to look at than this run may."""
        told = self._out.record.current(channel)
        if self._out.record.found_by_poll:  # then no run looks further down
            is_gone = told is None or self._looks.is_lapsed(told) or told.tag in self._out.gone
            await self._stand(channel, None if is_gone else told)
            return
        self.is_cut_short = True
        seen = {*self._looks.found, *self._out.gone}
        progress = shortlist.progress(seen)
        if progress is not None or starved:
            self.progress[channel] = replace(progress or NOT_BEGUN, starved=starved)

    async def _learns_of(self, candidate: Candidate, listed: ListedTags) -> bool:
        """Look at a candidate and take in what it is; False where that is not learnt now."""
        try:
            look = await self._looks.look(candidate, self._out.record)
        except Unreachable:
            raise  # of every other tag nothing would be learnt either
        except Undecided:
            self.unsettled = self.unsettled or candidate.tag
            if self.unsettled != candidate.tag:
                self._looks.tell_unclear(candidate.tag)  # of the first the run's end tells
            return False
        match look:
            case Usable(release, proof):
                record = choice.acquit(self._out.record, candidate.tag)
                self._out.record = choice.with_proof(record, release.manifest_digest, proof)
                self._looks.found[candidate.tag] = Usable(self._warned(release), proof)
            case Unfit():
                is_news = self._looks.is_news(look, self._out.record)
                verdict = self._looks.verdict(candidate, look)
                self._out.record = choice.judge(self._out.record, verdict, listed.there)
                if is_news:  # it cost a pull: not once more, should this run or the program end
                    await self._out.publish(self._out.record)
            case _:
                pass  # it is looked at again, so nothing is remembered
        return True

    def _warned(self, release: Release) -> Release:
        """The release, with a warning where its tag had other bytes that boards may run."""
        warnings = tuple(
            f"the tag moved from {held.manifest_digest}: boards that run {release.version} already"
            " will not notice"
            for held in self._out.record.served()
            if held.tag == release.tag and held.manifest_digest != release.manifest_digest
        )
        return replace(release, warnings=tuple(dict.fromkeys((*release.warnings, *warnings))))

    def _is_withdrawn(self, before: Standing | None, release: Release | None) -> bool:
        """Whether a channel is told on what its source has no more, or had no more before."""
        if before is None or release is None or before.release.tag != release.tag:
            return False
        if release.tag in self._out.gone:
            return True
        return before.withdrawn and isinstance(self._looks.found.get(release.tag), Gone)

    async def _stand(self, channel: Channel, release: Release | None) -> None:
        """Have a channel told that release, or nothing; with the last all are settled."""
        self.progress.pop(channel, None)
        self._settled.add(channel)
        before = self._out.record.standing(channel)
        if release is None and before is not None and self._means.policy.never_fall:
            release = before.release  # told on, from its file
        record = choice.stand(
            self._out.record,
            channel,
            release,
            self._means.machine.now(),
            withdrawn=self._is_withdrawn(before, release),
        )
        if self._settled.issuperset(self._channels):
            record = replace(record, ever_synced=True)
        await self._out.publish(record)
