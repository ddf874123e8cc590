"""`registry.upload`: the same files under the same tag are the same artifact, which others read."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.errors import Refused
from otaflux.model.artifact import (
    DEVICE,
    KEPT_ANNOTATIONS,
    OCI_EMPTY,
    TITLE,
    VERSION,
    Digest,
    Manifest,
)
from otaflux.model.names import Device, Tag
from otaflux.registry import upload
from otaflux.registry.manifest import parse_artifact
from otaflux.registry.source import File
from otaflux.registry.upload import Layer

LAMP = Device("lamp")
ONE = Tag("1.0.0")


def layer(content: bytes = b"firmware", title: str = "firmware.bin") -> Layer:
    """A layer that was measured, of a file that needs not be there."""
    digest = Digest("sha256", hashlib.sha256(content).hexdigest())
    return Layer(File(Path("build.bin"), title, upload.RAW), digest, len(content))


def built(tag: str = "1.0.0", annotations: Mapping[str, str] | None = None) -> upload.Upload:
    """One small artifact."""
    return upload.build(LAMP, Tag(tag), [layer()], annotations=annotations or {})


def test_the_manifest_is_the_one_that_it_always_was() -> None:
    """Its bytes are part of the promise: another version of OtaFlux gives the same digest."""
    assert json.loads(built().manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.otaflux.firmware.v1",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
            "data": "e30=",
        },
        "layers": [
            {
                "mediaType": "application/octet-stream",
                "digest": f"sha256:{hashlib.sha256(b'firmware').hexdigest()}",
                "size": 8,
                "annotations": {TITLE: "firmware.bin"},
            }
        ],
        "annotations": {DEVICE: "lamp", VERSION: "1.0.0"},
    }
    assert str(built().digest) == (
        "sha256:daccb11361c4e7b5cdeb8a50d0047bff002dea7ec9fd9786564281dfe44ea580"
    )


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(given=st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
def test_what_is_built_is_read_back(given: dict[str, str]) -> None:
    """Whatever is annotated, the server reads the same, and the order of it does not matter."""
    given = {name: text for name, text in given.items() if name not in {DEVICE, VERSION}}
    made = built(annotations=given)
    read = parse_artifact(made.manifest, media_type=None, asked=made.digest)
    assert isinstance(read, Manifest)
    written = {**given, DEVICE: "lamp", VERSION: "1.0.0"}
    assert json.loads(made.manifest)["annotations"] == written
    assert read.annotations == {k: v for k, v in written.items() if k in KEPT_ANNOTATIONS}
    assert read.artifact_type == upload.ARTIFACT_TYPE
    assert read.config.media_type == OCI_EMPTY
    assert [part.title for part in read.layers] == ["firmware.bin"]
    assert not read.is_container_image
    assert built(annotations=dict(reversed(given.items()))).digest == made.digest


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v1.2.0", "1.2.0"), ("1.2.0_7", "1.2.0+7"), ("2.0.0-rc.1", "2.0.0-rc.1"), ("main", "main")],
)
def test_the_version_is_the_one_that_devices_are_told(tag: str, version: str) -> None:
    """Without `v` and with `+`; a tag that is no version is annotated as it is."""
    assert json.loads(built(tag).manifest)["annotations"][VERSION] == version


def test_version_and_device_may_be_given_but_not_differently() -> None:
    """A server with a key refuses an artifact that names another version or device than its tag."""
    assert built(annotations={VERSION: "v1.0.0", DEVICE: "lamp"}).digest == built().digest
    for wrong in ({VERSION: "1.0.1"}, {VERSION: "1.0.0+7"}, {DEVICE: "lamp2"}, {"": "nameless"}):
        with pytest.raises(Refused):
            built(annotations=wrong)


@pytest.mark.parametrize(
    "title",
    ["", ".", "..", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "new\nline", "\udcff", "\0"],
)
def test_a_title_that_is_no_relative_path_is_refused(title: str) -> None:
    """Whoever pulls with oras writes a file under that name."""
    with pytest.raises(Refused):
        upload.build(LAMP, ONE, [layer(title=title)], annotations={})


def test_several_files_keep_their_order_and_titles() -> None:
    """Equal bytes under two titles are two layers and one blob; equal titles are refused."""
    layers = [layer(b"a", "boot.bin"), layer(b"b", "firmware.bin"), layer(b"a", "spare/boot.bin")]
    made = upload.build(LAMP, ONE, layers, annotations={})
    read = parse_artifact(made.manifest, media_type=None)
    assert isinstance(read, Manifest)
    assert [part.title for part in read.layers] == ["boot.bin", "firmware.bin", "spare/boot.bin"]
    assert len(made.blobs) == 2
    assert made.size == 2
    for wrong in ([], [layer(b"a"), layer(b"b")]):
        with pytest.raises(Refused):
            upload.build(LAMP, ONE, wrong, annotations={})


def test_what_no_registry_would_take_is_refused() -> None:
    """A manifest above 4 MiB, and text that is no text."""
    for wrong in ({"notes": "x" * (4 * 1024 * 1024)}, {"notes": "\udcff"}):
        with pytest.raises(Refused):
            built(annotations=wrong)


def test_files_are_measured_by_their_bytes(tmp_path: Path) -> None:
    """Size and SHA-256 of a file that takes several pieces; empty and missing ones are refused."""
    content = bytes(range(251)) * 10_000
    (tmp_path / "big.bin").write_bytes(content)
    (tmp_path / "empty.bin").touch()
    (tmp_path / "folder").mkdir()
    (measured,) = upload.measure([File(tmp_path / "big.bin", "firmware.bin", upload.RAW)])
    assert measured.size == len(content)
    assert measured.digest.hex == hashlib.sha256(content).hexdigest()
    for name in ("empty.bin", "missing.bin", "folder"):
        with pytest.raises(Refused, match=name):
            upload.measure([File(tmp_path / name, name, upload.RAW)])


def test_media_types_follow_the_end_of_the_name() -> None:
    """What the name says is packed is called so; anything else is plain bytes."""
    assert upload.media_type_of("firmware.bin") == "application/octet-stream"
    assert upload.media_type_of("firmware.bin.GZ") == "application/gzip"
    assert upload.media_type_of("firmware.tar.zst") == "application/zstd"
    assert upload.media_type_of("build/firmware.tar") == "application/x-tar"
    assert upload.media_type_of("gz") == "application/octet-stream"


@pytest.mark.real("zstd")
@pytest.mark.parametrize("size", [1, 5_000_000])
def test_packed_files_unpack_with_zstd_and_are_the_same_each_time(
    tmp_path: Path, size: int
) -> None:
    """`zstd -d` gives the file back; the frame says its size, a checksum, and a small window."""
    content = (b"firmware" + bytes(92)) * (size // 100) + bytes(size % 100)
    (tmp_path / "build.bin").write_bytes(content)
    heard: list[int] = []
    file = File(tmp_path / "build.bin", "firmware.bin", upload.RAW)
    packed = upload.compress(file, tmp_path / "one", progress=heard.append)
    upload.compress(file, tmp_path / "two")
    assert packed == File(tmp_path / "one", "firmware.bin.zst", "application/zstd")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sum(heard) == size
    unpacked = subprocess.run(
        ["zstd", "-dc", "--memory=8MB", tmp_path / "one"], capture_output=True, check=True
    )
    assert unpacked.stdout == content
    listed = subprocess.run(
        ["zstd", "-lv", tmp_path / "one"], capture_output=True, text=True, check=True
    )
    assert f"({size} B)" in listed.stdout
    assert "XXH64" in listed.stdout


def test_packing_what_cannot_be_read_or_written_is_refused(tmp_path: Path) -> None:
    """The message names the file at fault."""
    (tmp_path / "build.bin").write_bytes(b"firmware")
    with pytest.raises(Refused, match=r"missing\.bin"):
        upload.compress(File(tmp_path / "missing.bin", "a", upload.RAW), tmp_path / "packed")
    with pytest.raises(Refused, match="nowhere"):
        upload.compress(
            File(tmp_path / "build.bin", "a", upload.RAW), tmp_path / "nowhere" / "packed"
        )


def test_packing_a_file_that_grows_or_shrinks_is_refused(tmp_path: Path) -> None:
    """A build that still runs must not be pushed by halves."""
    path = tmp_path / "build.bin"
    for change in (b"more", b""):
        path.write_bytes(bytes(3_000_000))
        once = iter([change])

        def meddle(_: int, once: object = once) -> None:
            for new in once:  # type: ignore[attr-defined]
                with path.open("ab" if new else "r+b") as file:
                    file.write(new) if new else file.truncate(1_500_000)

        with pytest.raises(Refused, match="changed"):
            upload.compress(
                File(path, "firmware.bin", upload.RAW), tmp_path / "packed", progress=meddle
            )
