"""Which manifest of an index, and which of its layers, may hold the firmware. Pure.

Trust: media types, titles, annotations and platforms are what a stranger wrote. They choose among
blobs and are compared with bytes later; they never become a path of ours, and reach messages only
bounded and printable (see `otaflux.wording`).

Source of the conventions: the OCI image specification 1.1 (`annotations.md`, `layer.md`),
BuildKit's `docs/attestations/attestation-storage.md` for what CI builders add to an index, and
oras, which titles every file that it pushes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from otaflux.errors import Unusable
from otaflux.model.artifact import (
    FIRMWARE_PATH,
    NO_ANNOTATIONS,
    OCI_EMPTY,
    REFERENCE_TYPE,
    UNPACK,
    Artifact,
    Descriptor,
    Index,
    Manifest,
)
from otaflux.wording import quoted, quoted_names

MAX_CHILDREN = 32  # manifests of one index that are fetched to tell firmware from attestations
MAX_LAYERS = 128  # of one container image; container engines stop at 127
MAX_PATH = 4096  # characters of io.otaflux.firmware.path

FIRMWARE_NAME = "firmware.bin"

_IN_TOTO = "application/vnd.in-toto"
_COMPRESSED_TYPE = re.compile(r"(?:.*[/.+-])?(?:gzip|gz|zstd|zst|tgz)")
_COMPRESSED_TITLE = re.compile(r".*\.(?:gz|gzip|zst|zstd|tgz|tzst)", re.DOTALL)
# With a packing that is not unpacked it says tar all the same, and boards cannot read it either.
_TAR_TITLE = re.compile(
    r".*\.(?:tar(?:\.(?:gz|gzip|zst|zstd|xz|lzma|bz2?|bzip2|lz|lz4|lzo|br|z))?"
    r"|t(?:gz|zst|xz|lz|bz2?|az))",
    re.DOTALL,
)
_FIRMWARE_TITLE = re.compile(
    r"firmware(?P<file>\.bin)?(?P<packing>(?:\.(?:tar|gz|gzip|zst|zstd|tgz|tzst))*)"
)


def suspects(index: Index) -> tuple[Descriptor, ...]:
    """The children that may be firmware, by what the index alone says; at least one.

    The caller fetches the manifest of each and hands them to `child`. A digest that the index
    names twice comes once. Raises `Unusable` where there is none, or more than anyone should fetch.
    """
    found: dict[str, Descriptor] = {}
    for descriptor in index.manifests:
        if REFERENCE_TYPE in descriptor.annotations or _in_toto(descriptor.artifact_type):
            continue
        known = found.setdefault(str(descriptor.digest), descriptor)
        if _has_platform(known) and not _has_platform(descriptor):
            found[str(descriptor.digest)] = descriptor
    if not found:
        raise Unusable("The index holds no manifest that could be firmware: push one, or its tag")
    if len(found) > MAX_CHILDREN:
        raise Unusable(
            f"The index holds {len(found)} manifests, more than the {MAX_CHILDREN} that are looked"
            " into: push the firmware as a manifest of its own"
        )
    return tuple(found.values())


def child(
    index: Index, children: Sequence[tuple[Descriptor, Artifact]]
) -> tuple[Descriptor, Manifest]:
    """The one child of an index that is the firmware; `children` are what `suspects` asked for.

    Attestations are dropped; then it is the only child, else the only one without a platform or
    with `unknown`. Raises `Unusable` naming the children otherwise, and where the one is an index.
    """
    left = [pair for pair in children if not _is_attestation(pair[1])]
    if not left:
        raise Unusable("The index holds nothing but attestations: push the firmware with them")
    chosen = left if len(left) == 1 else [pair for pair in left if not _has_platform(pair[0])]
    if len(chosen) != 1:
        raise Unusable(
            f"The index {index.digest.hex[:12]} holds {len(left)} manifests and says of"
            f" {'none' if not chosen else 'more than one'} that it is for no platform:"
            f" {quoted_names(_label(descriptor) for descriptor, _ in left)}. Tag one of them itself"
        )
    descriptor, manifest = chosen[0]
    if isinstance(manifest, Index):
        raise Unusable(
            f"The index holds another index, {descriptor.digest.hex[:12]}: one level is read. Tag"
            " the inner one itself"
        )
    return descriptor, manifest


def outline(artifact: Artifact) -> Artifact:
    """What `child` needs to know of an artifact, without what may be large in it."""
    bare = replace(artifact, annotations=NO_ANNOTATIONS)
    if isinstance(bare, Index):
        return replace(bare, manifests=())
    return replace(bare, layers=tuple(x for x in bare.layers if _in_toto(x.media_type))[:1])


def _is_attestation(artifact: Artifact) -> bool:
    """What CI builders and signers add: about another manifest, or made of in-toto statements."""
    if artifact.subject is not None or _in_toto(artifact.artifact_type):
        return True
    return isinstance(artifact, Manifest) and any(
        _in_toto(layer.media_type) for layer in artifact.layers
    )


def _in_toto(media_type: str) -> bool:
    return media_type.lower().startswith(_IN_TOTO)


def _has_platform(descriptor: Descriptor) -> bool:
    platform = descriptor.platform
    if platform is None:
        return False
    said = {platform.architecture.lower(), platform.os.lower()}
    return "unknown" not in said and said != {""}


def _label(descriptor: Descriptor) -> str:
    platform = f" ({descriptor.platform})" if _has_platform(descriptor) else ""
    return f"{descriptor.digest.hex[:12]}{platform}"


class Plan(msgspec.Struct, frozen=True):
    """Which layers to read, in that order, until one holds the firmware.

    `path` is the annotated one, relative and normalised, empty where there is none. With `unpack`
    false the layer is the firmware as it is. `is_image` says that every layer must be a tar and
    that the layers lie on top of each other, the first of `layers` on top.
    """

    layers: tuple[Descriptor, ...]
    path: str = ""
    unpack: bool = True
    is_image: bool = False


def plan(manifest: Manifest, *around: Mapping[str, str]) -> Plan:
    """Which layers of a manifest to read, and how.

    `around` are annotations from further out, the nearest first: those of the child's descriptor
    in its index, then the index's own. A layer's annotation goes before the manifest's, and that
    before these. Raises `Unusable` where no layer stands out, naming them, and for an annotation
    that makes no sense.
    """
    layers = tuple(layer for layer in manifest.layers if layer.media_type != OCI_EMPTY)
    if not layers:
        raise Unusable("The manifest has no layer with content: push the firmware file as one")
    outer = (manifest.annotations, *around)
    if manifest.is_container_image:
        return _image_plan(layers, outer)
    return _file_plan(layers, outer)


def _image_plan(layers: tuple[Descriptor, ...], outer: Sequence[Mapping[str, str]]) -> Plan:
    if len(layers) > MAX_LAYERS:
        raise Unusable(f"The container image has {len(layers)} layers, more than {MAX_LAYERS}")
    paths = {_path(layer.annotations) for layer in layers} - {""}
    if len(paths) > 1:
        raise Unusable(
            f"The layers' {FIRMWARE_PATH} differ: {quoted_names(sorted(paths))}. Set one"
        )
    unpack = all(_unpack(layer.annotations, *outer) for layer in layers)
    if not unpack and len(layers) > 1:
        raise Unusable(
            f"{UNPACK}=false serves a layer as it is, and this container image has {len(layers)}:"
            " push the file itself, as an artifact with one layer"
        )
    path = next(iter(paths), "") or _path(*outer)
    return Plan(tuple(reversed(layers)), path, unpack, is_image=True)


def _file_plan(layers: tuple[Descriptor, ...], outer: Sequence[Mapping[str, str]]) -> Plan:
    path = _path(*outer)
    layer = _the_layer(layers, path)
    path = _path(layer.annotations) or path
    if path and _slashed(path) == _title_path(layer.title):
        path = ""  # names the layer itself, not a file in it
    return Plan((layer,), path, _unpack(layer.annotations, *outer))


def _the_layer(layers: tuple[Descriptor, ...], path: str) -> Descriptor:
    """The layer that is named outright, else titled as firmware, else the only one."""
    named_by_path = [
        layer for layer in layers if path and _title_path(layer.title) == _slashed(path)
    ]
    annotated = [layer for layer in layers if FIRMWARE_PATH in layer.annotations]
    for few in (named_by_path, annotated):
        if len(few) == 1:
            return few[0]
    if len(layers) == 1:
        return layers[0]
    ranked = [(rank, layer) for layer in layers if (rank := _title_rank(layer.title)) is not None]
    if not ranked:
        raise Unusable(
            f"None of the {len(layers)} layers is titled {FIRMWARE_NAME}:"
            f" {quoted_names(layer.title or 'untitled' for layer in layers)}."
            f" Give one that title, or set {FIRMWARE_PATH} to one of the titles"
        )
    best = min(rank for rank, _ in ranked)
    chosen = [layer for rank, layer in ranked if rank == best]
    if len(chosen) > 1:
        raise Unusable(
            f"{len(chosen)} layers could be the firmware:"
            f" {quoted_names(layer.title for layer in chosen)}. Leave one"
        )
    return chosen[0]


def _title_rank(title: str) -> tuple[int, int] | None:
    """How well a title says firmware, lower is better; None where it does not."""
    path = _title_path(title)
    match = _FIRMWARE_TITLE.fullmatch(path.rpartition("/")[2])
    if match is None or not (match["file"] or match["packing"]):
        return None
    return path.count("/"), 2 if not match["file"] else 1 if match["packing"] else 0


def _relative(path: str) -> str:
    """A path without `.` and empty parts; empty for one that leads out of where it begins."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "" if ".." in parts else "/".join(parts)


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


