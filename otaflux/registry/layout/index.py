"""`index.json` of a layout: pure, from bytes to tags and entries, and back with one tag more.

A tag is an entry's annotation `org.opencontainers.image.ref.name`. skopeo, umoci and oras write the
bare tag there; containerd may write a whole reference, whose part after the last `:` is the tag
then. Names that are no tags are ignored. Where several entries have the same name, the first whose
media type is a manifest's or an index's counts, which is the one that skopeo takes (oras takes the
last, umoci refuses).

What OtaFlux does not know is kept: entries and fields are cut out and put back as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated

import msgspec

from otaflux.errors import BadName, Undecided, Unusable
from otaflux.model.artifact import OCI_INDEX, Digest
from otaflux.model.names import Tag, can_be_tag
from otaflux.model.taglist import TagList
from otaflux.registry.keys import Shape, check_keys
from otaflux.registry.layout.spans import Spans
from otaflux.registry.manifest import INDEX_TYPES, MANIFEST_TYPES, bare_type
from otaflux.wording import quoted

REF_NAME = "org.opencontainers.image.ref.name"
LARGE = 1000  # entries, from which on going through them is for a thread
MAX_INDEX = 16 * 1024 * 1024  # bytes; some fifty thousand tags

_SCHEMA = 2  # of every index since OCI 1.0
_ARTIFACTS = MANIFEST_TYPES | INDEX_TYPES


class _Head(msgspec.Struct):
    schema_version: int = msgspec.field(name="schemaVersion")
    manifests: list[msgspec.Raw] | None
    media_type: str | None = msgspec.field(name="mediaType", default=None)


class _Named(msgspec.Struct):
    """Annotations, of which one counts: the others cost nothing."""

    name: str | None = msgspec.field(name=REF_NAME, default=None)


class _Entry(msgspec.Struct):
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    media_type: str | None = msgspec.field(name="mediaType", default=None)
    annotations: _Named | None = None


_SAID_ONCE = Shape(
    frozenset({"digest", "size", "mediaType", "annotations"}),
    {"annotations": Shape(frozenset({REF_NAME}), exact=True)},
)
_ENTRY = msgspec.json.Decoder(_Entry)


class IndexEntry(msgspec.Struct, frozen=True):
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


class LayoutIndex:
    """What a layout holds: its entries in their order, and the index's other fields.

    Entries stay bytes until they are asked for: of tens of thousands each would take a kilobyte.
    With `is_large` each method takes some tenths of a second, and is for a thread.
    """

    def __init__(
        self, raws: Spans | tuple[bytes, ...] = (), fields: Mapping[str, msgspec.Raw] | None = None
    ) -> None:
        self._raws = raws
        self._fields = fields

    @classmethod
    def parse(cls, body: bytes) -> LayoutIndex:
        """Read an index; raises `Undecided` for anything that is none, or only half of one.

        Of a large one in steps that let other threads run.
        """
        if len(body) > MAX_INDEX:
            raise Undecided(f"it is larger than {MAX_INDEX} bytes")
        spans = Spans(body)
        try:
            around = spans.around()
            head = msgspec.json.decode(around, type=_Head)
            fields = msgspec.json.decode(around, type=dict[str, msgspec.Raw])
            for raw in spans:
                _ENTRY.decode(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Undecided(f"it does not parse: {error}") from None
        if head.schema_version != _SCHEMA or bare_type(head.media_type or OCI_INDEX) != OCI_INDEX:
            raise Undecided("it is no OCI image index")
        return cls(spans, fields)

    @property
    def is_large(self) -> bool:
        """Whether going through it is for a thread."""
        return len(self._raws) >= LARGE

    @property
    def entries(self) -> Iterator[IndexEntry]:
        """Each entry, in their order."""
        return map(_entry, self._raws)

    def tags(self) -> tuple[Tag, ...] | TagList:
        """Each tag, of few entries once and in the order in which they are named first."""
        named = (_tag_text(_name(_ENTRY.decode(raw))) for raw in self._raws)
        texts = (text for text in named if text)
        if not self.is_large:
            return tuple(map(Tag, dict.fromkeys(texts)))
        return TagList(iter(lambda: tuple(islice(texts, LARGE)), ()))

    def find(self, tag: Tag) -> IndexEntry | None:
        """The entry that counts for a tag: one that is named so outright, then the first.

        Raises `Undecided` where it says something twice, which other tools read differently.
        """
        # Most need not be decoded: a name has the tag in it up to its first `_`, or an escape.
        part = tag.text.partition("_")[0].encode()
        maybe = (_entry(raw) for raw in self._raws if part in raw or b"\\" in raw)
        named = [entry for entry in maybe if entry.tag == tag]
        named.sort(key=lambda entry: (not entry.is_artifact, not entry.exact))
        if not named:
            return None
        try:
            check_keys(named[0].raw, _SAID_ONCE)
        except Unusable as error:
            raise Undecided(
                f"what the index says of {tag} is not clear: {error}",
                hint="Push it once more, or correct the index.json of the device's folder",
            ) from None
        return named[0]

    def with_tag(self, tag: Tag, descriptor: Mapping[str, object]) -> LayoutIndex:
        """The same index in which `tag` names this manifest, and nothing else.

        An entry that had the tag gives way to the new one; its blobs stay.
        """
        raw = msgspec.json.encode({**descriptor, "annotations": {REF_NAME: tag.text}})
        return LayoutIndex((*self._without(tag), raw), self._fields)

    def with_entry(self, digest: Digest, descriptor: Mapping[str, object]) -> LayoutIndex:
        """The same index with a manifest in it that no tag names; itself where it has it."""
        hexadecimal = digest.hex.encode()
        if any(_entry(raw).digest == digest for raw in self._raws if hexadecimal in raw):
            return self
        return LayoutIndex((*self._raws, msgspec.json.encode(descriptor)), self._fields)

    def without_tag(self, tag: Tag) -> LayoutIndex:
        """The same index in which nothing has that tag; the blobs stay."""
        return LayoutIndex(self._without(tag), self._fields)

    def _without(self, tag: Tag) -> tuple[bytes, ...]:
        return tuple(entry.raw for entry in self.entries if entry.tag != tag)

    def encode(self) -> bytes:
        """The index's bytes; what is not ours is byte for byte what was read."""
        manifests = b"[" + b",".join(self._raws) + b"]"
        fields = self._fields or {
            "schemaVersion": msgspec.Raw(b"2"),
            "mediaType": msgspec.Raw(msgspec.json.encode(OCI_INDEX)),
        }
        return msgspec.json.encode({**fields, "manifests": msgspec.Raw(manifests)})


def _entry(raw: bytes) -> IndexEntry:
    read = _ENTRY.decode(raw)
    name = _name(read)
    try:
        digest = Digest.parse(read.digest)
    except BadName:
        digest = None
    text = _tag_text(name)
    tag = Tag(text) if text else None
    return IndexEntry(
        raw,
        tag,
        exact=tag is not None and tag.text == name,
        media_type=bare_type(read.media_type or ""),
        digest=digest,
        digest_text=str(digest) if digest else quoted(read.digest),
        size=read.size,
    )


def _name(read: _Entry) -> str:
    return (read.annotations.name if read.annotations else None) or ""


def _tag_text(name: str) -> str:
    """The tag that a name is or ends in, empty for none; a reference by digest ends in none."""
    _, colon, end = name.rpartition("/")[2].partition(":")
    text = (end if colon else name).replace("+", "_")
    return text if "@" not in name and can_be_tag(text) else ""
