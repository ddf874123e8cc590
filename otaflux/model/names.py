"""Names of devices, repositories, tags and channels, and the rule from one to the other.

The grammar is that of the OCI distribution specification ("Pulling manifests", `<name>` and
`<reference>`). A name is parsed once, where it comes in; past that it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import msgspec

from otaflux.errors import BadName

MAX_DEVICE = 200  # characters of a device's name
MAX_REPOSITORY = 255  # characters; many registries refuse more
MAX_TAG = 128  # characters, from the distribution specification

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{MAX_TAG - 1}}}")
_ATTACHMENT = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")
_CHANNEL = re.compile(r"[0-9A-Za-z-]{1,64}")


class Device(msgspec.Struct, frozen=True, order=True, gc=False):
    """What runs the same firmware: 1 to 200 characters of the OCI grammar, `/` allowed."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read a device's name; raises `BadName` saying what is wrong with it."""
        return _device(text)

    @classmethod
    def read(cls, text: str) -> Device:
        """As `parse`, for less where very many are read, each once."""
        _check_device(text)
        return cls(text)

    def __str__(self) -> str:
        return self.name


@lru_cache(maxsize=1024)
def _device(text: str) -> Device:
    """One value for the same name: a table that has it finds it without comparing names."""
    return Device.read(text)


def _check_device(text: str) -> None:
    if len(text) > MAX_DEVICE:
        raise BadName(f"A device's name has at most {MAX_DEVICE} characters, not {len(text)}")
    if not _NAME.fullmatch(text):
        raise BadName(
            "A device's name is lower-case letters and digits, joined by '.', '_', '-' or '/'"
        )


class Repository(msgspec.Struct, frozen=True, order=True, gc=False):
    """A repository of a registry, whole: prefix and device."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read a repository's name; raises `BadName` where the OCI grammar has no such name."""
        if len(text) > MAX_REPOSITORY or not _NAME.fullmatch(text):
            raise BadName("this cannot be the name of a repository")
        return cls(text)

    def __str__(self) -> str:
        return self.name


class Tag(msgspec.Struct, frozen=True, order=True, gc=False):
    """A tag, as the registry has it: case and a leading `v` are kept."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Tag:
        """Read a tag; raises `BadName` where the OCI grammar has no such tag."""
        if not can_be_tag(text):
            raise BadName("this cannot be a tag")
        return cls(text)

    @property
    def is_attachment(self) -> bool:
        """Whether it is one that tools make for what belongs to a manifest, such as a signature.

        cosign's tags (`sha256-….sig`), and the referrers tag schema of the distribution
        specification, which shortens a long algorithm's digest to 64 characters.
        """
        return _ATTACHMENT.fullmatch(self.text) is not None

    def __str__(self) -> str:
        return self.text


def can_be_tag(text: str) -> bool:
    """Whether `Tag.parse` would read it, for less than a `Tag` costs: of very many, say."""
    return _TAG.fullmatch(text) is not None


class Ranked(Protocol):
    """What a channel asks of a version: its first pre-release identifier, empty for a stable one.

    `Version` has it, and so has `Rank`, which is cheaper.
    """

    @property
    def pre_release(self) -> str:
        """See the class."""
        ...


class Channel(str):
    """Which versions count: `stable`, or the first identifier of pre-releases that count besides.

    A text with one more question to it, as queries, settings and records on disk have it.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Channel:
        """Read a channel's name, which is a SemVer pre-release identifier; raises `BadName`."""
        if not _CHANNEL.fullmatch(text):
            raise BadName("A channel's name is letters, digits and '-', 64 at most")
        return cls(text)

    def takes(self, version: Ranked) -> bool:
        """Whether a version counts here: each stable one does, and pre-releases of this name.

        `1.0.0-stable.1` is a pre-release, and of no channel that there can be.
        """
        return not version.pre_release or (self != STABLE and version.pre_release == self)


STABLE = Channel("stable")


def is_told(version: Ranked, channels: Iterable[Channel]) -> bool:
    """Whether a version counts in the stable channel, or in one of `channels`."""
    return STABLE.takes(version) or any(channel.takes(version) for channel in channels)


def _never() -> bool:
    return False


class NotServed(BadName):
    """A repository or device that this server leaves alone; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """The one rule from repository to device, and whether it is served.

    `prefix` is without its last `/`, and empty where repositories are devices. `is_closed` says
    whether only `devices` are served now: with credentials and no prefix, everything that the
    credentials can read would be public otherwise, and credentials may come while the server runs.
    """

    prefix: str = ""
    devices: frozenset[Device] = frozenset()
    is_closed: Callable[[], bool] = field(default=_never, compare=False)

    @classmethod
    def of(
        cls,
        prefix: str,
        devices: frozenset[Device],
        *,
        credentials: Callable[[], bool] = _never,
    ) -> Namespace:
        """The rule for a `REPOSITORY_PREFIX` as written; `/` alone serves every repository.

        `credentials` says whether there are any now. Raises `BadName` where the prefix cannot be
        one.
        """
        bare = prefix.strip("/")
        if bare:
            Repository.parse(bare)
        return cls(bare, devices, _never if prefix.strip() else credentials)

    @property
    def listed(self) -> bool:
        """Whether the registry is asked what lies there: only under a prefix."""
        return bool(self.prefix)

    def repository(self, device: Device) -> Repository:
        """Where a device's releases lie; raises `NotServed` for one that is not served."""
        if not self.serves(device):
            raise NotServed(
                f"device '{device}' is not in DEVICES, and with credentials and no"
                " REPOSITORY_PREFIX nothing else is served"
            )
        return Repository(f"{self.prefix}/{device}" if self.prefix else device.name)

    def serves(self, device: Device) -> bool:
        """Whether a device's releases are served at all."""
        return device in self.devices or not self.is_closed()

    def device(self, repository: str) -> Device:
        """The device of a repository; raises `NotServed` or `BadName` with the reason."""
        if self.prefix and not repository.startswith(self.prefix + "/"):
            raise NotServed(f"not under REPOSITORY_PREFIX '{self.prefix}'")
        device = Device.parse(repository[len(self.prefix) + 1 :] if self.prefix else repository)
        self.repository(device)
        return device