def _title_path(title: str) -> str:
    """A title as a path; tools on Windows separate with a backslash."""
    return _relative(_slashed(title))


def _path(*annotations: Mapping[str, str]) -> str:
    """The nearest `io.otaflux.firmware.path`, normalised; empty where there is none."""
    for each in annotations:
        text = each.get(FIRMWARE_PATH)
        if text is None:
            continue
        path = _relative(text)
        if not path or len(path) > MAX_PATH or not path.isprintable():
            raise Unusable(
                f"The annotation {FIRMWARE_PATH} is {quoted(text)}, which names no file: write the"
                " path of the file inside the tar, such as out/firmware.bin"
            )
        return path
    return ""


def _unpack(*annotations: Mapping[str, str]) -> bool:
    """The nearest `io.otaflux.unpack`; true where there is none."""
    for each in annotations:
        text = each.get(UNPACK)
        if text is None:
            continue
        said = text.strip().lower()
        if said not in {"true", "false"}:
            raise Unusable(f"The annotation {UNPACK} is {quoted(text)}: write true or false")
        return said == "true"
    return True


class Promise(msgspec.Struct, frozen=True):
    """Who says that a layer is compressed, and who that it is a tar; empty where nobody does."""

    compressed: str = ""
    tar: str = ""


def promise(layer: Descriptor, *, is_image: bool) -> Promise:
    """What title and media type of a layer promise.

    A media type that says tar promises nothing outside a container image, for oras gives it to
    every plain file.
    """
    title, media_type = layer.title.lower(), layer.media_type.lower().partition(";")[0].strip()
    by_title = f"its title {quoted(layer.title)}"
    compressed = ""
    if _COMPRESSED_TITLE.fullmatch(title):
        compressed = by_title
    elif _COMPRESSED_TYPE.fullmatch(media_type):
        compressed = f"its media type {quoted(layer.media_type)}"
    tar = by_title if _TAR_TITLE.fullmatch(title) else ""
    return Promise(compressed, tar or ("being a container image's layer" if is_image else ""))
