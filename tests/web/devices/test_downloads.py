"""Firmware goes out whole, to so many at once, and who takes nothing for minutes is dropped."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest
from device_port import PortServer
from device_server import Connection, release
from structlog.testing import capture_logs
from waiting import until

from otaflux.errors import Busy
from otaflux.web.devices.downloads import GIVES_WAY, Downloads
from otaflux.web.devices.sending import QUEUE, SLOW_AFTER, SLOWEST, STALLED
from otaflux.web.origin import Origins

BIG = os.urandom(1 << 20) * 16  # more than all buffers between here and a reader take
GET = b"GET /firmware?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n"

Serve = Callable[..., PortServer]


@pytest.fixture(params=[True, False], ids=["at once", "by aiohttp"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    """A server that sends plain downloads before aiohttp, and one that does not."""
    return partial(PortServer, tmp_path, shortcut=request.param)


async def test_a_download_is_the_file(serve: Serve) -> None:
    """All bytes arrive, in order, and the connection goes on."""
    async with serve() as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", BIG))
        for _ in range(2):
            assert (await connection.get("/firmware?device=lamp")).body == BIG
        assert server.sender.finished == 2
        assert server.sender.under_way == 0


async def test_each_range_is_its_part_of_the_file(serve: Serve) -> None:
    """Many at once read one descriptor at their own offsets."""
    async with serve() as server:
        server.publish(release("lamp", "1.0.0", BIG))

        async def part(first: int, last: int) -> None:
            reply = await server.get("/firmware?device=lamp", {"Range": f"bytes={first}-{last}"})
            assert reply.status == 206
            assert reply.body == BIG[first : last + 1]

        spans = [(0, 0), (5, 70_000), (1 << 20, 9 << 20), (3, len(BIG) - 1), (len(BIG) - 1,) * 2]
        await asyncio.gather(*(part(*span) for span in spans * 4))


async def test_a_file_that_is_unlinked_meanwhile_is_sent_whole(serve: Serve) -> None:
    """A release that is replaced and swept takes nothing from a download under way."""
    async with serve() as server, await server.connect() as connection:
        old = release("lamp", "1.0.0", BIG)
        server.publish(old)
        await connection.send(GET)
        await connection.reader.readuntil(b"\r\n\r\n")
        server.store.path(old.firmware.firmware_digest).unlink()
        server.publish(release("lamp", "1.1.0", b"new"))
        assert await connection.reader.readexactly(len(BIG)) == BIG


class Holder:
    """Holds a place until it is told to leave."""

    def __init__(self, sender: Downloads) -> None:
        self._sender = sender
        self._leave = asyncio.Event()
        self.has = False
        self.refused: Busy | None = None

    async def come(self) -> None:
        """Wait for a place, and keep it."""
        try:
            await self._sender.take_place()
        except Busy as error:
            self.refused = error
            return
        self.has = True
        try:
            await self._leave.wait()
        finally:
            self._sender.leave_place()

    def leave(self) -> None:
        """Give it back."""
        self._leave.set()


async def test_places_are_given_in_the_order_of_coming() -> None:
    """Who waits longest gets the next place, and nobody in line is passed by who comes later."""
    sender = Downloads(2, patience=5)
    holders = [Holder(sender) for _ in range(6)]
    async with asyncio.TaskGroup() as group:
        for holder in holders:
            group.create_task(holder.come())
        await until(lambda: sender.waiting == 4)
        for turn, holder in enumerate(holders):
            assert sender.full == (turn < 5)
            assert [each.has for each in holders] == [n < turn + 2 for n in range(6)]
            holder.leave()
            await until(lambda n=turn: holders[n + 2].has if n < 4 else not sender.full)
    assert not sender.full


async def test_a_place_that_does_not_come_is_refused_with_a_time_to_come_again() -> None:
    """Patience ends with 503's error, and takes nothing from those still in line."""
    sender = Downloads(1, patience=0.02)
    first, second = Holder(sender), Holder(sender)
    async with asyncio.TaskGroup() as group:
        group.create_task(first.come())
        await until(lambda: first.has)
        await second.come()
        assert second.refused is not None
        assert second.refused.retry_after == 10
        assert sender.waiting == 0
        first.leave()
    third = Holder(sender)
    third.leave()
    await third.come()
    assert third.has


async def test_a_client_that_goes_while_it_waits_takes_no_place() -> None:
    """Cancelled in line, or in the very step in which its turn came, it leaves the place free."""
    sender = Downloads(1, patience=5)
    for in_the_same_step in (False, True):
        first, second = Holder(sender), Holder(sender)
        held = asyncio.create_task(first.come())
        await until(lambda first=first: first.has)
        waits = asyncio.create_task(second.come())
        await until(lambda: sender.waiting == 1)
        if in_the_same_step:
            first.leave()
            await held
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        first.leave()
        await held
        assert not sender.full


