"""A server that is no registry, and hardly one of HTTP: whatever it sends ends as our own error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from property_runs import examples
from registry_client import SENSOR, remote

from otaflux.errors import OtaFluxError, Undecided
from otaflux.model.artifact import Descriptor, Digest
from otaflux.model.names import Tag
from otaflux.registry.remote.retries import RetryPolicy
from otaflux.registry.remote.source import Remote

ONCE = RetryPolicy(attempts=1, resumes=1, first=0.0001, read_timeout=0.3)
BLOB = Descriptor("x/y", Digest("sha256", "ab" * 32), 1000)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = [
    b"",
    b"\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"HTTP/1.1 999 Odd\r\n\r\n",
    b"HTTP/1.1 99999 Odd\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
    OK + b"Content-Length: -5\r\n\r\n",
    OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    OK + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    OK + b"No colon\r\n\r\n",
    OK + b"X: \xff\xfe\x00\r\n\r\n",
    CHUNKED + b"zz\r\n{}\r\n",
    CHUNKED + b"2\r\n{}XX",
    CHUNKED + b"ffffffffffffffffff\r\n{}",
    CHUNKED + b"2\r\n{}\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="http://[::1"\r\n\r\n',
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="\xff"\r\n\r\n',
    b"HTTP/1.1 307 Go\r\nLocation: http://exa mple/\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: \xff\xfe\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: http://xn--\xc3\x28/\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: http://a.b..c/\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: //\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: http://xn--/\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: http://:x@127.0.0.1/\r\n\r\n",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="http://:x@127.0.0.1/"\r\n\r\n',
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="http://xn--/t"\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nLink: <http://xn--/v2/?n=1>; rel="next"\r\n\r\n{"repositories":[]}',
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-999/1000\r\nContent-Length: 9\r\n\r\nx",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nLink: <" + b"(" * 5000 + b'>; rel="next"\r\n\r\n{"tags":[]}',
]


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    """Send these bytes to whoever connects, and hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def ask_everything(client: Remote) -> None:
    """Each method that reads; an error of ours is as good as an answer."""

    async def blob() -> None:
        async with client.open_blob(SENSOR, BLOB, max_bytes=10_000) as reader:
            while await asyncio.to_thread(reader.read):
                pass

    for asked in (
        client.tags(SENSOR),
        client.resolve(SENSOR, Tag("1.0.0")),
        client.resolve(SENSOR, Tag("1.0.0"), known=BLOB.digest),
        client.attached(SENSOR, BLOB.digest),
        client.devices(),
        blob(),
    ):
        with contextlib.suppress(OtaFluxError):
            await asked


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
async def test_known_nonsense_is_refused(answer: bytes) -> None:
    """Other protocols, broken heads, broken chunks, addresses that are none."""
    async with (
        server(answer) as url,
        remote(None, url=url, policy=ONCE, login=("u", "p")) as client,
    ):
        await ask_everything(client)
        with pytest.raises(Undecided):
            await client.resolve(SENSOR, Tag("1.0.0"))


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(
        [b"", OK, CHUNKED, OK + b"\r\n", b"HTTP/1.1 401 No\r\n", b"HTTP/1.1 307 Go\r\n"]
    ),
    st.sampled_from([b"", b"WWW-Authenticate: ", b"Location: ", b"Link: <", b"ETag: "]),
    st.binary(max_size=120),
)
async def test_any_nonsense_is_refused(head: bytes, header: bytes, rest: bytes) -> None:
    """No bytes whatever make anything but this project's own errors."""
    async with (
        server(head + header + rest) as url,
        remote(None, url=url, policy=ONCE, login=("u", "p")) as client,
    ):
        await ask_everything(client)
