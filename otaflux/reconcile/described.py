"""What firmware files on disk are by their bytes, where nobody looked yet. Blocks; for a thread.

A bundle of RAUC can only be told from another squashfs by its end, so its file is looked into once
it is whole. Records that OtaFlux wrote before it looked at all say nothing: their files are looked
into after a start, in the background.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from otaflux.errors import DiskFailed
from otaflux.files import durable
from otaflux.model.record import Record
from otaflux.model.release import Firmware, Release
from otaflux.state.store import Store
from otaflux.unpack.images import image_in


def described(store: Store, firmware: Firmware) -> Firmware:
    """The firmware, with what its file in the store is. Raises `DiskFailed`."""
    digest = firmware.firmware_digest
    with durable.explained(f"read {digest}"):
        image = image_in(partial(store.read, digest), firmware.sums.size)
    return replace(firmware, image=image)


def is_described(record: Record) -> bool:
    """Whether a record says of each of its releases what it is."""
    return all(release.firmware.image is not None for release in record.held())


def described_record(store: Store, record: Record) -> Record:
    """The record, with what its firmware is where it does not say; as far as that can be read."""
    if is_described(record):
        return record

    def looked_into(release: Release) -> Release:
        if release.firmware.image is None:
            with suppress(DiskFailed):
                return replace(release, firmware=described(store, release.firmware))
        return release

    return with_each(record, looked_into)


def with_each(record: Record, change: Callable[[Release], Release]) -> Record:
    """The record with each of its releases changed."""
    standings = {
        channel: replace(standing, release=change(standing.release))
        for channel, standing in record.channels.items()
    }
    return replace(
        record,
        channels=MappingProxyType(standings),
        kept=tuple(map(change, record.kept)),
        retired=tuple(replace(each, release=change(each.release)) for each in record.retired),
    )
