"""Runs an extraction over bytes in memory, as `pull.py` does over a registry and a store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from otaflux.model.artifact import (
    NO_ANNOTATIONS,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_MANIFEST,
    TITLE,
    Descriptor,
    Digest,
    Manifest,
)
from otaflux.model.release import Firmware
from otaflux.unpack.choose import plan
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.limits import Limits

MIB = 1 << 20
LIMITS = Limits(max_firmware=4 * MIB, max_unpacked=16 * MIB)

TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCTETS = "application/octet-stream"


class Blob:
    """A reader over bytes in pieces of `step`; then raises `failure`, where there is one."""

    def __init__(
        self,
        data: bytes | Sequence[bytes],
        *,
        step: int = 256 << 10,
        failure: Exception | None = None,
    ) -> None:
        if isinstance(data, bytes):
            data = [data[at : at + step] for at in range(0, len(data), step)]
        self._pieces = iter(data)
        self._failure = failure
        self.ended = False

    def read(self) -> bytes:
        """The next piece; empty at the end."""
        piece = next(self._pieces, b"")
        if not piece:
            if self._failure is not None:
                raise self._failure
            self.ended = True
        return piece


class Memory:
    """A sink in memory that holds the writer to its promise: at least 256 KiB but for the end.

    `most` is the most that it ever held.
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self.data = bytearray()
        self.most = 0
        self.restarts = 0
        self._ended = False
        self._failure = failure

    def write(self, data: bytes | memoryview) -> None:
        """Append, or fail as told."""
        if self._failure is not None:
            raise self._failure
        assert data
        assert not self._ended, "a piece below 256 KiB was not the last"
        self._ended = len(data) < 256 << 10
        self.data += data
        self.most = max(self.most, len(self.data))

    def restart(self) -> None:
        """Throw away."""
        self.data.clear()
        self._ended = False
        self.restarts += 1


@dataclass(frozen=True)
class Pushed:
    """A manifest and the blobs that it names; `around` are annotations from further out."""

    manifest: Manifest
    blobs: Mapping[Digest, bytes]
    around: tuple[Mapping[str, str], ...] = field(default=())


def digest_of(data: bytes) -> Digest:
    """The digest of some bytes."""
    return Digest("sha256", hashlib.sha256(data).hexdigest())


def describe(
    data: bytes,
    media_type: str = OCTETS,
    title: str = "",
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> Descriptor:
    """A descriptor of some bytes."""
    titled = {TITLE: title} if title else {}
    return Descriptor(media_type, digest_of(data), len(data), {**titled, **annotations})


def manifest(
    *layers: Descriptor,
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
    config: str = OCI_EMPTY,
    subject: Descriptor | None = None,
    artifact_type: str = "",
) -> Manifest:
    """A manifest of some layers, the lowest first; its digest is made up from them."""
    name = repr((layers, sorted(annotations.items()), config, subject)).encode()
    return Manifest(
        digest_of(name),
        len(name),
        OCI_MANIFEST,
        artifact_type or config,
        describe(b"{}", config),
        layers,
        annotations,
        subject,
    )


def artifact(
    data: bytes,
    title: str = "",
    media_type: str = OCTETS,
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> Pushed:
    """One file pushed as an artifact with one layer."""
    layer = describe(data, media_type, title)
    return Pushed(manifest(layer, annotations=annotations), {layer.digest: data})


def image(
    *layers: bytes,
    media_type: str = TAR_LAYER,
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> Pushed:
    """A container image of some layers, the lowest first."""
    described = [describe(data, media_type) for data in layers]
    blobs = {layer.digest: data for layer, data in zip(described, layers, strict=True)}
    return Pushed(manifest(*described, annotations=annotations, config=OCI_CONFIG), blobs)


def unpack(
    pushed: Pushed, *, limits: Limits = LIMITS, step: int = 256 << 10, sink: Memory | None = None
) -> tuple[bytes, Firmware]:
    """What comes out of an artifact; every blob that was begun must have been read to its end."""
    sink = sink or Memory()
    planned = plan(pushed.manifest, *pushed.around)
    extraction = Extraction(planned, sink, limits)
    for layer in planned.layers:
        blob = Blob(pushed.blobs[layer.digest], step=step)
        try:
            if extraction.layer(layer, blob):
                break
        finally:
            assert blob.ended, "a verdict, good or bad, on bytes that were not read whole"
    firmware = extraction.finish()
    data = bytes(sink.data)
    assert firmware.sums.size == len(data)
    assert firmware.firmware_digest == digest_of(data)
    return data, firmware
