"""How a record stands in its file, as msgspec reads and writes it; see `recordfile.py`.

Each field is as it is written: a digest is a text here, and a release does not name its device. A
field with a default came later, and may be missing. Pure.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from otaflux.model.image import ImageKind


class WrittenImage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a firmware is by its bytes; see `model/image.py`."""

    kind: ImageKind
    version: str = ""
    zigbee: tuple[int, int, int, str, int | None, int | None] | None = None


class WrittenRelease(msgspec.Struct, forbid_unknown_fields=True):
    """A release of the record's device."""

    tag: str
    manifest_digest: str
    blob_digest: str
    size: int
    crc32: int
    md5: str | None
    sha1: str | None
    sha256: str
    chip: tuple[str, str, str] | None = None
    summary: str = ""
    page: str = ""
    warnings: tuple[str, ...] = ()
    image: WrittenImage | None = None


class WrittenStanding(msgspec.Struct, forbid_unknown_fields=True):
    """What a channel is told."""

    release: WrittenRelease
    since: float
    replaced_another: bool
    withdrawn: bool = False


class WrittenLeaving(msgspec.Struct, forbid_unknown_fields=True):
    """A release that is neither current nor kept any more."""

    release: WrittenRelease
    at: float
    withdrawn: bool
    moved: bool = False
    unsigned: bool = False


class WrittenVerdict(msgspec.Struct, forbid_unknown_fields=True):
    """Why the bytes of a manifest cannot be served."""

    tag: str
    manifest_digest: str
    reason: str
    judged_by: str


class WrittenCertificate(msgspec.Struct, forbid_unknown_fields=True):
    """An identity that signed, and its issuer."""

    identity: str
    issuer: str


class WrittenProof(msgspec.Struct, forbid_unknown_fields=True):
    """Who signed a manifest."""

    manifest_digest: str
    keys: tuple[str, ...]
    certificates: tuple[WrittenCertificate, ...]
    identities: str
    bound: bool


class WrittenRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One device."""

    device: str
    source: str
    prefix: str
    channels: dict[str, WrittenStanding]
    kept: tuple[WrittenRelease, ...]
    leaving: tuple[WrittenLeaving, ...]
    verdicts: tuple[WrittenVerdict, ...]
    looked: bool
    found_by_poll: bool
    had_release: bool | None = None
    floors: dict[str, str] = {}
    proofs: tuple[WrittenProof, ...] = ()


class WrittenFile(msgspec.Struct, forbid_unknown_fields=True):
    """A whole file: the record's bytes as they stand there, and their checksum."""

    format: Literal[1]
    checksum: str
    record: msgspec.Raw
