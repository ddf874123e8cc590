"""Writing into a layout: blobs first, then `index.json` by rename, one push of a device at a time.

Blocks: for a thread. What keeps two pushes at once apart is in `writing.py`.

A blob that is there already is read and compared, for a file of the right size may still be torn;
it is synced all the same, for another tool may have written it and not waited for the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

import msgspec

from otaflux.errors import Refused, Undecided
from otaflux.files import durable
from otaflux.files.disk import Irregular, open_regular
from otaflux.files.durable import explained
from otaflux.model.artifact import OCI_MANIFEST, Digest
from otaflux.model.names import Device, Tag
from otaflux.registry import upload
from otaflux.registry.attaching import attachment
from otaflux.registry.layout.index import MAX_INDEX, LayoutIndex
from otaflux.registry.layout.writing import Writing
from otaflux.registry.manifest import MAX_MANIFEST
from otaflux.registry.source import Attach, File
from otaflux.registry.upload import Upload

_MARKER = b'{"imageLayoutVersion": "1.0.0"}'  # image-layout.md, "oci-layout file"


class _Marker(msgspec.Struct):
    version: str = msgspec.field(name="imageLayoutVersion")


def _descriptor(made: Upload) -> dict[str, object]:
    return {
        "mediaType": OCI_MANIFEST,
        "digest": str(made.digest),
        "size": len(made.manifest),
        "artifactType": upload.ARTIFACT_TYPE,
    }


class LayoutPush:
    """One push into one device's layout.

    `progress` hears of each number of bytes of the files that lie there.
    """

    def __init__(self, work: Writing, *, progress: Callable[[int], None]) -> None:
        self._work = work
        self._place = work.place
        self._disk = work.disk
        self._progress = progress

    def run(
        self,
        device: Device,
        tag: Tag,
        files: Sequence[File],
        *,
        annotations: Mapping[str, str],
        force: bool,
        attach: Attach | None = None,
    ) -> Digest:
        """Push the files, and what `attach` makes of their digest, the tag last. Blocks.

        Returns the manifest's digest. Raises `Refused` where a file cannot be read, or the tag is
        taken by other bytes and `force` is false; `Undecided` where the disk or the lock fails. The
        tag is as it was then.
        """
        made = upload.build(device, tag, upload.measure(files), annotations=annotations)
        about = attach and attachment(made.manifest, made.digest, attach(made.digest))
        durable.make_folder(self._place.blobs, disk=self._disk)
        with self._work.locked(device):
            for folder in (self._place.folder, self._place.blobs):
                durable.sweep_temporaries(folder, disk=self._disk)
            self._check_free(self._work.index(), device, tag, made, force=force)
            self._blob(upload.EMPTY_DIGEST, len(upload.EMPTY_BLOB), [upload.EMPTY_BLOB])
            for layer in made.blobs:
                if not self._blob(layer.digest, layer.size, self._heard(layer.file.path)):
                    self._progress(layer.size)
            self._blob(made.digest, len(made.manifest), [made.manifest])
            if about:
                self._blob(about.blob_digest, len(about.blob), [about.blob])
                self._blob(about.digest, len(about.manifest), [about.manifest])
            self._mark()
            index = before = self._work.index()
            if not self._check_free(index, device, tag, made, force=force):
                index = index.with_tag(tag, _descriptor(made))
            if about:
                index = index.with_entry(about.digest, about.descriptor)
            if index is before:
                self._sync(self._place.index)
            else:
                durable.write(self._place.index, index.encode(), disk=self._disk)
        return made.digest

    def _check_free(
        self, index: LayoutIndex, device: Device, tag: Tag, made: Upload, *, force: bool
    ) -> bool:
        """Whether the tag has that manifest already; raises `Refused` where it has another."""
        taken = index.find(tag)
        if taken is None:
            return False
        if taken.digest == made.digest:
            return True
        if force:
            return False
        if taken.digest is not None:
            there = self._manifest(taken.digest)
            upload.refuse_same_files(made, f"{device}:{tag}", taken.digest, there)
        raise Refused(
            f"{device}:{tag} is taken by other bytes ({taken.digest_text}). Push a higher version,"
            " or replace it with --force"
        )

    def _manifest(self, digest: Digest) -> bytes:
        """A manifest in the folder; nothing where it cannot be read."""
        path = self._place.blob(digest)
        with suppress(Undecided):
            return durable.read(path, max_bytes=MAX_MANIFEST, disk=self._disk) or b""
        return b""

    def _heard(self, path: Path) -> Iterator[bytes]:
        for piece in upload.pieces(path):
            self._work.check_ended()
            yield piece
            self._progress(len(piece))

    def _blob(self, digest: Digest, size: int, pieces: Iterable[bytes]) -> bool:
        """Make a blob lie there for good; False where it did already."""
        path = self._place.blob(digest)
        if self._is_whole(path, digest, size):
            self._sync(path)
            return False
        checked = hashlib.sha256()
        with durable.NewFile(path.parent, disk=self._disk) as new:
            for piece in pieces:
                checked.update(piece)
                new.write(piece)
            if checked.hexdigest() != digest.hex:
                raise Refused(f"the file of {digest} changed while it was read: push it again")
            new.keep_as(path)
        return True

    def _sync(self, path: Path) -> None:
        """Make a file last that somebody wrote, who may have been killed before it did."""
        with explained(f"write {path}"):
            self._disk.sync(path)
            self._disk.sync(path.parent)

    def _is_whole(self, path: Path, digest: Digest, size: int) -> bool:
        with explained(f"read {path}"):
            try:
                with FileIO(open_regular(path)) as file:
                    if os.fstat(file.fileno()).st_size != size:
                        return False
                    return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
            except (FileNotFoundError, Irregular):
                return False

    def _mark(self) -> None:
        """Say that this is a layout, where nothing says so yet, or something half written does."""
        body = durable.read(self._place.marker, max_bytes=MAX_INDEX, disk=self._disk)
        try:
            msgspec.json.decode(body or b"", type=_Marker)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            durable.write(self._place.marker, _MARKER, disk=self._disk)
