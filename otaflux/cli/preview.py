"""What is odd about a release that is about to be pushed: found by unpacking it here first."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from otaflux.app.parts import Assembly
from otaflux.cli import known
from otaflux.errors import BadName, OtaFluxError, Refused, Unusable
from otaflux.model.artifact import OCI_MANIFEST, UNPACK, Manifest
from otaflux.model.event import Priority
from otaflux.model.look import Usable
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Firmware
from otaflux.model.version import Version
from otaflux.reconcile import choice
from otaflux.registry import upload
from otaflux.registry.manifest import parse_artifact
from otaflux.registry.source import File, Source
from otaflux.state.store import Store
from otaflux.unpack.chip import changed_family
from otaflux.unpack.choose import plan
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.images import disagreements, image_in, not_above
from otaflux.unpack.mistaken import HEAD, mistaken_for
from otaflux.unpack.packing import LOOK, other_packing, packing_of
from otaflux.unpack.squashfs import MAGIC

_PACKED_NAMES = (".gz", ".tgz", ".zst", ".tzst", ".tar", ".zip")


async def odd(
    parts: Assembly,
    source: Source,
    device: Device,
    tag: Tag,
    files: Sequence[File],
    annotations: Mapping[str, str],
    *,
    anything: bool = False,
) -> list[str]:
    """Sentences about what its pusher may not have meant; empty where nothing is odd.

    Raises `Refused` where no device could ever be told it, unless `anything` goes.
    """
    warnings = [warning for file in files if (warning := _looks_packed(file, annotations))]
    try:
        head, firmware = await asyncio.to_thread(_tasted, parts, device, tag, files, annotations)
    except Unusable as error:
        if anything:
            return [*warnings, f"no device will be told {tag}: {error}"]
        raise Refused(
            f"no device would be told {device}:{tag}: {error} (--any-tag pushes it all the same)"
        ) from error
    mistaken = mistaken_for(head)
    if mistaken:
        warnings.append(f"boards will not take it: {mistaken}")
    try:
        version = Version.parse(tag.text)
    except BadName:
        return warnings
    warnings.extend(disagreements(firmware.image, version))
    is_zigbee = firmware.image is not None and firmware.image.zigbee is not None
    if firmware.chip is not None or is_zigbee:
        before = await _firmware_before(parts, source, device, version)
        if before is not None:
            warnings.extend(changed_family(firmware.chip, before.chip))
            warnings.extend(not_above(firmware.image, before.image))
    return warnings


def _looks_packed(file: File, annotations: Mapping[str, str]) -> str:
    """A warning where a plain name hides packed bytes, or bytes that are not unpacked."""
    if file.title.lower().endswith(_PACKED_NAMES) or annotations.get(UNPACK) == "false":
        return ""
    with file.path.open("rb") as opened:
        head = opened.read(LOOK)
    packing = packing_of(head, expect_tar=False)
    if packing is not None:
        return (
            f"{file.title} looks like {packing.name.lower()}: devices get what is inside it"
            f" (--annotation {UNPACK}=false serves the file as it is)"
        )
    other = other_packing(head) if not mistaken_for(head) else ""
    return f"{file.title} looks like {other}, which is not unpacked" if other else ""


class _Taste:
    """A sink that keeps the first bytes, for a look at what they are; of a squashfs all, in `file`.

    Whether that is a bundle stands at its end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.head = bytearray()
        self._file = file
        self._is_squashfs = False

    def write(self, data: bytes | memoryview) -> None:
        """Keep as much as is looked at."""
        if not self.head:
            self._is_squashfs = bytes(data[: len(MAGIC)]) == MAGIC
        self.head += data[: max(0, HEAD - len(self.head))]
        if self._is_squashfs:
            self._file.write(data)

    def restart(self) -> None:
        """Other bytes come."""
        self.head.clear()
        self._file.seek(0)
        self._file.truncate()

    def complete(self, firmware: Firmware) -> Firmware:
        """The firmware with what it is, where all of it was needed to know."""
        if not self._is_squashfs:
            return firmware
        self._file.flush()
        read = partial(_read, self._file.fileno())
        return replace(firmware, image=image_in(read, firmware.sums.size))


def _read(fd: int, size: int, offset: int) -> bytes:
    return os.pread(fd, size, offset)


class _LocalReader:
    """A file's bytes as a blob's."""

    def __init__(self, path: Path) -> None:
        self._pieces = upload.pieces(path)

    def read(self) -> bytes:
        """The next bytes; empty at the end."""
        return next(self._pieces, b"")


def _tasted(
    parts: Assembly,
    device: Device,
    tag: Tag,
    files: Sequence[File],
    annotations: Mapping[str, str],
) -> tuple[bytes, Firmware]:
    """The first bytes of what devices would get, and what it is. Blocks; raises `Unusable`."""
    # DATA_DIR may be the only folder that can be written.
    where = parts.settings.data_dir if parts.settings.data_dir.is_dir() else None
    with tempfile.TemporaryFile(dir=where) as file:
        taste = _Taste(file)
        firmware = taste.complete(_unpacked(parts, device, tag, files, annotations, taste))
        return bytes(taste.head), firmware


def _unpacked(
    parts: Assembly,
    device: Device,
    tag: Tag,
    files: Sequence[File],
    annotations: Mapping[str, str],
    sink: _Taste,
) -> Firmware:
    """What devices would get of these files. Blocks; raises `Unusable` where nothing."""
    layers = upload.measure(files)
    built = upload.build(device, tag, layers, annotations=annotations)
    manifest = parse_artifact(built.manifest, media_type=OCI_MANIFEST)
    if not isinstance(manifest, Manifest):
        raise Unusable("an index cannot be pushed")
    limits = parts.limits
    planned = plan(manifest)
    paths = {layer.digest: layer.file.path for layer in layers}
    extraction = Extraction(planned, sink, limits)
    for layer in planned.layers:
        if layer.size > limits.max_firmware:
            raise Unusable(
                f"{layer.size} bytes are more than MAX_FIRMWARE_SIZE ({limits.max_firmware})"
            )
        if extraction.layer(layer, _LocalReader(paths[layer.digest])):
            break
    return extraction.finish()


async def _firmware_before(
    parts: Assembly, source: Source, device: Device, version: Version
) -> Firmware | None:
    """The firmware of the highest release below `version`; None where it cannot be told."""
    try:
        found = choice.candidates((await source.tags(device)).tags)
        lower = [each for each in found if each.version.key < version.key]
        if not lower:
            return None
        before = lower[0]
        prefix = parts.namespace.prefix
        record = known.of_source(parts.settings.data_dir, source.name, prefix).get(device)
        for release in record.held() if record else ():
            if release.tag == before.tag:
                return release.firmware
        with tempfile.TemporaryDirectory(prefix="otaflux-") as folder:
            store = Store(Path(folder))
            store.prepare()
            puller = parts.puller(source, store)
            with store.claims() as claims:
                look = await puller.look(
                    device,
                    before.tag,
                    before.version,
                    record=Record(device, ""),
                    priority=Priority.HOOK,
                    claims=claims,
                )
    except (OtaFluxError, OSError):
        return None  # a warning less, for a release that cannot be looked at, or without a disk
    return look.release.firmware if isinstance(look, Usable) else None
