"""Below what a channel does not fall, where `DOWNGRADES=never` is set. Pure.

A floor is the highest tag that a channel was told: by version, then build identifiers, then the
tag's text, as releases are ordered. It is written with the record before anybody is told, and
outlives the release: where the file is lost, or the signature holds no more, nothing lower is told
either. A tag that moves to other bytes is neither higher nor lower, and is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from otaflux.model.names import Channel, Tag
from otaflux.model.record import Record, order_of

NONE: Mapping[Channel, Tag] = MappingProxyType({})


def raised(record: Record) -> Record:
    """The record with floors that are at least what each channel is told."""
    floors = dict(record.floors)
    for channel, standing in record.channels.items():
        tag = floors.get(channel)
        if tag is None or order_of(tag) < standing.release.order:
            floors[channel] = standing.release.tag
    return record if floors == record.floors else replace(record, floors=MappingProxyType(floors))


def lifted(record: Record) -> Record:
    """The record without floors: its channels may fall."""
    return replace(record, floors=NONE) if record.floors else record


def kept_to(record: Record, *, never_fall: bool) -> Record:
    """The record with the floors that the settings ask for."""
    return raised(record) if never_fall else lifted(record)
