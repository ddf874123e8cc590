"""What is odd about a release that is about to be pushed: found by unpacking it here first."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from otaflux.app.parts import Assembly
from otaflux.cli import known
from otaflux.errors import BadName, OtaFluxError, Refused, Unusable
from otaflux.model.artifact import OCI_MANIFEST, UNPACK, Manifest
from otaflux.model.event import Priority
from otaflux.model.look import Usable
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Chip, Firmware
from otaflux.model.version import Version
from otaflux.reconcile import choice
from otaflux.registry import upload
from otaflux.registry.manifest import parse_artifact
from otaflux.registry.source import File, Source
from otaflux.state.store import Store
from otaflux.unpack.chip import changed_family, disagreements
from otaflux.unpack.choose import plan
from otaflux.unpack.extraction import Extraction
from otaflux.unpack.mistaken import HEAD, mistaken_for
from otaflux.unpack.packing import LOOK, other_packing, packing_of

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
    taste = _Taste()
    try:
        firmware = await asyncio.to_thread(_unpacked, parts, device, tag, files, annotations, taste)
    except Unusable as error:
        if anything:
            return [*warnings, f"no device will be told {tag}: {error}"]
        raise Refused(
            f"no device would be told {device}:{tag}: {error} (--any-tag pushes it all the same)"
        ) from error
    mistaken = mistaken_for(bytes(taste.head))
    if mistaken:
        warnings.append(f"boards will not take it: {mistaken}")
    try:
        version = Version.parse(tag.text)
    except BadName:
        return warnings
    warnings.extend(disagreements(firmware.chip, version))
    if firmware.chip is not None:
        before = await _chip_before(parts, source, device, version)
        warnings.extend(changed_family(firmware.chip, before))
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
    """A sink that keeps the first bytes, for a look at what they are."""

    def __init__(self) -> None:
        self.head = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Keep as much as is looked at."""
        self.head += data[: max(0, HEAD - len(self.head))]

    def restart(self) -> None:
        """Other bytes come."""
        self.head.clear()


class _LocalReader:
    """A file's bytes as a blob's."""

    def __init__(self, path: Path) -> None:
        self._pieces = upload.pieces(path)

    def read(self) -> bytes:
        """The next bytes; empty at the end."""
        return next(self._pieces, b"")


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


async def _chip_before(
    parts: Assembly, source: Source, device: Device, version: Version
) -> Chip | None:
    """The chip of the highest release below `version`; None where it cannot be told."""
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
                return release.firmware.chip
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
    return look.release.firmware.chip if isinstance(look, Usable) else None