async def test_firmware_waits_for_a_place_and_then_is_refused(serve: Serve) -> None:
    """With no place free `/firmware` waits; one that gets free is used, else it is 503."""
    async with serve(places=1, place_patience=0.3) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        holder = Holder(server.sender)
        held = asyncio.create_task(holder.come())
        await until(lambda: holder.has)
        reply = await server.get("/firmware?device=lamp")
        assert (reply.status, reply["Retry-After"]) == (503, "10")
        for free in ({"Range": "bytes=99-"}, {"If-None-Match": "*"}):
            assert (await server.get("/firmware?device=lamp", free)).status in {416, 304}
        assert (await server.get("/firmware?device=lamp", method="HEAD")).status == 200
        waits = asyncio.create_task(server.get("/firmware?device=lamp"))
        await until(lambda: server.sender.waiting == 1)
        holder.leave()
        assert (await waits).body == b"firmware"
        await held


async def test_a_client_that_hangs_up_is_no_error(serve: Serve) -> None:
    """Half-way, in a reset, or at once: the place is free again, and nothing is logged."""
    async with serve() as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with capture_logs() as logs:
            for number in range(6):
                sock = server.plain_socket()
                sock.send(GET)
                if number % 3 != 2:
                    await until(lambda: server.sender.under_way == 1)
                if number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
                await until(lambda: server.sender.under_way == 0 and server.port_.connections == 0)
        assert server.sender.broken_off >= 4
        assert logs == []


async def test_who_closes_only_the_sending_side_gets_all(serve: Serve) -> None:
    """A client that says that it asks nothing more still gets what it asked for."""
    async with serve() as server:
        server.publish(release("lamp", "1.0.0", BIG))
        assert (await server.raw(GET)).endswith(BIG)
        await until(lambda: server.port_.connections == 0)


def queued(port: int) -> int:
    """Bytes in the kernel's send queue of the server's one connection (proc(5), net/tcp)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if int(local.split(":")[1], 16) == port and state == "01":
            return int(queues.split(":")[0], 16)
    return 0


async def test_the_kernel_holds_little_for_who_takes_nothing(serve: Serve) -> None:
    """What the send queue holds counts as taken, so it is kept near 256 KiB."""
    async with serve() as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with server.plain_socket(receive_buffer=4096) as sock:
            sock.send(GET)
            await until(lambda: queued(server.port) >= QUEUE)
            await asyncio.sleep(0.05)
            assert queued(server.port) < 2 * QUEUE


async def test_who_takes_nothing_for_five_minutes_is_dropped(serve: Serve) -> None:
    """A stalled reader keeps its place for 5 minutes since it took the last bytes, no longer."""
    async with serve(places=1) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with server.plain_socket(receive_buffer=4096) as sock:
            sock.send(GET)
            await until(lambda: queued(server.port) >= QUEUE)
            server.clock.value += STALLED - 1
            server.port_.look()
            await asyncio.to_thread(take, sock, 4000)  # less may open no window
            await asyncio.sleep(0.05)
            server.port_.look()
            server.clock.value += STALLED - 1
            server.port_.look()
            assert server.sender.full
            server.clock.value += 1
            with capture_logs() as logs:
                server.port_.look()
            await until(lambda: not server.sender.full)
            assert server.sender.broken_off == 1
            assert [(line["event"], line["client"]) for line in logs] == [
                ("download_dropped", "127.0.0.1")
            ]
            with pytest.raises(OSError, match=r"reset|short"):
                await asyncio.to_thread(take, sock, len(BIG))


async def test_a_stalled_reader_gives_way_to_who_waits(serve: Serve) -> None:
    """After 30 s without taking a byte its place is another's; one that takes keeps it."""
    async with serve(places=2, place_patience=3) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with server.plain_socket(receive_buffer=4096) as stalls, server.plain_socket() as takes:
            for sock in (stalls, takes):
                sock.send(GET)
            await until(lambda: server.sender.under_way == 2)
            await asyncio.sleep(0.1)
            server.port_.look()
            server.clock.value += GIVES_WAY
            await asyncio.to_thread(take, takes, 1 << 20)
            await asyncio.sleep(0.05)
            with capture_logs() as logs:
                reply = await server.get("/firmware?device=lamp")
            assert reply.status == 200
            assert [line["event"] for line in logs] == ["download_dropped"]
            assert server.sender.broken_off == 1
            await asyncio.to_thread(take, takes, len(BIG) - (1 << 20))


async def test_a_poll_that_was_put_off_wants_a_place(serve: Serve) -> None:
    """One stalled reader gives way for each poll that is told to come again, none without any."""
    async with serve(places=3) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with ExitStack() as stack:
            for _ in range(3):
                sock = stack.enter_context(server.plain_socket(receive_buffer=4096))
                sock.send(GET)
            await until(lambda: server.sender.under_way == 3)
            await asyncio.sleep(0.1)
            server.port_.look()
            server.clock.value += GIVES_WAY
            server.sender.make_way()
            assert server.sender.full
            for target in ("/version?device=lamp", "/version?device=lamp&unit=b"):
                assert (await server.get(target)).status == 503
            server.sender.make_way()
            await until(lambda: server.sender.under_way == 1)
            assert (await server.get("/version?device=lamp")).status == 200


