"""The record of one run as it comes to be: put into the catalog where it changed, and told.

What was put stands, whatever becomes of the rest of the run. On one event loop.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from otaflux.events import SignatureLapsed
from otaflux.model import floors
from otaflux.model.artifact import Digest
from otaflux.model.event import Touch
from otaflux.model.names import STABLE, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.changes import changes, lapsed
from otaflux.reconcile.looks import Looks
from otaflux.reconcile.means import Means
from otaflux.reconcile.summing import write_sums
from otaflux.reconcile.trusting import NOT_NOW


class Publication:
    """What one run makes of a device's record.

    `gone` are the tags that are known to be gone, `dropped` the files that records name no longer.
    """

    def __init__(self, touch: Touch, record: Record, means: Means, looks: Looks) -> None:
        self.record = record
        self.gone: frozenset[Tag] = frozenset()
        self.dropped: frozenset[Digest] = frozenset()
        self._touch = touch
        self._means = means
        self._looks = looks
        self._channels = (STABLE, *means.policy.channels)
        self._left = frozenset(left.release for left in record.retired)  # before this run

    async def publish(self, record: Record) -> None:
        """Put a record with its kept releases sorted out; tell what changed for devices."""
        means = self._means
        before = means.catalog.get(self._touch.device)
        record = choice.without_lapsed(record, self._looks.lapsed, means.machine.now())
        record = floors.kept_to(record, never_fall=means.policy.never_fall)
        after = self.record = self.sorted_out(record, self._left)
        if before is None and after.found_by_poll and not self._looks.are_of_something:
            return
        if after.channels and not after.had_release:
            after = self.record = replace(after, had_release=True)
        for release in lapsed(before, after):
            reason = self._looks.lapsed.get((release.tag, release.manifest_digest), NOT_NOW)
            means.events.tell(SignatureLapsed(release, reason, self._touch.hooks))
        self.dropped |= await means.catalog.put(after)
        # What is told is what the catalog took: who may sign may have changed meanwhile.
        self._tell(before, means.catalog.get(self._touch.device) or after)

    async def complete_sums(self) -> None:
        """Write the sums that were not waited for; everything is told by now."""
        means = self._means
        self.record = await write_sums(self.record, means.catalog, means.checksums)

    def sorted_out(self, record: Record, left: AbstractSet[Release]) -> Record:
        """The record with what is kept, and what left, by all that was learnt so far.

        Of the releases that `left` before none is kept again whose tag was not asked about.
        """
        means, digests = self._means, self._looks.digests
        same = {x: digests[x.tag] == x.manifest_digest for x in record.held() if x.tag in digests}
        kept = choice.keep(
            record,
            most=means.policy.keep_versions,
            gone=self.gone,
            moved={release for release, stands in same.items() if not stands},
            unsure={release for release in left if release not in same},
            now=means.machine.now(),
            lingering=means.catalog.lingering(record.device),
            lapsed=self._looks.lapsed,
        )
        return choice.only_held(kept)

    def _tell(self, before: Record | None, after: Record) -> None:
        means, since = self._means, self._touch.first_hook_at
        for change in changes(
            before,
            after,
            channels=self._channels,
            hooks=self._touch.hooks,
            seconds=None if since is None else means.machine.clock() - since,
            path=means.store.path,
        ):
            means.events.tell(change)


def served_tags(record: Record) -> set[Tag]:
    """The tags of all that a pin may name."""
    return {release.tag for release in record.served()}
