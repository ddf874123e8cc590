"""What a source lists of a device, sorted out: what could be current, and which tags are there.

On one event loop; a large listing is sorted out in a thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial

import msgspec

from otaflux.errors import Undecided
from otaflux.model.artifact import Listing
from otaflux.model.event import Touch
from otaflux.model.names import STABLE, Channel, Tag
from otaflux.model.record import Record
from otaflux.reconcile.means import Means
from otaflux.reconcile.publication import served_tags
from otaflux.reconcile.shortlist import Progress, Shortlist, Sifted, sift

MANY_TAGS = 1000  # sorting out more would keep polls waiting


class ListedTags(msgspec.Struct, frozen=True):
    """A listing, as one run needs it.

    `served` are the tags of it that are served, `there` those of it that the record names;
    `is_there` says that the source knows of a tag at least, and `is_cache` that what is missing may
    be there all the same.
    """

    shortlists: Mapping[Channel, Shortlist]
    there: frozenset[Tag]
    served: frozenset[Tag]
    is_there: bool
    is_cache: bool


async def list_tags(
    touch: Touch,
    record: Record,
    means: Means,
    progress: Mapping[Channel, Progress],
    *,
    most: int,
) -> ListedTags:
    """The tags there are, highest first; `most` are looked at, from where `progress` says.

    Raises `Undecided` where the source cannot be asked, or knows nothing of a device any more that
    it had.
    """
    listing = await means.source.tags(touch.device)
    if not (listing.repository_known or means.source.is_authoritative) and record.channels:
        # This look found something else than that tags are missing: begin anew.
        means.withdrawals.only(touch.device, ())
        raise Undecided(
            f"the registry does not know the repository of {touch.device} any more",
            hint=f"If it is gone for good: stop the server, `otaflux forget {touch.device}`",
        )
    served = served_tags(record)
    sifted = await _sifted(touch, record, means, progress, listing, served, most)
    return ListedTags(
        sifted.channels,
        sifted.there,
        sifted.there & served,
        is_there=len(listing.tags) > 0,
        is_cache=listing.is_cache,
    )


async def _sifted(
    touch: Touch,
    record: Record,
    means: Means,
    progress: Mapping[Channel, Progress],
    listing: Listing,
    served: AbstractSet[Tag],
    most: int,
) -> Sifted:
    sifting = partial(
        sift,
        listing.texts(),
        (STABLE, *means.policy.channels),
        most=most,
        besides=(*touch.tags, *served),
        asked={*served, *(verdict.tag for verdict in record.verdicts)},
        named=touch.tags,
        progress=progress,
    )
    if len(listing.tags) <= MANY_TAGS:
        return sifting()
    async with means.one_large:
        sifted: Sifted = await means.machine.in_thread(sifting)
        return sifted
