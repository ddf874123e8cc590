"""Blobs: verified in the stream, gone on with after a break, and never left hanging in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fake_faults import (
    Cut,
    Drip,
    Expired,
    Fault,
    Hang,
    Headers,
    IgnoreRange,
    Lying416,
    Page,
    Redirect,
    Short,
    Status,
    Throttled,
    TooMuch,
    WrongByte,
)
from fake_registry import FakeRegistry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from property_runs import examples
from registry_client import SENSOR, remote

from otaflux.errors import Incomplete, Undecided, Unusable
from otaflux.model.artifact import Descriptor, Digest
from otaflux.registry.remote.blobs import CHUNK
from otaflux.registry.remote.retries import RetryPolicy
from otaflux.registry.remote.source import Remote
from otaflux.registry.source import LONGER, BlobReader

CONTENT = random.Random(1).randbytes(3_000_000)
LIMIT = 10_000_000


def put(registry: FakeRegistry, content: bytes = CONTENT) -> Descriptor:
    """One blob of the sensor, as its manifest would describe it."""
    registry.content.put("acme/sensor", "1.0.0", layers=[content])
    digest = Digest("sha256", hashlib.sha256(content).hexdigest())
    return Descriptor("application/octet-stream", digest, len(content))


def drained(reader: BlobReader, into: list[bytes] | None = None) -> list[bytes]:
    """All chunks, in a thread; `into` has those before an error too."""
    chunks = [] if into is None else into
    while chunk := reader.read():
        chunks.append(chunk)
    assert reader.read() == b""
    return chunks


async def read(client: Remote, blob: Descriptor) -> bytes:
    """A whole blob, or its error."""
    async with client.open_blob(SENSOR, blob, max_bytes=LIMIT) as reader:
        return b"".join(await asyncio.to_thread(drained, reader))


def ranges(registry: FakeRegistry, kind: str = "blob") -> list[str]:
    """The `Range` of each request."""
    return [seen.headers.get("Range", "") for seen in registry.seen(kind)]


async def test_a_blob_is_read_in_large_chunks() -> None:
    """Chunks of 256 KiB and more, and never more than 1 MiB at once."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        async with client.open_blob(SENSOR, blob, max_bytes=LIMIT) as reader:
            chunks = await asyncio.to_thread(drained, reader)
        assert b"".join(chunks) == CONTENT
        assert all(CHUNK <= len(chunk) <= 1 << 20 for chunk in chunks[:-1])
        assert registry.seen("blob")[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("content", [b"", b"x"])
async def test_small_blobs_are_read(content: bytes) -> None:
    """An empty blob costs no request."""
    async with FakeRegistry() as registry, remote(registry) as client:
        assert await read(client, put(registry, content)) == content
        assert len(registry.seen("blob")) == len(content)


async def test_a_sha512_digest_is_checked() -> None:
    """The other algorithm of the specification."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        long = Digest("sha512", hashlib.sha512(CONTENT).hexdigest())
        registry.content.repository("acme/sensor").blobs[str(long)] = CONTENT
        assert await read(client, structs.replace(blob, digest=long)) == CONTENT
        registry.content.repository("acme/sensor").blobs[str(long)] = CONTENT[:-1] + b"!"
        with pytest.raises(Undecided):
            await read(client, structs.replace(blob, digest=long))


async def test_a_blob_above_the_limit_is_not_asked_for() -> None:
    """The descriptor's size is enough for the verdict."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        with pytest.raises(Unusable, match="MAX_FIRMWARE_SIZE"):
            async with client.open_blob(SENSOR, blob, max_bytes=len(CONTENT) - 1):
                pytest.fail("it was opened")
        assert registry.seen("blob") == []


async def test_a_missing_blob_is_incomplete() -> None:
    """404 for a blob that a manifest names: it may still come."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.content.delete_blob("acme/sensor", blob.digest)
        with pytest.raises(Incomplete):
            await read(client, blob)


@pytest.mark.parametrize("code", ["BLOB_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"])
async def test_the_codes_of_a_missing_blob_are_known(code: str) -> None:
    """Registries differ in the word for it."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Status(404, code=code), times=None)
        with pytest.raises(Incomplete):
            await read(client, blob)


@pytest.mark.parametrize("code", ["NoSuchKey", "BlobNotFound"])
async def test_a_blob_that_the_storage_lost_is_incomplete(code: str) -> None:
    """S3 and Azure say in XML that there is no such object."""
    async with FakeRegistry(redirect_blobs=True) as registry, remote(registry) as client:
        blob = put(registry)
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode()
        registry.fail("storage", Status(404, body=body), times=None)
        with pytest.raises(Incomplete):
            await read(client, blob)


@pytest.mark.parametrize("where", ["blob", "storage"])
@pytest.mark.parametrize(
    "fault",
    [
        Status(404, body=b"<html><h1>404 Not Found</h1><hr>nginx"),
        Status(404, body=b""),
        Status(404, code="UNAUTHORIZED"),
    ],
    ids=["a page", "nothing", "another word"],
)
async def test_a_404_of_something_between_is_not_a_missing_blob(where: str, fault: Any) -> None:
    """A proxy that lost its way says nothing of the release: it is tried again."""
    async with (
        FakeRegistry(redirect_blobs=where == "storage") as registry,
        remote(registry) as client,
    ):
        blob = put(registry)
        registry.fail(where, fault, times=None)
        with pytest.raises(Undecided, match="404 for a blob"):
            await read(client, blob)


@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("politely", [False, True])
async def test_a_cut_is_gone_on_with(redirect: bool, politely: bool) -> None:
    """The rest is asked for by `Range`, at the registry's own address again."""
    async with FakeRegistry(redirect_blobs=redirect) as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("storage" if redirect else "blob", Cut(at=1_000_000, politely=politely))
        assert await read(client, blob) == CONTENT
        first, second = ranges(registry)
        assert first == ""
        start = int(second.removeprefix("bytes=").removesuffix("-"))
        assert 0 < start <= 1_000_000


async def test_many_cuts_are_gone_on_with_up_to_a_number() -> None:
    """As long as bytes come it goes on, but not for ever."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Cut(at=300_000), times=5)
        assert await read(client, blob) == CONTENT
        registry.fail("blob", Cut(at=60_000), times=None)
        with pytest.raises(Undecided):
            await read(client, blob)
        assert len(registry.seen("blob")) <= 6 + 11


async def test_a_body_that_ends_early_without_a_length_is_gone_on_with() -> None:
    """A short body that claims to be whole is noticed by its size."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Short(at=1_000_000))
        assert await read(client, blob) == CONTENT
        assert ranges(registry) == ["", "bytes=1000000-"]


async def test_a_registry_that_ignores_ranges_sends_all_again() -> None:
    """With 200 for an answer what was handed out is skipped, and the digest still covers it."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Short(at=1_000_000))
        registry.fail("blob", IgnoreRange(), times=None)
        assert await read(client, blob) == CONTENT


@pytest.mark.parametrize(
    "fault",
    [
        Lying416(),
        Status(416),
        Headers({"Content-Range": "bytes 5-9/10"}),
        Headers({"Content-Range": f"bytes 1000000-2999999/{len(CONTENT) + 1}"}),
        Headers({"Content-Range": "bytes 1000000-2999999/*"}),
        Headers({"Content-Range": "bytes 999999-2999999/3000000"}),
        Headers({"Content-Range": None}),
    ],
    ids=repr,
)
async def test_a_range_that_is_wrong_is_survived(fault: Any) -> None:
    """Another part than asked for, or a 416 that lies about its length: then without ranges."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Short(at=1_000_000))
        registry.fail("blob", fault, when=lambda seen: "Range" in seen.headers)
        assert await read(client, blob) == CONTENT
        assert ranges(registry) == ["", "bytes=1000000-", ""]


async def test_a_206_that_nobody_asked_for_is_not_believed() -> None:
    """A part in place of the whole."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Headers({"Content-Range": "bytes 5-9/10"}, status=206), times=None)
        with pytest.raises(Undecided):
            await read(client, blob)


async def test_a_cut_at_the_last_byte_is_not_asked_beyond() -> None:
    """With every byte here nothing more is asked, for a 416 might lie."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Hang(seconds=30, after=len(CONTENT)), times=None)
        assert await read(client, blob) == CONTENT
        assert ranges(registry) == [""]


async def test_an_expired_address_is_asked_for_again() -> None:
    """Signed addresses last minutes: after 403 from storage the registry gives a new one."""
    async with FakeRegistry(redirect_blobs=True) as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("storage", Cut(at=1_000_000))
        registry.fail("storage", Expired())
        assert await read(client, blob) == CONTENT
        signatures = [seen.query["signature"] for seen in registry.seen("storage")]
        assert len(set(signatures)) == len(signatures) == 3


@pytest.mark.parametrize(
    "fault",
    [
        WrongByte(at=0),
        WrongByte(at=len(CONTENT) - 1),
        TooMuch(extra=1),
        TooMuch(extra=5_000_000),
        Status(200, body=CONTENT[:-1]),
        Status(200, body=CONTENT + b"x"),
        Page(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_nobody_reaches_the_end_of_bad_bytes(fault: Any) -> None:
    """Wrong, too many or too few: the reader raises in place of ending, and nothing is decided."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", fault, times=None)
        got: list[bytes] = []
        async with client.open_blob(SENSOR, blob, max_bytes=LIMIT) as reader:
            with pytest.raises(Undecided):
                await asyncio.to_thread(drained, reader, got)
        assert sum(map(len, got)) <= LONGER * LIMIT


@pytest.mark.parametrize("size", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1, 2 * len(CONTENT)])
@pytest.mark.parametrize("fault", [None, Short(at=len(CONTENT)), Cut(at=1_000_000)], ids=repr)
async def test_bytes_of_the_right_digest_prove_a_manifest_wrong(size: int, fault: Any) -> None:
    """Their size is theirs: it is a verdict, and not the registry's fault, however they came."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        if fault is not None:
            registry.fail("blob", fault)
        with pytest.raises(Unusable, match=f"has {size} bytes, and it has {len(CONTENT)}"):
            await read(client, structs.replace(blob, size=size))


async def test_bytes_of_another_digest_prove_nothing() -> None:
    """A registry that sends a page in place of a blob errs, whatever the manifest says."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Page(), times=None)
        with pytest.raises(Undecided):
            await read(client, structs.replace(blob, size=1))


async def test_a_wrong_start_and_a_right_rest_do_not_pass() -> None:
    """What was handed out before a cut is covered by the digest too."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        damaged = b"!" + CONTENT[1:]
        registry.fail("blob", _Then(damaged, Short(at=1_000_000)))
        with pytest.raises(Undecided):
            await read(client, blob)


class _Then(Fault):
    """Other bytes, sent with a fault."""

    def __init__(self, body: bytes, fault: Fault) -> None:
        self._body, self._fault = body, fault

    async def send(self, request: Any, reply: Any) -> Any:
        """Let the fault send other bytes."""
        return await self._fault.send(request, replace(reply, body=self._body))


@pytest.mark.parametrize(
    "fault",
    [
        Status(500),
        Throttled(30),
        Status(401),
        Status(403),
        Status(400),
        Redirect("http://169.254.169.254/x"),
        Redirect("nonsense://"),
    ],
    ids=repr,
)
async def test_a_registry_that_refuses_is_undecided(fault: Any) -> None:
    """No answer for a blob is no word about it, and costs few requests."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", fault, times=None)
        with pytest.raises(Undecided) as refusal:
            await read(client, blob)
        if isinstance(fault, Throttled):
            assert refusal.value.retry_after == 30
        assert len(registry.seen("blob")) <= 4


async def test_storage_that_is_away_is_not_the_registry() -> None:
    """`Unreachable` is said of the registry, not of where its blobs lie."""
    from otaflux.errors import Unreachable

    async with FakeRegistry(redirect_blobs=True) as registry, remote(registry) as client:
        blob = put(registry)
        await registry.stop("storage")
        with pytest.raises(Undecided) as refusal:
            await read(client, blob)
        assert not isinstance(refusal.value, Unreachable)
        await registry.start("storage")


async def test_a_body_that_hangs_is_broken_off_and_gone_on_with() -> None:
    """No byte for the time of the policy is a break like any other."""
    policy = RetryPolicy(first=0.001, read_timeout=0.2)
    async with FakeRegistry() as registry, remote(registry, policy=policy) as client:
        blob = put(registry)
        registry.fail("blob", Hang(after=1_000_000))
        assert await read(client, blob) == CONTENT
        assert len(ranges(registry)) == 2


async def test_a_drip_is_below_the_floor() -> None:
    """Bytes that come, but too slowly to ever end, are broken off; there is no time in all."""
    policy = RetryPolicy(first=0.001, resumes=1, min_rate=1_000_000, window=0.1)
    async with FakeRegistry() as registry, remote(registry, policy=policy) as client:
        blob = put(registry)
        registry.fail("blob", Drip(size=100, pause=0.005), times=None)
        with pytest.raises(Undecided, match="bytes a second"):
            await read(client, blob)


async def test_a_reader_that_pauses_is_not_below_the_floor() -> None:
    """A disk that stalls for longer than any timeout costs no new request."""
    policy = RetryPolicy(first=0.001, resumes=0, read_timeout=0.2, min_rate=1_000, window=0.1)
    async with FakeRegistry() as registry, remote(registry, policy=policy) as client:
        content = CONTENT * 4  # more than sockets, buffers and the queue take by themselves
        blob = put(registry, content)
        async with client.open_blob(SENSOR, blob, max_bytes=20_000_000) as reader:
            first = await asyncio.to_thread(reader.read)
            await asyncio.sleep(0.6)
            rest = await asyncio.to_thread(drained, reader)
        assert first + b"".join(rest) == content
        assert len(registry.seen("blob")) == 1


async def test_little_is_in_flight_while_nobody_reads() -> None:
    """The registry is not read ahead of the reader by more than 2 MiB."""
    content = bytes(64 << 20)
    counted = _Counting()
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("blob", counted)
        blob = put(registry, content)
        async with client.open_blob(SENSOR, blob, max_bytes=len(content)) as reader:
            await asyncio.to_thread(reader.read)
            await asyncio.sleep(0.3)
            # what the kernel holds for two sockets on loopback comes on top
            assert counted.sent < 16 << 20


class _Counting(Fault):
    """Sends in pieces, and counts what the socket took."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, request: Any, reply: Any) -> Any:
        """Send all, a piece at a time."""
        from aiohttp import web

        response = web.StreamResponse(headers=reply.headers)
        response.content_length = len(reply.body)
        await response.prepare(request)
        for at in range(0, len(reply.body), 1 << 16):
            await response.write(reply.body[at : at + (1 << 16)])
            self.sent += 1 << 16
        return response


@pytest.mark.parametrize("pause", ["before any byte", "in the middle"])
async def test_leaving_frees_a_thread_that_waits(pause: str) -> None:
    """A reader that blocks is woken when its context is left, and raises."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Hang(after=None if pause == "before any byte" else 1_000_000))
        reading = threading.Event()

        def reads(reader: BlobReader) -> None:
            reading.set()
            drained(reader)

        async with client.open_blob(SENSOR, blob, max_bytes=LIMIT) as reader:
            work = asyncio.create_task(asyncio.to_thread(reads, reader))
            await asyncio.to_thread(reading.wait)
            await registry.arrived("blob", 1)
            await asyncio.sleep(0.05)
        with pytest.raises(Undecided):
            await asyncio.wait_for(work, 5)


async def test_leaving_early_leaves_nothing_behind() -> None:
    """Whoever has what it wants goes; no task, no thread and no connection stays."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry, bytes(32 << 20))
        tasks = len(asyncio.all_tasks())
        for _ in range(3):
            async with client.open_blob(SENSOR, blob, max_bytes=32 << 20) as reader:
                assert await asyncio.to_thread(reader.read)
            with pytest.raises(Undecided):
                reader.read()
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert (await client.tags(SENSOR)).tags


async def test_a_cancelled_pull_ends_its_reader() -> None:
    """Cancelling the task around the context ends the thread as well."""
    async with FakeRegistry() as registry, remote(registry) as client:
        blob = put(registry)
        registry.fail("blob", Hang())
        ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        async def pull() -> None:
            async with client.open_blob(SENSOR, blob, max_bytes=LIMIT) as reader:
                work = asyncio.ensure_future(asyncio.to_thread(drained, reader))
                work.add_done_callback(lambda done: ended.set_result(done.exception()))
                await asyncio.shield(work)

        task = asyncio.create_task(pull())
        await registry.arrived("blob", 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await asyncio.wait_for(ended, 5), Undecided)


FAULTS: dict[str, Callable[[int], Fault]] = {
    "cut": lambda at: Cut(at=at % 200_000),
    "short": lambda at: Short(at=at % 200_000),
    "416": lambda _: Status(416),
    "expired": lambda _: Expired(),
    "ignored": lambda _: IgnoreRange(),
    "wrong": lambda at: WrongByte(at=at % 1000),
    "500": lambda _: Status(500),
    "page": lambda _: Page(),
    "hang up": lambda at: Cut(at=0),
}


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 10**6)), max_size=6))
async def test_whatever_goes_wrong_bytes_are_right_or_refused(
    faults: list[tuple[str, int]],
) -> None:
    """Any row of faults, on registry and storage: the whole blob, or `Undecided`."""
    content = CONTENT[:200_000]
    async with FakeRegistry(redirect_blobs=True) as registry, remote(registry) as client:
        blob = put(registry, content)
        for name, at in faults:
            kind = "blob" if name == "500" and at % 2 else "storage"
            registry.fail(kind, FAULTS[name](at))
        with contextlib.suppress(Undecided):
            assert await read(client, blob) == content
