"""What `otaflux push` pushes: from files and annotations to a manifest's bytes.

The shape is the one that `oras push` gives an artifact since 1.2, so whatever takes those takes
these too: `artifactType`, the OCI empty descriptor as config with its blob `{}`, a layer for each
file with its name as `org.opencontainers.image.title` (OCI image specification 1.1, `manifest.md`,
"Guidelines for Artifact Usage").

The manifest is a pure function of files, names and annotations. There is no time in it unless the
caller gives one, so the same files under the same tag give the same digest, anywhere. Nor is
`io.otaflux.unpack` ever set here: whether a file that is packed is to be served as it is, only its
pusher knows.

`build` is pure. `measure` and `compress` read whole files in pieces and block: they are for a
thread. Files are the pusher's own, yet they may change while they are read: whoever copies a
layer's bytes checks them against the digest that `measure` gave.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import msgspec
import zstandard

from otaflux.errors import BadName, OtaFluxError, Refused
from otaflux.model import artifact
from otaflux.model.artifact import Digest, Manifest
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version
from otaflux.registry.manifest import MAX_MANIFEST, digest_of, parse_artifact
from otaflux.registry.source import File
from otaflux.wording import quoted

ARTIFACT_TYPE = "application/vnd.otaflux.firmware.v1"  # chosen here; OtaFlux pulls any other too
RAW = "application/octet-stream"
ZSTD = "application/zstd"
EMPTY_BLOB = b"{}"  # the config's bytes
EMPTY_DIGEST = digest_of(EMPTY_BLOB)

_PIECE = 1024 * 1024  # bytes; hashing lets other threads run for pieces of this size
# 12 packs a program to within a tenth of what 19 does, in a tenth of its time, and its window stays
# below the 8 MiB that a server unpacks without taking more memory for it.
_ZSTD_LEVEL = 12
_MEDIA_TYPES = {".gz": "application/gzip", ".zst": ZSTD, ".tar": "application/x-tar"}


class Layer(msgspec.Struct, frozen=True):
    """A file as it was measured: its blob's digest, and its size in bytes."""

    file: File
    digest: Digest
    size: int


class Upload(msgspec.Struct, frozen=True):
    """One artifact, ready to be pushed: blobs first, in any order, then the manifest."""

    layers: tuple[Layer, ...]
    manifest: bytes
    digest: Digest

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """The layers whose blobs differ; besides them `EMPTY_BLOB` is needed."""
        return tuple({layer.digest: layer for layer in self.layers}.values())

    @property
    def size(self) -> int:
        """The bytes of all files, each blob counted once."""
        return sum(layer.size for layer in self.blobs)


