"""Releases and records for tests of what holds them, with their files where a store is given."""

from __future__ import annotations

import hashlib
import zlib
from types import MappingProxyType
from typing import Any

from otaflux.model.artifact import Digest
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record, Standing
from otaflux.model.release import Chip, Firmware, Release, Sums
from otaflux.model.version import Version
from otaflux.state.store import Store

SOURCE = "https://registry.example"


def firmware(content: bytes, chip: Chip | None = None) -> Firmware:
    """The sums over some bytes."""
    digests = [hashlib.new(name, content).hexdigest() for name in ("md5", "sha1", "sha256")]
    return Firmware(Sums(len(content), zlib.crc32(content), *digests), chip)


def release(tag: str, content: bytes, device: str = "lamp", chip: Chip | None = None) -> Release:
    """A release of these bytes."""
    digest = Digest("sha256", hashlib.sha256(tag.encode() + content).hexdigest())
    sums = firmware(content, chip)
    return Release(Device(device), Tag(tag), Version.parse(tag), digest, sums.firmware_digest, sums)


def record(current: Release, **more: Any) -> Record:
    """A record that tells one release on the stable channel."""
    channels = MappingProxyType({STABLE: Standing(current, 1_790_000_000.5)})
    return Record(current.device, SOURCE, "firmware", channels, ever_synced=True, **more)


def stored(store: Store, content: bytes) -> Firmware:
    """Put bytes into a store that was prepared."""
    made = firmware(content)
    with store.claims() as claims, store.draft(len(content)) as new:
        new.write(content)
        claims.keep(new, made)
    return made
