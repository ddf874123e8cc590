"""A release: firmware that lies on disk, and everything that devices are told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from otaflux.model.artifact import Digest
from otaflux.model.image import PLAIN, Image
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version


@lru_cache(maxsize=1024)
def _sha256(digits: str) -> Digest:
    """One value for the same digits: it is asked for wherever a file is named."""
    return Digest("sha256", digits)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over one file's bytes: `size` in bytes, `crc32` as zlib has it, the others in hex.

    MD5 and SHA-1 of a large file are computed after its release is told, and are None until then;
    they follow from the bytes, so that sums without them are the same.
    """

    size: int
    crc32: int
    md5: str | None = field(compare=False)
    sha1: str | None = field(compare=False)
    sha256: str

    @property
    def is_complete(self) -> bool:
        """Whether no sum is missing."""
        return self.md5 is not None and self.sha1 is not None

    def slow(self) -> tuple[str, str]:
        """MD5 and SHA-1, for an answer that names them; to be asked of complete sums only."""
        if self.md5 is None or self.sha1 is None:
            raise RuntimeError(f"MD5 and SHA-1 of {self.sha256} are not computed yet")
        return self.md5, self.sha1

    @property
    def digest(self) -> Digest:
        """The file's own digest, which names it in the store."""
        return _sha256(self.sha256)


@dataclass(frozen=True, slots=True)
class Chip:
    """What an ESP image says of itself: chip family ("ESP32-S3"), version and project name.

    `version` and `project` are empty where the image has no application description.
    """

    family: str
    version: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class Firmware:
    """One unpacked file: its sums, its chip where the image says one, and what it is by its bytes.

    `image` is None where nobody looked yet: in records that OtaFlux wrote before it did. It follows
    from the bytes, so that firmware that is looked into later is the same.
    """

    sums: Sums
    chip: Chip | None = None
    image: Image | None = field(default=None, compare=False)

    @property
    def firmware_digest(self) -> Digest:
        """The digest of the bytes that devices get; not the blob's, which may be packed."""
        return self.sums.digest

    @property
    def extension(self) -> str:
        """How the file is called where clients go by that: `.swu`, `.raucb` or `.bin`."""
        return (self.image or PLAIN).kind.extension


@dataclass(frozen=True, slots=True)
class Release:
    """One tag of one device, resolved, checked, unpacked and on disk.

    `manifest_digest` is what the tag resolved to (an index's own digest, where it is one);
    `blob_digest` is the layer's, as pushed. `summary` and `page` are the annotations
    `description` and `url`, empty where there are none. `warnings` are sentences for people.
    """

    device: Device
    tag: Tag
    version: Version
    manifest_digest: Digest
    blob_digest: Digest
    firmware: Firmware
    summary: str = ""
    page: str = ""
    warnings: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Of what tells releases apart: all sums of each would be hashed for every set of them."""
        return hash((self.tag.text, self.manifest_digest.hex))

    @property
    def file_name(self) -> str:
        """What clients call the file that go by names: `lamp.bin` of the device `acme/lamp`."""
        return self.device.name.rpartition("/")[2] + self.firmware.extension

    @property
    def file_name_with_version(self) -> str:
        """The same for those who look for the version in it: `lamp_1.4.0.bin`."""
        last = self.device.name.rpartition("/")[2]
        return f"{last}_{self.version}{self.firmware.extension}"

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts releases of a device: version, then build identifiers, then the tag's text."""
        return (*self.version.key, self.tag.text)
