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

from otaflux.model.artifact import Digest
from otaflux.model.event import Touch
from otaflux.model.names import Channel, Device, Tag
from otaflux.model.record import Record
from otaflux.reconcile.absences import Absences
from otaflux.reconcile.listed import list_tags
from otaflux.reconcile.looks import Looks
from otaflux.reconcile.means import Means
from otaflux.reconcile.publication import Publication
from otaflux.reconcile.settling import Settling
from otaflux.reconcile.shortlist import Progress

MOST_LOOKS_FOUND = 3  # tags of a device that only polls found, of all its channels together


class Run:
    """What one run has learnt so far, and what it does next.

    `progress` is how far down runs before it looked channels through that are not settled yet. With
    `anew` signatures are asked for that were found before.
    """

    def __init__(
        self,
        touch: Touch,
        record: Record,
        means: Means,
        progress: Mapping[Channel, Progress],
        *,
        anew: bool,
    ) -> None:
        self.touch = touch
        self._means = means
        self._claims = means.store.claims()
        self._most = MOST_LOOKS_FOUND if record.found_by_poll else means.policy.most_looks
        self.looks = Looks(touch, means.puller, self._claims, means.events, means.judged, anew=anew)
        self._out = Publication(touch, record, means, self.looks)
        self.settling = Settling(means, self.looks, self._out, progress, most=self._most)
        self.is_there = True  # the source knows of the device, and of a tag at least

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
        """Learn and publish; raises `Undecided` where the run cannot go on.

        What keeps a single channel from being settled is in `settling`.
        """
        means, progress = self._means, self.settling.progress
        listed = await list_tags(self.touch, self.record, means, progress, most=self._most)
        self.is_there = listed.is_there
        absences = Absences(self.touch, listed, means, self.looks, self._out)
        with self._claims:
            await absences.see_what_is_missing()
            await self.settling.settle(listed)
            await absences.see_to_kept()
            await self._out.publish(self.record)
            await self._out.complete_sums()
