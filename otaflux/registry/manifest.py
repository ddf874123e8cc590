"""Bytes into a `Manifest` or an `Index`: pure, for the remote registry and for the folder alike.

Every byte is hostile. What comes out has a digest that was computed here, sizes that are sane
numbers, digests that can be checked, and of annotations those that count, cut to `MAX_ANNOTATION`;
titles and annotations stay untrusted text. So what is kept of a manifest is bounded, whatever is in
it. Two things can be wrong, and they are not the same:

* the bytes are no manifest at all (an HTML page with status 200, half a document, a digest that
  does not match): whoever sent them erred, and `Undecided` is raised;
* the bytes are a manifest, or have the digest that was asked for, and OtaFlux cannot read them:
  `Unusable`, which carries the digest, for asking again would give the same bytes.

Formats: OCI image specification 1.1 (`manifest.md`, `image-index.md`, `descriptor.md`) and Docker's
schema 2. A document that could be read as both kinds is refused (CVE-2021-41190), and one that says
something twice (see `otaflux.registry.keys`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import msgspec

from otaflux.errors import BadName, Undecided, Unusable
from otaflux.model.artifact import (
    CERTIFICATE,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    KEPT_ANNOTATIONS,
    LOG_ENTRY,
    NO_ANNOTATIONS,
    OCI_INDEX,
    OCI_MANIFEST,
    Artifact,
    Descriptor,
    Digest,
    Index,
    Manifest,
    Platform,
)
from otaflux.registry.keys import Shape, check_keys
from otaflux.wording import quoted

MAX_MANIFEST = 4 * 1024 * 1024  # bytes; what registries must accept, and the most they do
MAX_LAYERS = 1024  # container engines stop at 127
MAX_CHILDREN = 4096  # of an index; a fallback tag lists every signature ever attached
MAX_ANNOTATION = 5000  # characters that are kept of one; paths in it have at most 4096
MAX_PROOF = (
    16_384  # … of a certificate or a log's entry, which has the certificate in it twice packed
)
MAX_TYPE = 1000  # characters of a media type and the like; real ones have at most 255

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

_OLD = "it is of Docker's schema 1, which is no longer read: push it again with a current tool"
_TOO_LARGE = f"larger than {MAX_MANIFEST} bytes, the most that a manifest may have"
_NEITHER = "it needs 'schemaVersion' and either 'layers' or 'manifests'"

_Type = Annotated[str, msgspec.Meta(max_length=MAX_TYPE)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Raw = msgspec.Raw | msgspec.UnsetType
_Read = TypeVar("_Read")


class _Parts(msgspec.Struct):
    """Which parts the document has, whatever is in them."""

    schema_version: _Raw = msgspec.field(name="schemaVersion", default=msgspec.UNSET)
    media_type: _Raw = msgspec.field(name="mediaType", default=msgspec.UNSET)
    manifests: _Raw = msgspec.UNSET
    layers: _Raw = msgspec.UNSET
    config: _Raw = msgspec.UNSET
    fs_layers: _Raw = msgspec.field(name="fsLayers", default=msgspec.UNSET)

    @property
    def is_a_manifest(self) -> bool:
        """Whether a registry would have taken this for a manifest of some kind."""
        named = _has(self.schema_version) or _has(self.media_type)
        return named and (_has(self.layers) or _has(self.manifests) or _has(self.config))


def _has(part: _Raw) -> bool:
    return part is not msgspec.UNSET


class _Platform(msgspec.Struct):
    architecture: _Type | None = None
    os: _Type | None = None
    variant: _Type | None = None


_NAMES = {f"at{number}": name for number, name in enumerate(sorted(KEPT_ANNOTATIONS))}
# An object of which only those are decoded: the others cost neither memory nor time.
_Annotations: Any = msgspec.defstruct(
    "_Annotations",
    [(field, str | None, msgspec.field(name=name, default=None)) for field, name in _NAMES.items()],
)


class _Descriptor(msgspec.Struct):
    digest: str
    size: _Size
    media_type: _Type | None = msgspec.field(name="mediaType", default=None)
    annotations: _Annotations | None = None
    platform: _Platform | None = None
    artifact_type: _Type | None = msgspec.field(name="artifactType", default=None)


class _Manifest(msgspec.Struct):
    config: _Descriptor
    layers: Annotated[list[_Descriptor], msgspec.Meta(max_length=MAX_LAYERS)] | None = None
    media_type: _Type | None = msgspec.field(name="mediaType", default=None)
    artifact_type: _Type | None = msgspec.field(name="artifactType", default=None)
    annotations: _Annotations | None = None
    subject: _Descriptor | None = None


class _Index(msgspec.Struct):
    manifests: Annotated[list[_Descriptor], msgspec.Meta(max_length=MAX_CHILDREN)] | None = None
    media_type: _Type | None = msgspec.field(name="mediaType", default=None)
    artifact_type: _Type | None = msgspec.field(name="artifactType", default=None)
    annotations: _Annotations | None = None
    subject: _Descriptor | None = None


_FLAT = Shape(KEPT_ANNOTATIONS, exact=True)
_OF_DESCRIPTOR = Shape(
    frozenset(
        {"digest", "size", "mediaType", "annotations", "platform", "artifactType", "data", "urls"}
    ),
    {"annotations": _FLAT, "platform": Shape(frozenset({"architecture", "os", "variant"}))},
)
_OF_ARTIFACT = Shape(
    frozenset(
        {
            *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests"),
            *("annotations", "subject", "fsLayers"),
        }
    ),
    {
        "annotations": _FLAT,
        **dict.fromkeys(("config", "layers", "manifests", "subject"), _OF_DESCRIPTOR),
    },
)


def digest_of(body: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of bytes; `algorithm` is one that `Digest.parse` lets through."""
    return Digest(algorithm, hashlib.new(algorithm, body, usedforsecurity=False).hexdigest())


