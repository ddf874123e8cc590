"""What a new record means for devices and people, as what there is to tell of it.

Of two records of one device, before and after a publish; nothing is asked and nothing changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from otaflux.events import Moved, Published, Withdrawn
from otaflux.model.artifact import Digest
from otaflux.model.names import Channel
from otaflux.model.record import Record
from otaflux.model.release import Release


def _told_on(record: Record) -> set[Release]:
    """What channels are told though its tag is gone."""
    return {standing.release for standing in record.channels.values() if standing.withdrawn}


def changes(
    before: Record | None,
    after: Record,
    *,
    channels: Iterable[Channel],
    hooks: tuple[str, ...],
    seconds: float | None,
    path: Callable[[Digest], Path],
) -> Iterator[Published | Moved | Withdrawn]:
    """What devices are told now and were not before, and what was taken from them.

    `channels` are told in that order; `seconds` is since the first of the `hooks` behind it came,
    and `path` says where a firmware file lies.
    """
    known = {standing.release for standing in before.channels.values()} if before else set()
    for channel in channels:
        was = before.current(channel) if before else None
        release = after.current(channel)
        if release is None or release == was:
            continue
        proof = after.proofs.get(release.manifest_digest)
        yield Published(release, channel, was, release not in known, seconds, hooks, proof)
        if was and was.tag == release.tag and was.manifest_digest != release.manifest_digest:
            yield Moved(release, was, hooks)
        known.add(release)
    said = {x.release for x in before.retired if x.withdrawn} if before else set()
    told_on = _told_on(before) if before else set()
    for release in _told_on(after) - told_on:
        yield Withdrawn(release, path(release.firmware.firmware_digest), hooks, told_on=True)
    said |= told_on
    for retired in after.retired:
        if retired.withdrawn and retired.release not in said:
            file = path(retired.release.firmware.firmware_digest)
            yield Withdrawn(retired.release, file, hooks)


def lapsed(before: Record | None, after: Record) -> Iterator[Release]:
    """What goes because it has no signature any more that is trusted."""
    served = frozenset(before.served()) if before else frozenset()
    for retired in after.retired:
        if retired.unsigned and retired.release in served:
            yield retired.release