async def test_the_address_that_holds_most_gives_way_first(serve: Serve) -> None:
    """Behind a trusted proxy, clients are told apart by the address that it forwards."""
    origins = Origins(trusted=(ip_network("127.0.0.0/8"),))
    async with serve(places=6, place_patience=3, origins=origins) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with ExitStack() as stack:
            for client in (1, 2, 2, 3, 2, 2):
                sock = stack.enter_context(server.plain_socket(receive_buffer=4096))
                head = b"\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % client
                sock.send(GET.replace(b"\r\n\r\n", head))
                server.clock.value += 1
            await until(lambda: server.sender.under_way == 6)
            await asyncio.sleep(0.1)
            server.port_.look()
            server.clock.value += GIVES_WAY
            with capture_logs() as logs:
                for _ in range(3):
                    server.clock.value += 1
                    assert (await server.get("/firmware?device=lamp")).status == 200
                    stack.enter_context(server.plain_socket(receive_buffer=4096)).send(GET)
                    await until(lambda: server.sender.full)
            assert [line["client"] for line in logs] == ["192.0.2.2"] * 3


async def test_who_was_quick_and_then_stalls_is_dropped_too(serve: Serve) -> None:
    """A connection that took one download at once is held to the same five minutes in its next."""
    async with serve(places=1) as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with server.plain_socket() as sock:
            sock.sendall(GET)
            await asyncio.to_thread(take, sock, len(BIG))
            await asyncio.to_thread(sock.recv, 4096)  # the head's length is the rest
            sock.sendall(GET)
            await until(lambda: server.sender.full and server.sender.finished == 1)
            await asyncio.sleep(0.1)
            server.port_.look()
            server.clock.value += STALLED - 1
            server.port_.look()
            assert server.sender.full
            server.clock.value += 1
            server.port_.look()
            await until(lambda: not server.sender.full)


async def test_who_is_slower_than_512_bytes_a_second_is_dropped(serve: Serve) -> None:
    """A reader that never stalls, but would hold its place for hours, is dropped for its pace."""
    async with serve() as server:
        server.publish(release("lamp", "1.0.0", BIG))
        with server.plain_socket(receive_buffer=4096) as slow, server.plain_socket() as good:
            slow.send(GET)
            good.send(GET)
            began = server.clock.value
            await until(lambda: server.sender.under_way == 2)
            await asyncio.sleep(0.05)
            while server.sender.under_way == 2:
                passed = server.clock.value - began
                assert passed < 20 * SLOW_AFTER
                server.clock.value += STALLED - 5
                # A wake of the kernel comes every 128 KiB, so this is one.
                await asyncio.to_thread(take, slow, 131_072)
                await asyncio.to_thread(take, good, 200_000)
                await asyncio.sleep(0.02)
                server.port_.look()
                await asyncio.sleep(0)
            assert server.clock.value - began >= SLOW_AFTER
            assert server.clock.value - began >= 131_072 / SLOWEST
            with pytest.raises(OSError, match=r"reset|short"):
                await asyncio.to_thread(take, slow, len(BIG))
            await asyncio.to_thread(take, good, 100_000)


def take(sock: socket.socket, size: int) -> None:
    """Read that many bytes; blocks. Raises `OSError` where fewer come."""
    while size > 0:
        data = sock.recv(min(size, 65536))
        if not data:
            raise OSError("short")
        size -= len(data)


async def test_a_file_that_lost_its_end_breaks_the_download_off(serve: Serve) -> None:
    """Where the disk has less than was promised the connection ends; it does not hang."""
    async with serve() as server, await server.connect() as connection:
        lamp = release("lamp", "1.0.0", b"x" * 100_000)
        server.publish(lamp)
        os.truncate(server.store.path(lamp.firmware.firmware_digest), 50_000)
        with capture_logs() as logs:
            await connection.send(GET)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await connection.reader.readexactly(100_400)
        assert [line["event"] for line in logs] == ["request_failed"]
        assert server.sender.broken_off == 1


async def test_a_download_behind_unread_answers_keeps_its_order(serve: Serve) -> None:
    """A client that asks much at once and reads late gets every answer whole and in order."""
    async with serve() as server, await server.connect() as connection:
        server.publish(release("lamp", "1.0.0", BIG))
        poll = b"GET /version?device=lamp&unit=1 HTTP/1.1\r\nHost: ota\r\n\r\n"
        await connection.send((poll * 40 + GET) * 2)
        await asyncio.sleep(0.05)
        for _ in range(2):
            for _ in range(40):
                assert (await reply(connection)).startswith(b"1.0.0\n")
            assert await reply(connection) == BIG


async def reply(connection: Connection) -> bytes:
    """The next answer's body."""
    return (await connection.reply()).body
