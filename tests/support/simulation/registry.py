"""Registries in memory that are slow, fail, and list what was true some time ago.

What `resolve` answers is true at the time; a listing may be `staleness` seconds old. They remember
what was ever pushed; `account` has what they answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from functools import cached_property

from otaflux.errors import Incomplete, Undecided, Unreachable, Unusable, Withheld
from otaflux.model.artifact import (
    NO_ANNOTATIONS,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    REFERENCE_TYPE,
    TITLE,
    Artifact,
    Descriptor,
    Digest,
    Gone,
    Index,
    Listing,
    Manifest,
    Platform,
)
from otaflux.model.names import Device, Tag
from otaflux.registry.source import BlobReader, File, Unchanged
from simulation.account import Account
from simulation.signatures import Attachments

MAX_FIRMWARE = 4096


class Shape(Enum):
    """How a push is made: a plain manifest, an index with an attestation, or nothing to serve."""

    PLAIN = auto()
    INDEX = auto()
    BAD = auto()


class Content:
    """What one push carries; `good` says that it is firmware which can be served."""

    def __init__(
        self, number: int, shape: Shape, annotations: Mapping[str, str] = NO_ANNOTATIONS
    ) -> None:
        self.number = number
        self._annotations = annotations
        self.shape = shape
        self.good = shape is not Shape.BAD
        self.data = f"firmware {number}".encode() * 4

    def __str__(self) -> str:
        return f"content {self.number} ({self.shape.name}, {str(self.firmware_digest)[7:15]})"

    @cached_property
    def firmware_digest(self) -> Digest:
        """The digest of the bytes that devices get."""
        return _digest(self.data)

    @cached_property
    def manifest(self) -> Manifest:
        """Firmware in one layer, or no layer at all."""
        layer = Descriptor(
            "application/octet-stream",
            self.firmware_digest,
            len(self.data),
            annotations={TITLE: "firmware.bin"},
        )
        return Manifest(
            _digest(f"manifest {self.number}".encode()),
            100,
            OCI_MANIFEST,
            "application/x",
            Descriptor(OCI_EMPTY, _digest(b"{}"), 2),
            (layer,) if self.good else (),
            annotations=self._annotations,
        )

    @cached_property
    def top(self) -> Artifact:
        """What the tag stands for."""
        if self.shape is not Shape.INDEX:
            return self.manifest
        attestation = Descriptor(
            OCI_MANIFEST,
            _digest(f"attestation {self.number}".encode()),
            100,
            annotations={REFERENCE_TYPE: "attestation-manifest"},
            platform=Platform("unknown", "unknown"),
        )
        child = Descriptor(OCI_MANIFEST, self.manifest.digest, 100)
        digest = _digest(f"index {self.number}".encode())
        return Index(digest, 200, OCI_INDEX, (attestation, child))


def _digest(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())


class SimulatedRegistry:
    """See `otaflux.registry.source.Source`."""

    name = "https://registry.example"
    is_authoritative = False
    is_cache = False  # it says itself that it only caches another

    def __init__(
        self, devices: Sequence[Device], chance: random.Random, clock: Callable[[], float]
    ) -> None:
        self._chance = chance
        self._clock = clock
        self.account = Account(clock)
        self.signatures = Attachments()
        self.note: Callable[..., None] = lambda *_: None  # hears what is changed and answered
        self.tags_of: dict[Device, dict[Tag, Content]] = {device: {} for device in devices}
        self._listings: dict[Device, list[tuple[float, tuple[Tag, ...]]]] = {
            device: [(0.0, ())] for device in devices
        }
        self.pushed: set[tuple[Device, Tag, Digest, Digest]] = set()
        self.contents: dict[Digest, Content] = {}
        self._blobs: dict[Digest, Content] = {}
        self.missing_blobs: set[Digest] = set()
        self._hidden: dict[tuple[Device, Tag | Digest], float] = {}  # until when
        self.unknown: set[Device] = set()  # their repositories
        self.withheld: set[tuple[Device, Tag | Digest]] = set()
        self.unclear: set[Tag] = set()  # answered with an error, for ever
        self.flawed: set[Tag] = set()  # verified bytes that are no manifest
        self.manifests = 0  # that were given out, and not only asked about
        self.trouble = 0.0
        self.slowness = 0.0
        self.staleness = 0.0
        self.stale_for: float | None = None  # seconds, where each listing is as old as that
        self.away = False

    def put(self, device: Device, tag: Tag, content: Content) -> None:
        """Somebody pushes, or moves a tag."""
        self.note("pushed {}:{} = {}", device, tag, content)
        self.tags_of[device][tag] = content
        self.contents[content.top.digest] = content
        self._blobs[content.firmware_digest] = content
        self.pushed.add((device, tag, content.top.digest, content.firmware_digest))
        self._changed(device)

    def delete(self, device: Device, tag: Tag) -> None:
        """Somebody deletes a tag."""
        self.note("deleted {}:{}", device, tag)
        self.tags_of[device].pop(tag, None)
        self._changed(device)

    def hide(self, device: Device, tag: Tag, seconds: float) -> None:
        """The registry has all but this tag for a while: it is being restored, or it is a cache."""
        if not self.is_authoritative:
            self.note("hidden for {} s: {}:{}", seconds, device, tag)
            self._hidden[device, tag] = self._clock() + seconds

    def not_know(self, device: Device) -> None:
        """The registry does not know the repository, until `show_all`."""
        if not self.is_authoritative:
            self.note("the repository is not known: {}", device)
            self.unknown.add(device)

    def show_all(self) -> None:
        """What was hidden is there again."""
        self.note("nothing is hidden any more")
        self._hidden.clear()
        self.unknown.clear()

    def _is_hidden(self, device: Device, tag: Tag | Digest) -> bool:
        return self._clock() < self._hidden.get((device, tag), 0.0)

    def pushed_as(self, device: Device, tags: Collection[Tag]) -> list[Content]:
        """All that one of these tags ever stood for."""
        return [
            self.contents[manifest]
            for pushed_to, tag, manifest, _ in self.pushed
            if pushed_to == device and tag in tags
        ]

    def stamps(self) -> Mapping[Device, object]:
        """How often each device was changed, as the embedded folder would tell."""
        return {device: len(changes) for device, changes in self._listings.items()}

    def _changed(self, device: Device) -> None:
        self._listings[device].append((self._clock(), tuple(self.tags_of[device])))

    async def _answer(self) -> None:
        """Take some time, and perhaps fail."""
        await asyncio.sleep(self._chance.random() * self.slowness)
        if self.away:
            raise Unreachable("no answer")
        if self._chance.random() < self.trouble:
            raise self._chance.choice(
                [Undecided("500"), Undecided("429", retry_after=20.0), Unreachable("reset")]
            )

    async def ping(self) -> None:
        """See `Source`."""
        await self._answer()

    async def devices(self) -> frozenset[Device] | None:
        """See `Source`."""
        await self._answer()
        return frozenset(device for device in self.tags_of if self._was_pushed(device))

    def _was_pushed(self, device: Device) -> bool:
        return len(self._listings[device]) > 1

    async def tags(self, device: Device) -> Listing:
        """See `Source`; the listing may come from a replica that is behind, in any order."""
        await self._answer()
        if device in self.unknown or not self._was_pushed(device):
            self.account.not_known(device)
            return Listing((), repository_known=False)
        age = self._chance.choice([0.0, self.staleness])
        seen = self._clock() - (age if self.stale_for is None else self.stale_for)
        listed = [tags for at, tags in self._listings[device] if at <= seen][-1]
        tags = [tag for tag in listed if not self._is_hidden(device, tag)]
        self.note("{} is listed as {}", device, _Tags(tags))
        self.account.listed(device, tags)
        return Listing(tuple(self._chance.sample(tags, len(tags))), is_cache=self.is_cache)

    async def resolve(
        self, device: Device, reference: Tag | Digest, *, known: Digest | None = None
    ) -> Artifact | Unchanged | Gone:
        """See `Source`."""
        await self._answer()
        if (device, reference) in self.withheld and not self._is_hidden(device, reference):
            self.note("{}:{} is asked for, and withheld by a policy", device, reference)
            raise Withheld("412: a policy of the project withholds it")
        if device in self.unknown:
            raise Undecided("404: the repository is not known")
        if reference in self.unclear:
            raise Undecided(f"404 for {reference}, in no known words")
        if reference in self.flawed:
            raise Unusable("it has layers and manifests", digest=f"sha256:{'f' * 64}")
        if isinstance(reference, Tag):
            content = self.tags_of[device].get(reference)
            there = content is not None and not self._is_hidden(device, reference)
            answer = content.top if content and there else None
            self.account.resolved(device, reference, is_there=there)
        else:
            answer = self._by_digest(device, reference)
        self.note("{}:{} is asked for, and is {}", device, reference, answer and answer.digest)
        if answer is None:
            return Gone()
        if known == answer.digest:
            return Unchanged()
        self.manifests += 1
        return answer

    def _by_digest(self, device: Device, digest: Digest) -> Artifact | None:
        for content in self.tags_of[device].values():
            for artifact in (content.top, content.manifest):
                if artifact.digest == digest:
                    return artifact
        return self.signatures.manifest(digest)

    @asynccontextmanager
    async def open_blob(
        self, device: Device, descriptor: Descriptor, *, max_bytes: int
    ) -> AsyncIterator[BlobReader]:
        """See `Source`."""
        await self._answer()
        if descriptor.digest in self.missing_blobs:
            raise Incomplete("the blob is missing")
        data = self.signatures.blob(descriptor.digest) or self._blobs[descriptor.digest].data
        yield _Reader(data, cut=self._chance.random() < self.trouble)

    async def attached(self, device: Device, digest: Digest) -> tuple[Descriptor, ...]:
        """See `Source`."""
        await self._answer()
        return self.signatures.about(digest)

    async def push(
        self,
        device: Device,
        tag: Tag,
        files: Sequence[File],
        *,
        annotations: Mapping[str, str],
        force: bool,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Digest:
        """See `Source`; nobody pushes through it here."""
        raise NotImplementedError


class SimulatedFolder(SimulatedRegistry):
    """The embedded folder: its listing is true, and one look is enough; it may be unreadable."""

    name = "embedded"
    is_authoritative = True

    async def tags(self, device: Device) -> Listing:
        """See `Source`."""
        self.staleness = 0.0
        return await super().tags(device)


class _Tags:
    """Tags in few words, put together only where somebody reads them."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._tags = tags

    def __str__(self) -> str:
        return f"[{', '.join(tag.text for tag in self._tags)}]"


class _Reader:
    def __init__(self, data: bytes, *, cut: bool) -> None:
        half = len(data) // 2
        self._pieces = [data[:half], data[half:], b""]
        self._cut = cut

    def read(self) -> bytes:
        if self._cut and len(self._pieces) < 3:
            raise Undecided("the body was cut")
        return self._pieces.pop(0)
