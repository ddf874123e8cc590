"""At a run's end: the sums that its releases still lack, computed and written into its record.

They were told without them (`state/checksums.py` says why). What a crash, or a disk that cannot,
leaves undone, the next run does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from otaflux.errors import DiskFailed, Undecided
from otaflux.model.record import Record
from otaflux.model.release import Firmware, Release, Sums
from otaflux.reconcile.described import with_each
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums


def lacks_sums(record: Record) -> bool:
    """Whether a sum of any of its releases is missing."""
    return not all(release.firmware.sums.is_complete for release in record.held())


async def with_sums(record: Record, checksums: Checksums) -> Record:
    """The record with the sums that it lacks, of those files that can be read."""
    complete: dict[Firmware, Sums] = {}
    for release in record.held():
        if not release.firmware.sums.is_complete:
            with suppress(DiskFailed):
                firmware = release.firmware
                complete[firmware] = (await checksums.complete(firmware)).sums

    def summed(release: Release) -> Release:
        sums = complete.get(release.firmware)
        if sums is None:
            return release
        return replace(release, firmware=replace(release.firmware, sums=sums))

    return with_each(record, summed)


async def write_sums(record: Record, catalog: Catalog, checksums: Checksums) -> Record:
    """Complete the record that the catalog took last of a device; returns it as it is then.

    Only who may write that device's record may call it.
    """
    told = catalog.get(record.device)
    if told is None or not lacks_sums(record):
        return record
    summed = await with_sums(record, checksums)
    if catalog.get(record.device) is not told:  # a file was found to be spoilt, or a key went
        return record
    catalog.amend(summed)  # it is told even where it cannot be written
    with suppress(Undecided):
        await catalog.put(summed)
    return summed