def bare_type(content_type: str | None) -> str:
    """A media type without its parameters, lower-case; empty where there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def parse_artifact(body: bytes, *, media_type: str | None, asked: Digest | None = None) -> Artifact:
    """Read a manifest or an index.

    `media_type` is what the source calls it (a `Content-Type`, a descriptor's type), or None.
    `asked` is the digest that the bytes must have: the one that was asked for, or the one that the
    registry gave with them. Raises `Undecided` and `Unusable` as the module says.
    """
    digest = digest_of(body, asked.algorithm if asked else "sha256")
    if asked and digest != asked:
        raise Undecided(
            f"the source sent a manifest whose digest is {digest} and not {asked}",
            hint=f"{_OLD[0].upper()}{_OLD[1:]}" if _is_schema_1(body) else "",
        )
    if len(body) > MAX_MANIFEST:
        raise too_large(digest) if asked else Undecided(f"the source sent {_TOO_LARGE}")
    shape = _shape(body, digest, verified=asked is not None)
    try:
        check_keys(body, _OF_ARTIFACT)
    except Unusable as error:
        raise _bad(digest, str(error)) from None
    if _has(shape.manifests) and (_has(shape.layers) or _has(shape.config)):
        raise _bad(digest, "it has both 'manifests' and 'layers' or 'config', so it is ambiguous")
    if _has(shape.fs_layers):
        raise _bad(digest, _OLD)
    if _has(shape.manifests):
        return _index(body, digest, bare_type(media_type))
    return _manifest(body, digest, bare_type(media_type))


def too_large(digest: Digest) -> Unusable:
    """The verdict on a manifest whose digest is verified and whose size is above the limit."""
    return _bad(digest, f"it is {_TOO_LARGE}")


def _bad(digest: Digest, reason: str) -> Unusable:
    return Unusable(f"the manifest {digest} cannot be read: {reason}", digest=str(digest))


def _is_schema_1(body: bytes) -> bool:
    """Whether a registry rewrote or kept a schema 1 manifest, whose digest is not of its bytes."""
    try:
        shape = msgspec.json.decode(body, type=_Parts)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return _has(shape.fs_layers)


def _shape(body: bytes, digest: Digest, *, verified: bool) -> _Parts:
    """What kind of document it is; raises `Undecided` for none, `Unusable` for a verified none."""
    try:
        shape = msgspec.json.decode(body, type=_Parts)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if verified:
            raise _bad(digest, f"it is no JSON object ({error})") from None
        raise Undecided(
            "the source sent something that is no manifest; is it a registry, and not a proxy's or"
            f" a login page? ({error})"
        ) from None
    if shape.is_a_manifest:
        return shape
    if verified:
        raise _bad(digest, _OLD if _has(shape.fs_layers) else _NEITHER)
    raise Undecided(f"the source sent a JSON document that is no manifest: {_NEITHER}")


def _decoded(body: bytes, digest: Digest, form: type[_Read]) -> _Read:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _bad(digest, str(error)) from None


def _agreed_type(
    digest: Digest, named: str, content_type: str, kinds: frozenset[str], default: str
) -> str:
    """The manifest's type, from its own bytes where they say it.

    The source's word is not covered by the digest, so where it differs nothing is decided; the
    specification asks clients to refuse such an answer (`manifest.md`, `mediaType`).
    """
    if named and named not in kinds:
        raise _bad(digest, f"its type {quoted(named)} is none that goes with what is in it")
    known = content_type in INDEX_TYPES | MANIFEST_TYPES
    if known and content_type not in ({named} if named else kinds):
        raise Undecided(
            f"the source calls {digest} {quoted(content_type)}, and its bytes say otherwise"
        )
    return named or (content_type if content_type in kinds else default)


def _manifest(body: bytes, digest: Digest, content_type: str) -> Manifest:
    read = _decoded(body, digest, _Manifest)
    config = _descriptor(read.config, digest, "config")
    return Manifest(
        digest=digest,
        size=len(body),
        media_type=_agreed_type(
            digest, read.media_type or "", content_type, MANIFEST_TYPES, OCI_MANIFEST
        ),
        artifact_type=read.artifact_type or config.media_type,
        config=config,
        layers=tuple(
            _descriptor(layer, digest, f"layers[{at}]")
            for at, layer in enumerate(read.layers or ())
        ),
        annotations=_annotations(read.annotations),
        subject=_descriptor(read.subject, digest, "subject") if read.subject else None,
    )


def _index(body: bytes, digest: Digest, content_type: str) -> Index:
    read = _decoded(body, digest, _Index)
    return Index(
        digest=digest,
        size=len(body),
        media_type=_agreed_type(
            digest, read.media_type or "", content_type, INDEX_TYPES, OCI_INDEX
        ),
        manifests=tuple(
            _descriptor(child, digest, f"manifests[{at}]")
            for at, child in enumerate(read.manifests or ())
        ),
        annotations=_annotations(read.annotations),
        subject=_descriptor(read.subject, digest, "subject") if read.subject else None,
        artifact_type=read.artifact_type or "",
    )


def _descriptor(read: _Descriptor, manifest: Digest, where: str) -> Descriptor:
    try:
        digest = Digest.parse(read.digest)
    except BadName as error:
        raise _bad(manifest, f"{where}.digest {quoted(read.digest)}: {error}") from None
    platform = read.platform
    return Descriptor(
        media_type=read.media_type or "",
        digest=digest,
        size=read.size,
        annotations=_annotations(read.annotations),
        platform=Platform(platform.architecture or "", platform.os or "", platform.variant or "")
        if platform
        else None,
        artifact_type=read.artifact_type or "",
    )


def _most(name: str) -> int:
    """Characters that are kept of an annotation."""
    return MAX_PROOF if name in {CERTIFICATE, LOG_ENTRY} else MAX_ANNOTATION


def _annotations(read: Any) -> Mapping[str, str]:
    """Those that count; null is none."""
    if read is None:
        return NO_ANNOTATIONS
    found = {name: getattr(read, field) for field, name in _NAMES.items()}
    kept = {name: text[: _most(name)] for name, text in found.items() if text is not None}
    return MappingProxyType(kept) if kept else NO_ANNOTATIONS