def media_type_of(title: str) -> str:
    """The media type for a file that nobody named one for, by the end of its name."""
    return _MEDIA_TYPES.get(PurePosixPath(title).suffix.lower(), RAW)


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, at most 1 MiB at a time. Blocks. Raises `Refused` where it cannot be read."""
    with _readable(path), path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror or error}") from error


def measure(files: Iterable[File]) -> tuple[Layer, ...]:
    """Read each file once for its size and digest. Blocks: for a thread.

    Raises `Refused` where one cannot be read or is empty.
    """
    return tuple(_measured(file) for file in files)


def _measured(file: File) -> Layer:
    digest, size = hashlib.sha256(), 0
    for piece in pieces(file.path):
        digest.update(piece)
        size += len(piece)
    if not size:
        raise Refused(f"{file.path} is empty: that is no firmware")
    return Layer(file, Digest("sha256", digest.hexdigest()), size)


def compress(file: File, target: Path, *, progress: Callable[[int], None] = lambda _: None) -> File:
    """Pack a file with zstd into `target`, which the caller owns. Blocks: for a thread.

    `progress` hears of each number of bytes read. The same bytes pack to the same bytes, as long as
    the version of libzstd is the same. Raises `Refused` where a file cannot be read or written, or
    grew or shrank meanwhile.
    """
    with _readable(file.path):
        size = file.path.stat().st_size
    # The size in the frame's head lets the reader refuse what is too large before it unpacks.
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    packer = compressor.compressobj(size=size)
    try:
        with target.open("wb") as packed:
            for piece in pieces(file.path):
                packed.write(packer.compress(piece))
                progress(len(piece))
            packed.write(packer.flush())
    except zstandard.ZstdError as error:
        raise Refused(f"{file.path} changed while it was read") from error
    except OSError as error:
        raise Refused(f"cannot write {target}: {error.strerror or error}") from error
    return replace(file, path=target, title=f"{file.title}.zst", media_type=ZSTD)


def build(
    device: Device, tag: Tag, layers: Sequence[Layer], *, annotations: Mapping[str, str]
) -> Upload:
    """The artifact of these files under this tag. Pure.

    `annotations` go into the manifest beside the version and the device, which follow from tag and
    device; they may name these two as well, but not differently, or a server that checks signatures
    would refuse it. Raises `Refused` for that, for titles that are no file names or that two files
    share, and for a manifest that no registry would take.
    """
    _check_titles([layer.file.title for layer in layers])
    document = {
        "schemaVersion": 2,
        "mediaType": artifact.OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": {
            "mediaType": artifact.OCI_EMPTY,
            "digest": str(EMPTY_DIGEST),
            "size": len(EMPTY_BLOB),
            "data": base64.b64encode(EMPTY_BLOB).decode(),
        },
        "layers": [
            {
                "mediaType": layer.file.media_type,
                "digest": str(layer.digest),
                "size": layer.size,
                "annotations": {artifact.TITLE: layer.file.title},
            }
            for layer in layers
        ],
        "annotations": dict(sorted(_annotations(device, tag, annotations).items())),
    }
    try:
        manifest = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise Refused("a title or an annotation is not valid UTF-8") from error
    if len(manifest) > MAX_MANIFEST:
        raise Refused(f"titles and annotations take more than {MAX_MANIFEST} bytes")
    return Upload(tuple(layers), manifest, digest_of(manifest))


def _annotations(device: Device, tag: Tag, given: Mapping[str, str]) -> dict[str, str]:
    version = _version(tag.text)
    ours = {artifact.VERSION: version, artifact.DEVICE: device.name}
    if artifact.VERSION in given and _version(given[artifact.VERSION]) != version:
        raise Refused(f"version '{given[artifact.VERSION]}' is not that of tag '{tag}'")
    if given.get(artifact.DEVICE, device.name) != device.name:
        raise Refused(f"device '{given[artifact.DEVICE]}' is not '{device}', where it is pushed to")
    if "" in given:
        raise Refused("an annotation has no name")
    return {**given, **ours}


def refuse_same_files(made: Upload, where: str, taken: Digest, there: bytes) -> None:
    """Raise `Refused`, which says how they differ, where a manifest has the same files as `made`.

    It is the one that is `there` at the tag `where`, and has the digest `taken`.
    """
    if how := _otherwise_same(made, there):
        raise Refused(
            f"{where} has the same bytes, under another manifest ({taken}): {how}. Push it as it"
            " is there, or replace it with --force"
        )


def _otherwise_same(made: Upload, there: bytes) -> str:
    """How a manifest that has the same files differs, in a few words; empty for other files."""
    try:
        found = parse_artifact(there, media_type=artifact.OCI_MANIFEST)
    except OtaFluxError:
        return ""
    if not isinstance(found, Manifest):
        return ""
    if [each.digest for each in found.layers] != [each.digest for each in made.layers]:
        return ""
    for old, new in zip(found.layers, made.layers, strict=True):
        if old.title != new.file.title:
            title, here = quoted(old.title), quoted(new.file.title)
            return f"the file is called {title} there and {here} here: TITLE=FILE gives it a name"
    return "its annotations or media types are others"


def _version(text: str) -> str:
    """A version as devices are told it; a tag that is none stands for itself."""
    try:
        return Version.parse(text).text
    except BadName:
        return text


def _check_titles(titles: Sequence[str]) -> None:
    """`oras pull` writes files under these names, so they stay inside its folder."""
    if not titles:
        raise Refused("there is no file to push")
    for title in titles:
        parts = title.split("/")
        if not title.isprintable() or any(part in {"", ".", ".."} for part in parts):
            raise Refused(
                f"{title!r} cannot be a file's title, which is a name or a relative path, in"
                " characters that can be printed: TITLE=FILE gives it another"
            )
    if len(set(titles)) < len(titles):
        raise Refused("two files have the same title; each needs its own")
