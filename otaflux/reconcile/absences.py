"""Which tags of what is served are missing, and whether kept releases still are what they were.

On one event loop.
"""

from __future__ import annotations

from otaflux.errors import Undecided, Unreachable
from otaflux.model.artifact import Gone
from otaflux.model.event import Priority, Touch
from otaflux.model.look import HeldBack
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.listed import ListedTags
from otaflux.reconcile.looks import Looks
from otaflux.reconcile.means import Means
from otaflux.reconcile.publication import Publication


class Absences:
    """Looks of one run at tags that its listing lacks, or that may have moved."""

    def __init__(
        self, touch: Touch, listed: ListedTags, means: Means, looks: Looks, out: Publication
    ) -> None:
        self._touch = touch
        self._listed = listed
        self._means = means
        self._looks = looks
        self._out = out

    async def see_what_is_missing(self) -> None:
        """Look at served tags that the listing lacks; two looks make a withdrawal."""
        withdrawals, device = self._means.withdrawals, self._touch.device
        for tag in self._listed.served:
            withdrawals.is_there(device, tag)
        for release in self._out.record.served():
            if release.tag not in self._listed.served:
                await self._see_to(release)
        self._out.gone = withdrawals.gone(device)

    async def see_to_kept(self) -> None:
        """Look at kept releases whose tags may have moved, and at those that would be kept again.

        A hook says which moved; for what nobody said each re-check looks at one, at random. Where
        signatures are asked for anew, those of all that is served are.
        """
        if self._looks.anew:
            for release in tuple(self._out.record.served()):
                await self._prove(release)
        kept = self._out.record.kept
        doubtful = set(self._touch.tags)
        if kept and self._touch.priority is Priority.RECHECK:
            doubtful.add(self._means.machine.chance.choice(kept).tag)
        for release in kept:
            if release.tag in doubtful and release.tag not in self._looks.found:
                await self._see_to(release)
        seen: set[Release] = set()
        while again := {*self._out.sorted_out(self._out.record, seen).kept} - {*kept, *seen}:
            for release in again:
                seen.add(release)
                await self._see_to(release)

    async def _prove(self, release: Release) -> None:
        """Whether a release is signed still that no channel's look asked about.

        What is told on though its tag is missing is not asked about: its signature goes with it.
        """
        told_on = {x.release for x in self._out.record.channels.values() if x.withdrawn}
        if release.tag in self._out.gone or release in told_on:
            return
        look, digest = self._looks.found.get(release.tag), release.manifest_digest
        if isinstance(look, Gone | HeldBack):
            return
        if look is None or self._looks.digests.get(release.tag) != digest:
            proof = await self._looks.prove(release, self._out.record)
            if proof is not None:
                self._out.record = choice.with_proof(self._out.record, digest, proof)

    async def _see_to(self, release: Release) -> None:
        """Whether a release's tag is still there, and what it stands for.

        What is not learnt about it changes nothing for it, and holds up no other tag.
        """
        withdrawals, device, tag = self._means.withdrawals, self._touch.device, release.tag
        try:
            resolved = await self._looks.resolve(tag, self._out.record)
        except Unreachable:
            raise  # of every other tag nothing would be learnt either
        except Undecided:
            self._looks.tell_unclear(tag)
            return
        if not isinstance(resolved, Gone):
            withdrawals.is_there(device, tag)
            return
        self._looks.note_gone(tag, resolved)
        if tag not in self._listed.served:  # else listing and manifest disagree
            by_word, is_cache = self._touch.deletion, self._listed.is_cache
            withdrawals.is_missing(device, tag, by_word=by_word, is_cache=is_cache)
