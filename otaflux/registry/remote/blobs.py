"""One blob of a registry, as a reader for a thread.

A task on the event loop asks for the bytes and hands them on in chunks of at least 256 KiB; the
thread that reads them hashes them, so the loop never does. A body that breaks is gone on with by
`Range`, from the registry's own address each time, for a signed address of object storage may have
expired. A registry that cannot do ranges sends all again, and what was handed out is skipped: the
digest at the end is over what the reader was given.

Trust: the digest comes from a verified manifest and is held against every byte; nothing that the
registry says counts, and a descriptor's `urls` are not looked at. Bytes that have the digest are
the blob: where the manifest's `size` is another the manifest is wrong, which is a verdict, and
where the registry's length is another than the manifest's nobody knows yet, so it is read. In
flight are at most about 2 MiB for each blob.

Source: distribution specification ("Pulling blobs"), RFC 9110, 14.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from yarl import URL

from otaflux.errors import Incomplete, Undecided, Unusable
from otaflux.model.artifact import Descriptor
from otaflux.registry.remote.channel import Chunks
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.pages import oci_codes
from otaflux.registry.remote.requests import MAX_ERROR_BODY, Call, Requests
from otaflux.registry.remote.ways import Scope
from otaflux.registry.source import LONGER, check_size
from otaflux.threads import end

CHUNK = 256 * 1024  # bytes; hashing and unpacking let other threads run for pieces of this size

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")

# What registries say of a blob that is not there; the last is Harbor's.
_MISSING = frozenset(
    {"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"}
)
# What object storage says: S3 and Google, then Azure.
_MISSING_STORED = re.compile(rb"<Code>(?:NoSuchKey|BlobNotFound)</Code>")

_DENIED = frozenset({401, 403})

Sleep = Callable[[float], Awaitable[None]]


class _Wrong(Undecided):
    """The registry's bytes are not the descriptor's: going on would not make them so."""


class RegistryReader:
    """A blob's bytes for one thread; see `otaflux.registry.source.BlobReader`."""

    def __init__(self, channel: Chunks, descriptor: Descriptor) -> None:
        self._channel = channel
        self._descriptor = descriptor
        self._hash = hashlib.new(descriptor.digest.algorithm, usedforsecurity=False)
        self._count = 0

    def read(self) -> bytes:
        """The next bytes; nothing once all were given and size and digest hold. Blocks."""
        chunk = self._channel.get()
        self._hash.update(chunk)
        self._count += len(chunk)
        if not chunk:
            self._check()
        return chunk

    def _check(self) -> None:
        digest = self._descriptor.digest
        if self._hash.hexdigest() != digest.hex:
            raise Undecided(
                f"the registry sent other bytes than {digest}",
                hint="The registry's storage may be damaged: push the release again",
            )
        check_size(self._descriptor, self._count)


