"""One blob of a registry, as a reader for a thread.

A task on the event loop asks for the bytes and hands them on in chunks of at least 256 KiB; the
thread that reads them hashes them, so the loop never does. A body that breaks is gone on with by
`Range`, from the registry's own address each time, for a signed address of object storage may have
expired. A registry that cannot do ranges sends all again, and what was handed out is skipped: the
digest at the end is over what the reader was given.

Trust: size and digest come from a verified manifest and are held against every byte; nothing that
the registry says of them counts, and a descriptor's `urls` are not looked at. In flight are at most
about 2 MiB for each blob.

Source: distribution specification ("Pulling blobs"), RFC 9110, 14.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from otaflux.errors import Incomplete, Undecided, Unusable
from otaflux.model.artifact import Descriptor
from otaflux.registry.remote.auth import Denied, Scope
from otaflux.registry.remote.channel import Channel
from otaflux.registry.remote.pages import oci_codes
from otaflux.registry.remote.requests import MAX_ERROR_BODY, Call, Requests

CHUNK = 256 * 1024  # bytes; hashing and unpacking let other threads run for pieces of this size

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")

# What registries say of a blob that is not there; the last is Harbor's.
_MISSING = frozenset(
    {"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"}
)
# What object storage says: S3 and Google, then Azure.
_MISSING_STORED = re.compile(rb"<Code>(?:NoSuchKey|BlobNotFound)</Code>")

_OK = 200
_PARTIAL = 206
_DENIED = frozenset({401, 403})
_NOT_FOUND = 404
_UNSATISFIABLE = 416

Sleep = Callable[[float], Awaitable[None]]


class _Wrong(Undecided):
    """The registry's bytes are not the descriptor's: going on would not make them so."""


class RegistryReader:
    """A blob's bytes for one thread; see `otaflux.registry.source.BlobReader`."""

    def __init__(self, channel: Channel, descriptor: Descriptor) -> None:
        self._channel = channel
        self._digest = descriptor.digest
        self._hash = hashlib.new(descriptor.digest.algorithm, usedforsecurity=False)
        self._left = descriptor.size

    def read(self) -> bytes:
        """The next bytes; nothing once all were given and size and digest hold. Blocks."""
        chunk = self._channel.get()
        self._hash.update(chunk)
        self._left -= len(chunk)
        if not chunk and (self._left or self._hash.hexdigest() != self._digest.hex):
            raise Undecided(
                f"the registry sent other bytes than {self._digest}",
                hint="the registry's storage may be damaged: push the release again",
            )
        return chunk


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
    channel = Channel()
    feed = asyncio.create_task(_Feed(requests, url, scope, descriptor, channel, sleep).run())
    try:
        yield RegistryReader(channel, descriptor)
    finally:
        channel.close()
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)


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
        channel: Channel,
        sleep: Sleep,
    ) -> None:
        self._requests = requests
        self._policy = requests.wire.policy
        self._clock = requests.wire.clock
        self._url = url
        self._scope = scope
        self._descriptor = descriptor
        self._channel = channel
        self._sleep = sleep
        self._given = 0  # bytes that went into the channel
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
        breaks = in_vain = 0
        while self._given < self._descriptor.size:
            before = self._given
            broken = await self._give_some()
            if self._given == self._descriptor.size:
                return
            breaks += 1
            in_vain = 0 if self._given > before else in_vain + 1
            if in_vain >= self._policy.attempts or breaks > self._policy.resumes:
                raise broken
            await self._sleep(self._policy.wait(1, self._requests.wire.chance))

    async def _give_some(self) -> Undecided:
        """What one response gives; returns why it did not give all.

        Raises what going on would not mend: no answer after the tries of the policy, no rights, no
        such blob, wrong bytes.
        """
        headers = {}
        if self._given and self._ranges:
            headers["Range"] = f"bytes={self._given}-"
        call = Call("blob", "GET", self._url, self._scope, headers=headers, content_addressed=True)
        async with self._requests.stream(call) as response:
            try:
                skip = await self._begun(response)
                await self._pump(response, skip)
            except (_Wrong, Denied):
                raise
            except Undecided as error:
                return error
        return Undecided("the registry's answer ended before the blob did")

    async def _begun(self, response: aiohttp.ClientResponse) -> int:
        """How many bytes of a response were handed out before; raises where it is no good."""
        size = self._descriptor.size
        own = self._requests.endpoint.owns(response.url)
        if response.status == _OK:
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length[:19]) != size:
                raise _Wrong(f"the registry's blob has {length[:19]} bytes and not {size}")
            return self._given
        if response.status == _PARTIAL:
            self._check_range(response)
            return 0
        if response.status == _NOT_FOUND and not self._given and await self._is_missing(response):
            digest = self._descriptor.digest
            raise Incomplete(f"the blob {digest} is missing from the registry: push it again")
        if response.status == _UNSATISFIABLE:
            self._ranges = False  # its body is not read: its length may be a lie
        if response.status in _DENIED and own:
            await self._requests.check_allowed(response, self._scope)
        where = "the registry" if own else "the storage that the registry redirects to"
        raise Undecided(f"{where} answers {response.status} for a blob")

    async def _is_missing(self, response: aiohttp.ClientResponse) -> bool:
        """Whether a 404 is the registry's word, or its storage's, and not of something between."""
        body = await self._requests.body(response, MAX_ERROR_BODY, self._scope)
        codes = oci_codes(body)
        return (bool(codes) and codes <= _MISSING) or _MISSING_STORED.search(body) is not None

    def _check_range(self, response: aiohttp.ClientResponse) -> None:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match and (int(match[1]), int(match[3])) == (self._given, self._descriptor.size):
            return
        self._ranges = False
        raise Undecided("the registry sent another part of the blob than it was asked for")

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
        if self._given + held > self._descriptor.size:
            raise _Wrong(f"the registry sends more bytes than {self._descriptor.size}")

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
