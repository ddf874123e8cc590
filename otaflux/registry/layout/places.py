"""Where a device lies in the embedded folder, and which devices changed.

`registry/DEVICE/` is the device's layout. Names may hold `/`, and a device's folder may hold other
devices beside its own `index.json`, `oci-layout` and `blobs/`; so no component of a name may be one
of these three. Links are not followed below `registry/`, where they could make a device twice.
Everything here blocks: for a thread.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from otaflux.errors import BadName, Undecided
from otaflux.files.durable import explained
from otaflux.model.artifact import Digest
from otaflux.model.names import Device

INDEX = "index.json"
MARKER = "oci-layout"
BLOBS = "blobs"
LOCK = ".lock"  # no component of a device's name begins with a dot
RESERVED = frozenset({INDEX, MARKER, BLOBS})

Stamp = tuple[int, int, int]  # of an index: when it was written (ns), its size, its inode
_NO_INDEX: Stamp = (0, 0, 0)


class DevicePlace(msgspec.Struct, frozen=True):
    """One device's layout."""

    folder: Path

    @property
    def index(self) -> Path:
        """Which manifests there are, and their tags."""
        return self.folder / INDEX

    @property
    def marker(self) -> Path:
        """Says that the folder is a layout."""
        return self.folder / MARKER

    @property
    def blobs(self) -> Path:
        """Where our own blobs lie; what others wrote may have digests of another kind."""
        return self.folder / BLOBS / "sha256"

    @property
    def lock(self) -> Path:
        """Held by a push of ours."""
        return self.folder / LOCK

    def blob(self, digest: Digest) -> Path:
        """The file of a blob or manifest; a parsed digest has no `/` and no dots in it."""
        return self.folder / BLOBS / digest.algorithm / digest.hex


def check_name(device: Device) -> None:
    """Raises `BadName` for a device that can have no folder."""
    for component in device.name.split("/"):
        if component in RESERVED:
            raise BadName(
                f"device '{device}' cannot lie in the embedded folder: '{component}' is the name of"
                " a part of every OCI image layout"
            )


def place_of(root: Path, device: Device) -> DevicePlace:
    """Where a device lies, whether or not it does; raises `BadName`. Does not block."""
    check_name(device)
    return DevicePlace(root / device.name)


def check_root(root: Path) -> None:
    """Raises `Undecided` where the embedded folder itself is missing: nothing is known then."""
    with explained(f"read the embedded folder {root}"):
        if root.is_dir():
            return
    raise Undecided(
        f"the embedded folder {root} is missing",
        hint="Is the disk with DATA_DIR mounted? The first `otaflux push` makes the folder",
    )


def check_absent(root: Path, place: DevicePlace) -> None:
    """Raises `Undecided` where a device's `index.json` is missing and its folder is not.

    Returns where nothing of a layout is there, in a `registry/` that is.
    """
    check_root(root)
    if is_linked(root, place):
        return
    with explained(f"read {place.folder}"):
        left = [name for name in (MARKER, BLOBS) if (place.folder / name).exists()]
    if left:
        raise Undecided(
            f"{place.index} is missing, but {' and '.join(left)} are there",
            hint="Push once more, or remove the rest of the device's folder",
        )


def index_size(place: DevicePlace) -> int:
    """The bytes of a device's index; 0 where there is none to be read."""
    try:
        return place.index.lstat().st_size
    except OSError:
        return 0  # reading it says which


def is_linked(root: Path, place: DevicePlace) -> bool:
    """Whether the way from `registry/` to the device's folder goes over a link."""
    with explained(f"read {place.folder}"):
        real = Path(os.path.realpath(root), place.folder.relative_to(root))
        return Path(os.path.realpath(place.folder)) != real


def stamps(root: Path) -> dict[Device, Stamp]:
    """Every device in the folder, with a stamp that changes when its index is written.

    Cheap enough for every second: one look at each folder, and no file is opened. A folder that
    cannot be read has no devices in it. Raises `Undecided` where `registry/` cannot be read.
    """
    check_root(root)
    found: dict[Device, Stamp] = {}
    waiting = [""]  # the names of folders; as long as names may be, so the depth is bounded
    while waiting:
        name = waiting.pop()
        try:
            with os.scandir(root / name) as entries:
                _look_into(name, list(entries), found, waiting)
        except OSError:
            continue  # gone meanwhile, or not for us; a look at the device itself says which
    return found


def misnamed(root: Path) -> dict[str, str]:
    """Layouts that are no device's, and why their folder's name can be none's. Blocks."""
    found: dict[str, str] = {}
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name not in RESERVED]
        name = Path(folder).relative_to(root).as_posix()
        if name != "." and (INDEX in files or MARKER in files):
            try:
                Device.parse(name)
            except BadName as error:
                found[name] = str(error)
    return dict(sorted(found.items()))


def _look_into(
    name: str,
    entries: list[os.DirEntry[str]],
    found: dict[Device, Stamp],
    waiting: list[str],
) -> None:
    device = Device(name)
    for entry in entries:
        if entry.name == INDEX and name:
            with suppress(FileNotFoundError):  # gone since the folder was read
                seen = entry.stat(follow_symlinks=False)
                found[device] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        elif entry.name == MARKER and name:
            found.setdefault(device, _NO_INDEX)
        elif entry.name not in RESERVED and entry.is_dir(follow_symlinks=False):
            inner = f"{name}/{entry.name}" if name else entry.name
            try:
                waiting.append(Device.parse(inner).name)
            except BadName:
                continue  # no device can lie in it
