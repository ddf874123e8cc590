"""How long the registry may take to answer: no trickle of bytes holds a device for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from fake_faults import Drip
from fake_registry import FakeRegistry
from registry_client import SENSOR, remote
from yarl import URL

from otaflux.errors import Undecided
from otaflux.registry.remote.retries import COMMAND, SERVER, RetryPolicy
from otaflux.registry.remote.wire import Wire

SHORT = RetryPolicy(attempts=1, head_timeout=0.3, body_timeout=0.5)
LONG = 30.0  # seconds in which a test that waits for a limit has to be done

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Talks as it is told to each connection, and knows when the other side hung up."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.url = ""
        self.hung_up = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        """Serve on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking = asyncio.ensure_future(self._talk(reader, writer))
        with suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass
        self.hung_up.set()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        writer.close()


def repeating(first: bytes, again: bytes) -> Talk:
    """Says one thing, and then another one for ever."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0.02)

    return talk


@pytest.mark.parametrize(
    "talk",
    [
        repeating(b"HTTP/1.1 200 OK\r\nX-Pad: ", b"a"),
        repeating(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        repeating(b"", b""),
    ],
    ids=["a byte of the head at a time", "early hints without end", "nothing"],
)
async def test_a_head_that_does_not_end_is_given_up(talk: Talk) -> None:
    """The device is free again, the connection closed, and the reader told which host it was."""
    async with (
        asyncio.timeout(LONG),
        Server(talk).running() as server,
        remote(None, url=server.url, policy=SHORT) as client,
    ):
        with pytest.raises(Undecided, match=r"127\.0\.0\.1:\d+ does not answer in time"):
            await client.tags(SENSOR)
        await server.hung_up.wait()


async def test_a_proxy_that_takes_a_connect_and_says_nothing_is_given_up() -> None:
    """The wait for a proxy is bounded as well, and the message names it."""
    async with (
        asyncio.timeout(LONG),
        Server(repeating(b"", b"")).running() as proxy,
        remote(
            None, url="https://registry.test", policy=SHORT, environ={"HTTPS_PROXY": proxy.url}
        ) as client,
    ):
        with pytest.raises(Undecided, match=r"through the proxy .* does not answer") as refusal:
            await client.tags(SENSOR)
        assert "proxy" in refusal.value.hint
        await proxy.hung_up.wait()


@pytest.mark.parametrize("kind", ["tags", "manifest", "token"])
async def test_a_small_body_that_drips_is_given_up(kind: str) -> None:
    """Tags, manifests and tokens have a time in all, however steadily their bytes come."""
    async with (
        asyncio.timeout(LONG),
        FakeRegistry(auth="bearer") as registry,
        remote(registry, login=("robot", "s3cret"), policy=SHORT) as client,
    ):
        registry.content.put("acme/sensor", "1.0.0", layers=[b"x"])
        registry.fail(kind, Drip(size=1, pause=0.1), times=None, when=lambda s: s.status != 401)
        with pytest.raises(Undecided, match="does not answer in time"):
            await client.resolve(SENSOR, (await client.tags(SENSOR)).tags[0])


async def test_an_upload_may_take_longer_than_an_answer() -> None:
    """The limit moves on with each piece that is sent, and no further once all are."""
    policy = RetryPolicy(attempts=1, head_timeout=2.0)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0.5)
            yield b"x" * 100

    async with FakeRegistry() as registry, Wire("127.0.0.1", policy=policy) as wire:
        endpoint = f"{registry.url}/v2/acme/sensor/blobs/uploads/"
        headers = {"Content-Length": "500"}
        response = await wire.send("push", "POST", URL(endpoint), headers=headers, data=pieces())
        assert response.status < 500
        response.close()


async def test_an_upload_that_nobody_takes_is_given_up() -> None:
    """A server that reads nothing more does not hold `otaflux push` for ever."""
    policy = RetryPolicy(attempts=1, head_timeout=0.3, min_rate=1 << 40)

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    done, closed = asyncio.Event(), asyncio.Event()

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.transport.abort()
        closed.set()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with asyncio.timeout(LONG), server:
        async with Wire("127.0.0.1", policy=policy) as wire:
            with pytest.raises(TimeoutError):
                await wire.send("push", "PUT", URL(address), headers={}, data=pieces())
        done.set()
        await closed.wait()


def test_the_server_gives_up_sooner_than_people_would() -> None:
    """A trickling answer holds a hook's device for less than a minute."""
    assert SERVER.head_timeout < 60
    assert COMMAND.head_timeout < 60
    assert SERVER.head_timeout > SERVER.read_timeout
