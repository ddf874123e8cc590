"""One run of one device: what its source says becomes what its record says.

`bring_up_to_date` reads top to bottom. List the tags; see which of the served ones are missing; for
each channel, stable first, look at candidates from the highest down until one stands, and publish;
then see to kept releases. A channel changes once, when it is settled. One of which not enough is
learnt stays as it is and holds up no other; a registry that is away as a whole, a listing that
errs and a record that cannot be written end the run wherever it is.

A run looks at so many tags and no more. Where more have to be looked at it leaves the channel as it
is, and `progress` says where the next run goes on; of a device that only polls found it looks at
the few at the top, and that is that.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import assert_never

from otaflux.errors import Undecided, Unreachable
from otaflux.model.artifact import Digest, Gone, Listing
from otaflux.model.event import Priority, Touch
from otaflux.model.look import Unfit, Usable
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate, LookAt, Nothing, Stands
from otaflux.reconcile.looks import Looks
from otaflux.reconcile.means import Means
from otaflux.reconcile.publication import Publication, served_tags
from otaflux.reconcile.shortlist import Progress, Shortlist, Sifted, sift

MANY_TAGS = 1000  # sorting out more would keep polls waiting
MOST_LOOKS_FOUND = 3  # tags of a device that only polls found, of all its channels together


class Run:
    """What one run has learnt so far, and what it does next.

    `progress` is how far down runs before it looked channels through that are not settled yet, and
    how far this one did.
    """

    def __init__(
        self, touch: Touch, record: Record, means: Means, progress: Mapping[Channel, Progress]
    ) -> None:
        self.touch = touch
        self._means = means
        self._claims = means.store.claims()
        self.looks = Looks(touch, means.puller, self._claims, means.events, means.judged)
        self._out = Publication(touch, record, means, self.looks)
        self._channels = (STABLE, *means.policy.channels)
        self._listed: frozenset[Tag] = frozenset()  # of the tags that are served
        self._is_cache = False  # what is missing may be there all the same
        self._there: frozenset[Tag] = frozenset()  # of those that the record names
        self._shortlists: Mapping[Channel, Shortlist] = {}
        self._looks_left = MOST_LOOKS_FOUND if record.found_by_poll else means.policy.most_looks
        self.progress = dict(progress)
        self.is_cut_short = False  # somewhere there is more to look at than it may
        self.is_there = True  # the source knows of the device, and of a tag at least
        self._settled: set[str] = set()
        self.unsettled: Tag | None = None  # the first that kept a channel from being settled

    @property
    def device(self) -> Device:
        """Whose run it is."""
        return self.touch.device

    @property
    def record(self) -> Record:
        """What the device has by now."""
        return self._out.record

    @property
    def gone(self) -> frozenset[Tag]:
        """The tags that are known to be gone."""
        return self._out.gone

    @property
    def unnamed(self) -> frozenset[Digest]:
        """Files that this run wrote, or that its records name no longer: maybe nobody's."""
        return self._out.dropped | self._claims.created

    async def bring_up_to_date(self) -> None:
        """Learn and publish; raises `Undecided` where the run cannot go on. See `unsettled`."""
        await self._list()
        with self._claims:
            await self._see_what_is_missing()
            # Who was cut short before comes last: all channels get their turn.
            for channel in sorted(self._channels, key=self.progress.__contains__):
                await self._settle(channel)
            await self._see_to_kept()
            await self._out.publish(self._out.record)

    async def _list(self) -> None:
        """The tags there are, sorted out: what could be current, highest first."""
        source = self._means.source
        listing = await source.tags(self.device)
        if not (listing.repository_known or source.is_authoritative) and self._out.record.channels:
            # This look found something else than that tags are missing: begin anew.
            self._means.withdrawals.only(self.device, ())
            raise Undecided(
                f"the registry does not know the repository of {self.device} any more",
                hint=f"If it is gone for good: stop the server, `otaflux forget {self.device}`",
            )
        self.is_there = len(listing.tags) > 0
        self._is_cache = listing.is_cache
        served = served_tags(self._out.record)
        sifted = await self._sifted(listing, served)
        self._there, self._shortlists = sifted.there, sifted.channels
        self._listed = sifted.there & served

    async def _sifted(self, listing: Listing, served: AbstractSet[Tag]) -> Sifted:
        """What a listing comes to: in a thread, and one at a time, where it is large."""
        sifting = partial(
            sift,
            listing.texts(),
            self._channels,
            most=self._looks_left,
            besides=(*self.touch.tags, *served),
            asked={*served, *(verdict.tag for verdict in self._out.record.verdicts)},
            named=self.touch.tags,
            progress=self.progress,
        )
        if len(listing.tags) <= MANY_TAGS:
            return sifting()
        async with self._means.one_large:
            sifted: Sifted = await self._means.machine.in_thread(sifting)
            return sifted

    async def _see_what_is_missing(self) -> None:
        """Look at served tags that the listing lacks; two looks make a withdrawal."""
        for tag in self._listed:
            self._means.withdrawals.is_there(self.device, tag)
        for release in self._out.record.served():
            if release.tag not in self._listed:
                await self._see_to(release)
        self._out.gone = self._means.withdrawals.gone(self.device)

    async def _see_to(self, release: Release) -> None:
        """Whether a release's tag is still there, and what it stands for.

        What is not learnt about it changes nothing for it, and holds up no other tag.
        """
        try:
            resolved = await self.looks.resolve(release.tag, self._out.record)
        except Unreachable:
            raise  # of every other tag nothing would be learnt either
        except Undecided:
            self.looks.tell_unclear(release.tag)
            return
        if isinstance(resolved, Gone):
            self.looks.note_gone(release.tag, resolved)
            if release.tag not in self._listed:  # else listing and manifest disagree
                by_word, is_cache = self.touch.deletion, self._is_cache
                self._means.withdrawals.is_missing(
                    self.device, release.tag, by_word=by_word, is_cache=is_cache
                )
            return
        self._means.withdrawals.is_there(self.device, release.tag)

    async def _settle(self, channel: Channel) -> None:
        """Look from the top until the channel has its release, and publish that."""
        shortlist = self._shortlists[channel]
        while True:
            told = self._out.record.current(channel)
            step = choice.settle(shortlist.candidates, self.looks.found, told, self._out.gone)
            match step:
                case LookAt(candidate):
                    if not self._looks_left:
                        await self._cut_short(channel, shortlist)
                        return
                    self._looks_left -= 1
                    if not await self._learns_of(candidate):
                        return
                case Stands(release):
                    await self._stand(channel, release)
                    return
                case Nothing():
                    if shortlist.is_cut:
                        await self._cut_short(channel, shortlist)
                    else:
                        await self._stand(channel, None)
                    return
                case _:
                    assert_never(step)

    async def _cut_short(self, channel: Channel, shortlist: Shortlist) -> None:
        """Leave a channel of which there is more to look at than this run may."""
        told = self._out.record.current(channel)
        if self._out.record.found_by_poll:  # then no run looks further down
            is_gone = told is None or told.tag in self._out.gone
            await self._stand(channel, None if is_gone else told)
            return
        self.is_cut_short = True
        seen = {*self.looks.found, *self._out.gone}
        progress = shortlist.progress(seen)
        if progress is not None:
            self.progress[channel] = progress

    async def _learns_of(self, candidate: Candidate) -> bool:
        """Look at a candidate and take in what it is; False where that is not learnt now."""
        try:
            look = await self.looks.look(candidate, self._out.record)
        except Unreachable:
            raise  # of every other tag nothing would be learnt either
        except Undecided:
            self.unsettled = self.unsettled or candidate.tag
            if self.unsettled != candidate.tag:
                self.looks.tell_unclear(candidate.tag)  # of the first the run's end tells
            return False
        match look:
            case Usable(release):
                self._out.record = choice.acquit(self._out.record, candidate.tag)
                self.looks.found[candidate.tag] = Usable(self._warned(release))
            case Unfit():
                is_news = self.looks.is_news(look, self._out.record)
                verdict = self.looks.verdict(candidate, look)
                self._out.record = choice.judge(self._out.record, verdict, self._there)
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

    async def _see_to_kept(self) -> None:
        """Look at kept releases whose tags may have moved, and at those that would be kept again.

        A hook says which moved; for what nobody said each re-check looks at one, at random.
        """
        kept = self._out.record.kept
        doubtful = set(self.touch.tags)
        if kept and self.touch.priority is Priority.RECHECK:
            doubtful.add(self._means.machine.chance.choice(kept).tag)
        for release in kept:
            if release.tag in doubtful and release.tag not in self.looks.found:
                await self._see_to(release)
        seen: set[Release] = set()
        while again := {*self._out.sorted_out(self._out.record, seen).kept} - {*kept, *seen}:
            for release in again:
                seen.add(release)
                await self._see_to(release)

    async def _stand(self, channel: Channel, release: Release | None) -> None:
        """Have a channel told that release, or nothing; with the last all are settled."""
        self.progress.pop(channel, None)
        self._settled.add(channel)
        record = choice.stand(self._out.record, channel, release, self._means.machine.now())
        if self._settled.issuperset(self._channels):
            record = replace(record, ever_synced=True)
        await self._out.publish(record)
