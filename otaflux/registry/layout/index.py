"""`index.json` of a layout: pure, from bytes to tags and entries, and back with one tag more.

A tag is an entry's annotation `org.opencontainers.image.ref.name`. skopeo, umoci and oras write the
bare tag there; containerd may write a whole reference, whose part after the last `:` is the tag
then. Names that are no tags are ignored. Where several entries have the same name, the first whose
media type is a manifest's or an index's counts, which is the one that skopeo takes (oras takes the
last, umoci refuses).

What OtaFlux does not know is kept: entries and fields are cut out and put back as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from otaflux.errors import BadName, Undecided
from otaflux.model.artifact import OCI_INDEX, Digest
from otaflux.model.names import Tag
from otaflux.registry.manifest import INDEX_TYPES, MANIFEST_TYPES, bare_type
from otaflux.wording import quoted

REF_NAME = "org.opencontainers.image.ref.name"
MAX_INDEX = 16 * 1024 * 1024  # bytes; some fifty thousand tags

_SCHEMA = 2  # of every index since OCI 1.0
_ARTIFACTS = MANIFEST_TYPES | INDEX_TYPES


class _Head(msgspec.Struct):
    schema_version: int = msgspec.field(name="schemaVersion")
    manifests: list[msgspec.Raw] | None
    media_type: str = msgspec.field(name="mediaType", default=OCI_INDEX)


class _Entry(msgspec.Struct):
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    media_type: str = msgspec.field(name="mediaType", default="")
    annotations: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One manifest that the layout names, as `raw` has it.

    `digest` is None where it is one that OtaFlux cannot check; `digest_text` is what stands there.
    """

    raw: bytes
    tag: Tag | None
    exact: bool
    media_type: str
    digest: Digest | None
    digest_text: str
    size: int

    @property
    def is_artifact(self) -> bool:
        """Whether its media type is one of those that OtaFlux reads."""
        return self.media_type in _ARTIFACTS


@dataclass(frozen=True, slots=True)
class LayoutIndex:
    """What a layout holds: its entries in their order, and the index's other fields."""

    entries: tuple[IndexEntry, ...] = ()
    fields: Mapping[str, msgspec.Raw] | None = None

    @classmethod
    def parse(cls, body: bytes) -> LayoutIndex:
        """Read an index; raises `Undecided` for anything that is none, or only half of one."""
        if len(body) > MAX_INDEX:
            raise Undecided(f"it is larger than {MAX_INDEX} bytes")
        try:
            body.decode()  # what msgspec passes over, it does not look at
            head = msgspec.json.decode(body, type=_Head)
            fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            entries = tuple(_entry(bytes(raw)) for raw in head.manifests or ())
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Undecided(f"it does not parse: {error}") from None
        if head.schema_version != _SCHEMA or bare_type(head.media_type) != OCI_INDEX:
            raise Undecided("it is no OCI image index")
        return cls(entries, fields)

    def tags(self) -> tuple[Tag, ...]:
        """Each tag once, in the order in which they are named first."""
        return tuple(dict.fromkeys(entry.tag for entry in self.entries if entry.tag is not None))

    def find(self, tag: Tag) -> IndexEntry | None:
        """The entry that counts for a tag: one that is named so outright, then the first."""
        named = [entry for entry in self.entries if entry.tag == tag]
        named.sort(key=lambda entry: (not entry.is_artifact, not entry.exact))
        return named[0] if named else None

    def with_tag(self, tag: Tag, descriptor: Mapping[str, object]) -> LayoutIndex:
        """The same index in which `tag` names this manifest, and nothing else.

        An entry that had the tag gives way to the new one; its blobs stay.
        """
        raw = msgspec.json.encode({**descriptor, "annotations": {REF_NAME: tag.text}})
        entries = [entry for entry in self.entries if entry.tag != tag]
        return replace(self, entries=(*entries, _entry(raw)))

    def without_tag(self, tag: Tag) -> LayoutIndex:
        """The same index in which nothing has that tag; the blobs stay."""
        return replace(self, entries=tuple(each for each in self.entries if each.tag != tag))

    def encode(self) -> bytes:
        """The index's bytes; what is not ours is byte for byte what was read."""
        manifests = b"[" + b",".join(entry.raw for entry in self.entries) + b"]"
        fields = self.fields or {
            "schemaVersion": msgspec.Raw(b"2"),
            "mediaType": msgspec.Raw(msgspec.json.encode(OCI_INDEX)),
        }
        return msgspec.json.encode({**fields, "manifests": msgspec.Raw(manifests)})


def _entry(raw: bytes) -> IndexEntry:
    read = msgspec.json.decode(raw, type=_Entry)
    name = (read.annotations or {}).get(REF_NAME, "")
    try:
        digest = Digest.parse(read.digest)
    except BadName:
        digest = None
    tag = _tag(name)
    return IndexEntry(
        raw,
        tag,
        exact=tag is not None and tag.text == name,
        media_type=bare_type(read.media_type),
        digest=digest,
        digest_text=str(digest) if digest else quoted(read.digest),
        size=read.size,
    )


def _tag(name: str) -> Tag | None:
    """The tag that a name is or ends in; a reference by digest ends in none."""
    _, colon, end = name.rpartition("/")[2].partition(":")
    try:
        return None if "@" in name else Tag.parse(end if colon else name)
    except BadName:
        return None
