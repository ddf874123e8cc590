"""The few methods that every place of releases has.

`remote` asks a registry over HTTP, `layout` reads the embedded folder. Whoever uses a source
does not know which it is. Coroutines run on the event loop and never block it; the reader of a blob
blocks, and is for a thread.

Errors, of every method: `Undecided` (or `Unreachable`) where nothing was learnt; `Unusable` where
verified bytes are no manifest that OtaFlux can read; `Incomplete` where a blob is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from otaflux.errors import Unusable
from otaflux.model.artifact import Artifact, Descriptor, Digest, Gone, Listing
from otaflux.model.names import Device, Tag

LONGER = 4  # times `max_bytes` that are read of a blob that is longer than its manifest says


class Unchanged(msgspec.Struct, frozen=True):
    """The tag still resolves to the digest that the caller knows."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be pushed as a layer: `title` is the name that others will see."""

    path: Path
    title: str
    media_type: str


class Attached(msgspec.Struct, frozen=True):
    """What is to be attached to a manifest: bytes, what they are, and annotations about them."""

    content: bytes
    media_type: str
    annotations: Mapping[str, str]


Attach = Callable[[Digest], Attached]  # from a manifest's digest to what is attached to it


class BlobReader(Protocol):
    """A blob's bytes for a thread, checked on the way: nobody reaches the end of bad ones."""

    def read(self) -> bytes:
        """The next bytes, at most 1 MiB; empty once all were given and size and digest hold.

        Blocks. Raises `Undecided` where the source failed or the bytes do not match their digest,
        `Incomplete` where the blob is missing.
        """
        ...


def check_size(descriptor: Descriptor, size: int) -> None:
    """Hold a blob's size, whose digest was found right, against what its manifest says.

    Raises `Unusable` where they differ: the bytes are the truth, so the manifest is wrong for good.
    """
    if size != descriptor.size:
        raise Unusable(
            f"the manifest says that its blob {descriptor.digest} has {descriptor.size} bytes, and"
            f" it has {size}: push it again with a tool that writes the right size"
        )


class Source(Protocol):
    """A place of releases."""

    @property
    def name(self) -> str:
        """What the catalog writes down of it: an URL without credentials, or `embedded`."""
        ...

    @property
    def is_authoritative(self) -> bool:
        """Whether one look is enough to say that a tag, or a whole device, is gone.

        True for the embedded folder, which is whole or not readable. A registry may be in the
        middle of being restored, and lists whole what is not all there yet: False.
        """
        ...

    async def ping(self) -> None:
        """Ask for nothing but an answer; raises `Undecided` where there is none, or a refusal."""
        ...

    async def devices(self) -> frozenset[Device] | None:
        """The devices that its listing names; None where it has none or refuses to list."""
        ...

    async def tags(self, device: Device) -> Listing:
        """All tags of a device, read whole, or `Undecided`."""
        ...

    async def resolve(
        self, device: Device, reference: Tag | Digest, *, known: Digest | None = None
    ) -> Artifact | Unchanged | Gone:
        """What a tag or digest stands for, its own digest computed over the bytes.

        With `known`, returns `Unchanged` where the reference still resolves to it, for one small
        request where the source allows.
        """
        ...

    def open_blob(
        self, device: Device, descriptor: Descriptor, *, max_bytes: int
    ) -> AbstractAsyncContextManager[BlobReader]:
        """A reader over one blob; leaving the context ends it, whatever its thread is doing.

        Raises `Unusable` where the descriptor's size is above `max_bytes`.
        """
        ...

    async def attached(self, device: Device, digest: Digest) -> tuple[Descriptor, ...]:
        """What is listed as being about `digest` (referrers API, else the fallback tag).

        Likely signatures first, at most `MOST_ATTACHED`. A listing claims anything: whoever uses it
        holds it against the `subject` of each manifest.
        """
        ...

    async def push(
        self,
        device: Device,
        tag: Tag,
        files: Sequence[File],
        *,
        annotations: Mapping[str, str],
        force: bool,
        progress: Callable[[int], None] = lambda _: None,
        attach: Attach | None = None,
    ) -> Digest:
        """Push files as one artifact, the tag last; returns the manifest's digest.

        The same files under the same tag change nothing and give the same digest. `progress` hears
        of each number of bytes that went. What `attach` makes of the digest, such as a signature,
        is attached to it before the tag is there. Raises `Refused` where the tag is taken by other
        bytes and `force` is false.
        """
        ...


class Changeable(Source, Protocol):
    """A source as commands have it: releases can be taken back there. The server never does."""

    async def beginnings(self) -> frozenset[str]:
        """What repositories begin with, under the prefix or not; empty where none are listed."""
        ...

    async def delete(self, device: Device, tag: Tag) -> str:
        """Take one tag back, and no other one with it; returns the digest it stood for, as text.

        Raises `NotFound` where it is not there, `Refused` where others would go with it, and
        `Undecided` where the source does not delete; the message says what to set.
        """
        ...