@asynccontextmanager
async def open_blob(
    requests: Requests,
    url: URL,
    scope: Scope,
    descriptor: Descriptor,
    *,
    max_bytes: int,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[RegistryReader]:
    """A reader over the blob at `url`; leaving the context ends it and frees its thread.

    Raises `Unusable` for a descriptor above `max_bytes`; all else comes from the reader.
    """
    if descriptor.size > max_bytes:
        raise Unusable(
            f"the blob {descriptor.digest} has {descriptor.size} bytes, and MAX_FIRMWARE_SIZE"
            f" allows {max_bytes}"
        )
    channel = Chunks()
    feed = _Feed(requests, url, scope, descriptor, channel, LONGER * max_bytes, sleep)
    feeding = asyncio.create_task(feed.run())
    try:
        yield RegistryReader(channel, descriptor)
    finally:
        channel.close()
        await end(feeding)


def _nothing(algorithm: str) -> str:
    """The digest of no bytes, which need not be asked for."""
    return hashlib.new(algorithm, usedforsecurity=False).hexdigest()


class _Floor:
    """Whether bytes come fast enough, by the time spent waiting for them."""

    def __init__(self, min_rate: float, window: float) -> None:
        self._min_rate = min_rate
        self._window = window
        self._waited = 0.0
        self._came = 0

    def took(self, size: int, seconds: float) -> None:
        """Count bytes and how long they were waited for; raises `Undecided` where it is slow."""
        self._came += size
        self._waited += seconds
        if self._waited < self._window:
            return
        rate = self._came / self._waited
        if rate < self._min_rate:
            raise Undecided(f"the registry sends only {rate:.0f} bytes a second")
        self._waited, self._came = 0.0, 0


class _Feed:
    """The task that fills one channel."""

    def __init__(
        self,
        requests: Requests,
        url: URL,
        scope: Scope,
        descriptor: Descriptor,
        channel: Chunks,
        max_bytes: int,
        sleep: Sleep,
    ) -> None:
        self._requests = requests
        self._policy = requests.wire.policy
        self._clock = requests.wire.clock
        self._url = url
        self._scope = scope
        self._descriptor = descriptor
        self._channel = channel
        self._max_bytes = max_bytes
        self._sleep = sleep
        self._given = 0  # bytes that went into the channel
        self._size: int | None = None  # what the registry says that it has
        self._ranges = True  # whether the registry has not failed at them yet

    async def run(self) -> None:
        """Give all bytes, or the error that stands in their way."""
        try:
            await self._give_all()
        except Exception as error:  # noqa: BLE001 - whoever waits in the thread has to hear of it
            self._requests.wire.secrets.clean(error)
            self._channel.end(error)
        else:
            self._channel.end()

    async def _give_all(self) -> None:
        """One response after another, as long as there is progress."""
        if self._descriptor.digest.hex == _nothing(self._descriptor.digest.algorithm):
            return
        breaks = in_vain = 0
        while True:
            before = self._given
            broken = await self._give_some()
            if self._has_all(ended_again=broken is None and before == self._given > 0):
                return
            broken = broken or Undecided("the registry's answer ended before the blob did")
            breaks += 1
            in_vain = 0 if self._given > before else in_vain + 1
            if in_vain >= self._policy.attempts or breaks > self._policy.resumes:
                raise broken
            await self._sleep(self._policy.wait(1, self._requests.wire.chance))

    def _has_all(self, *, ended_again: bool) -> bool:
        """Whether all bytes were given, as far as lengths say; their digest is the judge of that.

        Where the registry names no length the manifest's counts, or that an answer ended twice at
        the same byte.
        """
        if self._size is not None:
            return self._given == self._size
        return self._given >= self._descriptor.size or ended_again

    async def _give_some(self) -> Undecided | None:
        """What one response gives; returns why it did not end as it should, if it did not.

        Raises what going on would not mend: no answer after the tries of the policy, no rights, no
        such blob, wrong bytes.
        """
        headers = {}
        if self._given and self._ranges:
            headers["Range"] = f"bytes={self._given}-"
        call = Call("blob", "GET", self._url, self._scope, headers=headers, content_addressed=True)
        async with self._requests.stream(call) as response:
            try:
                skip = await self._begun(response, call)
                with self._requests.wire.sockets.wide(response):
                    await self._pump(response, skip)
            except (_Wrong, Denied):
                raise
            except Undecided as error:
                return error
        return None

    async def _begun(self, response: aiohttp.ClientResponse, call: Call) -> int:
        """How many bytes of a response were handed out before; raises where it is no good."""
        own = self._requests.endpoint.owns(response.url)
        if response.status == HTTPStatus.OK:
            length = response.headers.get("Content-Length", "")
            if length.isdigit():
                self._note_size(int(length[:19]))
            return self._given
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            self._check_range(response)
            return 0
        if (
            response.status == HTTPStatus.NOT_FOUND
            and not self._given
            and await self._is_missing(response)
        ):
            digest = self._descriptor.digest
            raise Incomplete(f"the blob {digest} is missing from the registry: push it again")
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._ranges = False  # its body is not read: its length may be a lie
        if response.status in _DENIED and own:
            await self._requests.check_allowed(response, call)
        where = "the registry" if own else "the storage that the registry redirects to"
        raise Undecided(f"{where} answers {response.status} for a blob")

    async def _is_missing(self, response: aiohttp.ClientResponse) -> bool:
        """Whether a 404 is the registry's word, or its storage's, and not of something between."""
        body = await self._requests.body(response, MAX_ERROR_BODY, self._scope)
        codes = oci_codes(body)
        return (bool(codes) and codes <= _MISSING) or _MISSING_STORED.search(body) is not None

    def _check_range(self, response: aiohttp.ClientResponse) -> None:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        size = self._descriptor.size if self._size is None else self._size
        if match and (int(match[1]), int(match[3])) == (self._given, size):
            return
        self._ranges = False
        raise Undecided("the registry sent another part of the blob than it was asked for")

    def _note_size(self, size: int) -> None:
        """Take a length for the blob's; raises where an earlier answer named another."""
        if self._size is None and self._given <= size <= self._max_bytes:
            self._size = size
        if self._size != size:
            known = self._descriptor.size if self._size is None else self._size
            raise _Wrong(f"the registry's blob has {size} bytes and not {known}")

    async def _pump(self, response: aiohttp.ClientResponse, skip: int) -> None:
        """Hand on a body from its `skip`th byte; what came before it broke is handed on too."""
        floor = _Floor(self._policy.min_rate, self._policy.window)
        pieces: list[bytes] = []
        held = 0
        try:
            while piece := await self._piece(response, floor):
                new = piece[skip:]
                skip -= len(piece) - len(new)
                held += len(new)
                pieces.append(new)
                self._check_room(held)
                if held >= CHUNK:
                    await self._hand_on(pieces)
                    pieces, held = [], 0
        except _Wrong:
            raise
        except Undecided:
            await self._hand_on(pieces)
            raise
        await self._hand_on(pieces)

    def _check_room(self, held: int) -> None:
        most = self._max_bytes if self._size is None else self._size
        if self._given + held > most:
            raise _Wrong(f"the registry sends more bytes than {most}")

    async def _piece(self, response: aiohttp.ClientResponse, floor: _Floor) -> bytes:
        began = self._clock()
        try:
            piece = await response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._requests.broken(error, response.url, self._scope) from None
        floor.took(len(piece), self._clock() - began)
        return piece

    async def _hand_on(self, pieces: list[bytes]) -> None:
        chunk = b"".join(pieces)
        if not chunk:
            return
        await self._channel.put(chunk)
        self._given += len(chunk)
