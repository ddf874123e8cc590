"""Container images as buildah, umoci and skopeo make them, without an engine and without a network.

Each row is a shell script that leaves an OCI image layout in `image/`, or a `dir:` of skopeo's, in
a folder that holds `firmware.bin` and `other.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from extracting import Pushed

from otaflux.model.artifact import Artifact, Digest, Index, Manifest
from otaflux.registry.manifest import parse_artifact
from otaflux.unpack.choose import child, suspects
from packings.files import Packing

BUILDAH = ("buildah",)
UMOCI = ("umoci",)
SKOPEO = ("buildah", "skopeo")

_BUD = "buildah --root $PWD/root --runroot $PWD/run --storage-driver vfs bud -q --isolation chroot"


def _buildah(*lines: str, options: str = "--layers") -> str:
    """Build an image of one layer: for a second one buildah mounts, which containers forbid."""
    file = "\\n".join(["FROM scratch", *lines])
    return f"printf '{file}' > Containerfile && {_BUD} {options} -t oci:$PWD/image:t . >&2"


def _skopeo(options: str) -> str:
    """Build an image, and have skopeo write it in another form."""
    copy = f"skopeo copy -q {options} oci:$PWD/image:t dir:$PWD/copy && rm -r image"
    return f"{_buildah('COPY firmware.bin /firmware.bin')} && {copy} && mv copy image"


def _umoci(*inserts: str, annotate: str = "") -> str:
    """Make an image of one layer for each insertion, the first at the bottom."""
    steps = ["umoci init --layout image", "umoci new --image image:t"]
    steps += [f"umoci insert --rootless --image image:t {insert}" for insert in inserts]
    if annotate:
        steps.append(f"umoci config --image image:t --manifest.annotation {annotate}")
    return " && ".join(steps)


@dataclass(frozen=True)
class Image:
    """How an image is made, and by which programs."""

    name: str
    script: str
    programs: tuple[str, ...]

    def build(self, folder: Path) -> Pushed:
        """Make it, and read the layout."""
        Packing(self.name, self.script).build(folder)
        return _read(folder / "image")


def _read(layout: Path) -> Pushed:
    if (layout / "manifest.json").exists():  # a dir: of skopeo's
        return _pushed(_parse((layout / "manifest.json").read_bytes()), layout)
    blobs = layout / "blobs" / "sha256"
    index = parse_artifact((layout / "index.json").read_bytes(), media_type=None)
    assert isinstance(index, Index)
    found = _parse((blobs / index.manifests[0].digest.hex).read_bytes())
    return _pushed(found, blobs)


def _pushed(found: Artifact, blobs: Path) -> Pushed:
    if isinstance(found, Index):
        children = [
            (each, _parse((blobs / each.digest.hex).read_bytes())) for each in suspects(found)
        ]
        found = child(found, children)[1]
    assert isinstance(found, Manifest)
    assert found.is_container_image
    return Pushed(found, {layer.digest: _blob(blobs, layer.digest) for layer in found.layers})


def _parse(body: bytes) -> Artifact:
    return parse_artifact(body, media_type=None)


def _blob(blobs: Path, digest: Digest) -> bytes:
    return (blobs / digest.hex).read_bytes()


_INDEX = (
    ' && b() { buildah --root $PWD/root --runroot $PWD/run --storage-driver vfs manifest "$@"; }'
    " && mv image single && b create list >&2 && b add list oci:$PWD/single:t >&2"
    " && b push -q --all list oci:$PWD/image:t >&2"
)

IMAGES = [
    Image("buildah, one layer", _buildah("COPY firmware.bin /firmware.bin"), BUILDAH),
    Image("buildah, one file under another name", _buildah("COPY firmware.bin /app.img"), BUILDAH),
    Image(
        "buildah, squashed",
        _buildah("COPY firmware.bin other.txt /srv/", options="--squash"),
        BUILDAH,
    ),
    Image("buildah, a folder", _buildah("COPY firmware.bin /opt/sensor/firmware.bin"), BUILDAH),
    Image(
        "umoci, the firmware below other layers",
        _umoci("firmware.bin /firmware.bin", "other.txt /a.txt", "other.txt /b"),
        UMOCI,
    ),
    Image(
        "umoci, an upper layer replaces it",
        _umoci("other.txt /fw/firmware.bin", "firmware.bin /fw/firmware.bin"),
        UMOCI,
    ),
    Image(
        "buildah, the annotation names it",
        _buildah(
            "COPY firmware.bin other.txt /out/",
            options="--annotation io.otaflux.firmware.path=/out/firmware.bin",
        ),
        BUILDAH,
    ),
    Image("buildah, Docker's format", _skopeo("--format v2s2"), SKOPEO),
    Image("buildah, an index", _buildah("COPY firmware.bin /firmware.bin") + _INDEX, BUILDAH),
    Image("skopeo, layers in zstd", _skopeo("--dest-compress-format zstd --dest-compress"), SKOPEO),
    Image("skopeo, layers not compressed", _skopeo("--dest-decompress"), SKOPEO),
    Image("umoci, one layer", _umoci("firmware.bin /firmware.bin"), UMOCI),
    Image(
        "umoci, another file whited out",
        _umoci("firmware.bin /fw/firmware.bin", "other.txt /fw/o", "--whiteout /fw/o"),
        UMOCI,
    ),
    Image(
        "umoci, whited out and put back",
        _umoci("other.txt /firmware.bin", "--whiteout /firmware.bin", "firmware.bin /firmware.bin"),
        UMOCI,
    ),
    Image(
        "umoci, the upper of two whited out",
        _umoci("firmware.bin /b/firmware.bin", "other.txt /a/firmware.bin", "--whiteout /a"),
        UMOCI,
    ),
    Image(
        "umoci, an opaque folder in between",
        "mkdir empty && "
        + _umoci("firmware.bin /b/firmware.bin", "other.txt /a/firmware.bin", "--opaque empty /a"),
        UMOCI,
    ),
    Image(
        "umoci, the annotation names it",
        _umoci(
            "firmware.bin /out/a.img",
            "other.txt /firmware.bin",
            annotate="io.otaflux.firmware.path=out/a.img",
        ),
        UMOCI,
    ),
]
