"""Writing into a layout: blobs first, then `index.json` by rename, one push of a device at a time.

Blocks: for a thread. The lock is a file in the device's folder, held by flock, so two pushes at
once lose nothing, in one process or two, and a killed one holds nothing. A server that reads takes
no lock and sees the old or the new index. Other tools know nothing of the lock; the index is read
again right before it is written, so that what they wrote meanwhile stays.

A blob that is there already is read and compared, for a file of the right size may still be torn;
it is synced all the same, for another tool may have written it and not waited for the disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from otaflux.errors import Refused, Undecided
from otaflux.files import durable
from otaflux.files.disk import Disk
from otaflux.files.durable import explained
from otaflux.model.artifact import OCI_MANIFEST, Digest
from otaflux.model.names import Device, Tag
from otaflux.registry import upload
from otaflux.registry.layout.index import MAX_INDEX, LayoutIndex
from otaflux.registry.layout.places import Place
from otaflux.registry.source import File

LOCK_WAIT = 300.0  # seconds that a push waits for another one of the same device
_LOCK_LOOKS = 0.05  # seconds between looks at the lock
_READ_AGAIN = 0.1  # seconds; a tool that writes an index in place is done sooner
_MARKER = b'{"imageLayoutVersion": "1.0.0"}'  # image-layout.md, "oci-layout file"


class _Marker(msgspec.Struct):
    version: str = msgspec.field(name="imageLayoutVersion")


class LayoutPush:
    """One push into one device's layout.

    `progress` hears of each number of bytes of the files that lie there; `is_ended` is asked
    between pieces and ends the push. `sleep` blocks.
    """

    def __init__(
        self,
        place: Place,
        *,
        progress: Callable[[int], None],
        is_ended: Callable[[], bool],
        disk: Disk,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._place = place
        self._progress = progress
        self._is_ended = is_ended
        self._disk = disk
        self._clock = clock
        self._sleep = sleep

    def run(
        self,
        device: Device,
        tag: Tag,
        files: Sequence[File],
        *,
        annotations: Mapping[str, str],
        force: bool,
    ) -> Digest:
        """Push the files, the tag last; returns the manifest's digest. Blocks.

        Raises `Refused` where a file cannot be read, or the tag is taken by other bytes and `force`
        is false; `Undecided` where the disk or the lock fails. The tag is as it was then.
        """
        made = upload.build(device, tag, upload.measure(files), annotations=annotations)
        durable.make_folder(self._place.blobs, disk=self._disk)
        with self._locked(device):
            for folder in (self._place.folder, self._place.blobs):
                durable.sweep_temporaries(folder, disk=self._disk)
            self._check_free(self._index(), device, tag, made.digest, force=force)
            self._blob(upload.EMPTY_DIGEST, len(upload.EMPTY_BLOB), [upload.EMPTY_BLOB])
            for layer in made.blobs:
                if not self._blob(layer.digest, layer.size, self._heard(layer.file.path)):
                    self._progress(layer.size)
            self._blob(made.digest, len(made.manifest), [made.manifest])
            self._mark()
            index = self._index()
            if self._check_free(index, device, tag, made.digest, force=force):
                self._sync(self._place.index)
            else:
                descriptor = {
                    "mediaType": OCI_MANIFEST,
                    "digest": str(made.digest),
                    "size": len(made.manifest),
                    "artifactType": upload.ARTIFACT_TYPE,
                }
                named = index.with_tag(tag, descriptor)
                durable.write(self._place.index, named.encode(), disk=self._disk)
        return made.digest

    @contextmanager
    def _locked(self, device: Device) -> Iterator[None]:
        until = self._clock() + LOCK_WAIT
        while (descriptor := self._lock()) is None:
            self._check_ended()
            if self._clock() >= until:
                raise Undecided(
                    f"another push of {device} has held the lock for {LOCK_WAIT:.0f} seconds",
                    hint="End that one, or wait for it, and push again",
                )
            self._sleep(_LOCK_LOOKS)
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock(self) -> int | None:
        """The lock's descriptor; None where somebody else has it.

        Whoever removes a device's folder removes the lock in it: then the one that was opened here
        keeps nobody out, and the next look makes a new one.
        """
        with explained(f"lock {self._place.folder}"):
            path = self._place.lock
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_ino == path.stat().st_ino:
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            return None

    def _index(self) -> LayoutIndex:
        """The index as it is now; an empty one where there is none yet."""
        index = self._parsed()
        if isinstance(index, Undecided):
            self._sleep(_READ_AGAIN)
            index = self._parsed()
        if isinstance(index, Undecided):
            raise Undecided(
                f"cannot add to {self._place.index}: {index}",
                hint="Mend it, or remove the device's folder and push again",
            )
        return index

    def _parsed(self) -> LayoutIndex | Undecided:
        """What one reading gives; raises where the disk does."""
        body = durable.read(self._place.index, max_bytes=MAX_INDEX, disk=self._disk)
        try:
            return LayoutIndex() if body is None else LayoutIndex.parse(body)
        except Undecided as error:
            return error

    def _check_free(
        self, index: LayoutIndex, device: Device, tag: Tag, digest: Digest, *, force: bool
    ) -> bool:
        """Whether the tag has that digest already; raises `Refused` where it has another."""
        taken = index.find(tag)
        if taken is None:
            return False
        if taken.digest == digest:
            return True
        if force:
            return False
        raise Refused(
            f"{device}:{tag} is taken by other bytes ({taken.digest_text}). Push a higher version,"
            " or replace it with --force"
        )

    def _heard(self, path: Path) -> Iterator[bytes]:
        for piece in upload.pieces(path):
            self._check_ended()
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
                if path.stat().st_size != size:
                    return False
                with path.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
            except FileNotFoundError:
                return False

    def _mark(self) -> None:
        """Say that this is a layout, where nothing says so yet, or something half written does."""
        body = durable.read(self._place.marker, max_bytes=MAX_INDEX, disk=self._disk)
        try:
            msgspec.json.decode(body or b"", type=_Marker)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            durable.write(self._place.marker, _MARKER, disk=self._disk)

    def _check_ended(self) -> None:
        if self._is_ended():
            raise Undecided("the push was ended before its tag was written")
