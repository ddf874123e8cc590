r"""The device side of OtaFlux on a real socket: real catalog, store and handlers, a queue by hand.

    async with DeviceServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        reply = await server.get("/version?device=lamp")
        assert reply.body == b"1.0.0\n..."

Time stands still but for `server.clock.value += 60`. `server.queue` holds the touches that unknown
devices made until the test ends them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from aiohttp import web

from otaflux.app.edge import DeviceSide, Known
from otaflux.machine import Machine
from otaflux.model.artifact import Digest
from otaflux.model.event import Touch
from otaflux.model.names import STABLE, Device, Namespace, Tag
from otaflux.model.record import Record, Retired, Standing
from otaflux.model.release import Chip, Firmware, Release, Sums
from otaflux.model.version import Version
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.store import Opened, Store
from otaflux.units.units import Units
from otaflux.web.answers import Answer, Span
from otaflux.web.devices.admission import EVERYBODY, Admission
from otaflux.web.devices.ask import Channels
from otaflux.web.observer import Nobody
from otaflux.web.origin import Origins
from otaflux.web.written import Written, rendered
from otaflux.work.outcome import Outcome

EPOCH = 1_800_000_000.0  # the wall clock's start in tests


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    value: float = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.value


def sums(content: bytes) -> Sums:
    """All sums of some bytes."""
    return Sums(
        len(content),
        zlib.crc32(content),
        hashlib.md5(content).hexdigest(),
        hashlib.sha1(content).hexdigest(),
        hashlib.sha256(content).hexdigest(),
    )


def release(
    device: str = "lamp",
    version: str = "1.0.0",
    content: bytes = b"firmware",
    *,
    tag: str | None = None,
    chip: str | None = None,
    summary: str = "",
    page: str = "",
) -> Release:
    """A release of that content; its file is laid down by `DeviceServer.publish`."""
    CONTENTS[hashlib.sha256(content).hexdigest()] = content
    return Release(
        Device.parse(device),
        Tag.parse(tag or version.replace("+", "_")),
        Version.parse(version),
        Digest("sha256", hashlib.sha256(b"manifest" + content).hexdigest()),
        Digest("sha256", hashlib.sha256(b"blob" + content).hexdigest()),
        Firmware(sums(content), Chip(chip) if chip else None),
        summary,
        page,
    )


CONTENTS: dict[str, bytes] = {}


class HandQueue:
    """A work queue whose runs end when the test says so."""

    def __init__(self) -> None:
        self.touches: list[Touch] = []
        self.given_up: list[Device] = []
        self.waiting: dict[Device, asyncio.Future[Outcome]] = {}
        self.touched = asyncio.Event()

    def touch(self, touch: Touch) -> asyncio.Future[Outcome]:
        """Shared by all who touch the device before the run ends."""
        self.touches.append(touch)
        self.touched.set()
        future = self.waiting.get(touch.device)
        if future is None:
            future = self.waiting[touch.device] = asyncio.get_running_loop().create_future()
        return future

    def give_up(self, device: Device) -> None:
        """Nobody waits for that device any more."""
        self.given_up.append(device)
        self.waiting.pop(device).cancel()

    def end(self, device: str, outcome: Outcome) -> None:
        """The run of a device ended so."""
        self.waiting.pop(Device(device)).set_result(outcome)


class PlainSender:
    """Sends a span with plain writes; `full` is the test's to set."""

    def __init__(self) -> None:
        self.full = False
        self.sent = 0

    def puts_off(self) -> bool:
        """Whether all places are taken."""
        return self.full

    async def send(
        self, request: web.BaseRequest, answer: Answer, opened: Opened, span: Span
    ) -> web.StreamResponse:
        """Head and bytes in one write."""
        self.sent += 1
        content = os.pread(opened.fd, span.length, span.start)
        return Written(answer, ready=rendered(answer, request) + content)


@dataclass
class Reply:
    """One answer as it came: status, headers in order, body, and all of it as bytes."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def __getitem__(self, name: str) -> str:
        """A header by its exact name."""
        return dict(self.headers)[name]

    @property
    def names(self) -> list[str]:
        """The headers' names in order."""
        return [name for name, _ in self.headers]


class Connection:
    """One raw connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head: bool = False) -> Reply:
        """The next answer on the connection, by its Content-Length."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        headers = [tuple(line.split(": ", 1)) for line in lines]
        code = int(status.split()[1])
        length = 0 if head or code == 304 else int(dict(headers).get("Content-Length", "0"))
        body = await self.reader.readexactly(length)
        return Reply(code, headers, body, raw + body)

    async def get(
        self, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> Reply:
        """One request kept alive, and its answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: ota\r\n{lines}\r\n".encode())
        return await self.reply(head=method == "HEAD")

    async def is_closed(self) -> bool:
        """Whether the server closes it, with nothing more to read."""
        return await self.reader.read() == b""

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


@dataclass
class DeviceServer:
    """See the module's docstring."""

    folder: Path
    channels: frozenset[str] = frozenset()
    default_channel: str = STABLE
    origins: Origins = field(default_factory=Origins)
    namespace: Namespace = field(default_factory=Namespace)
    patience: float = 0.05
    observer: object = field(default_factory=Nobody)
    sender: Any = field(default_factory=PlainSender)
    secure: bool = False
    most_units: int = 1000
    follows_down: bool = True
    admission: Admission = EVERYBODY
    poll_interval: int = 300

    def __post_init__(self) -> None:
        """Build the parts, as the program does."""
        self.clock = Clock()
        self.machine = Machine(clock=self.clock, now=self.now)
        self.catalog = Catalog(self.folder / "catalog", machine=self.machine)
        self.store = Store(self.folder / "firmware")
        self.store.prepare()
        self.queue = HandQueue()
        self.roster = Roster(self.catalog, machine=self.machine)
        self.units = Units(self.most_units, machine=self.machine)
        self.side = DeviceSide(
            Known(
                catalog=self.catalog,
                store=self.store,
                checksums=Checksums(self.store, machine=self.machine),
                roster=self.roster,
                queue=self.queue,
                namespace=self.namespace,
                channels=Channels(self.channels, self.default_channel),
                machine=self.machine,
                units=self.units,
                follows_down=self.follows_down,
            ),
            self.sender,
            origins=self.origins,
            observer=self.observer,
            secure=self.secure,
            admission=self.admission,
            poll_interval=self.poll_interval,
            patience=self.patience,
        )
        self.memory = self.side.memory
        self.parts = self.side.parts
        self.devices = self.side.devices

    def now(self) -> float:
        """The wall clock, which moves with the other."""
        return EPOCH + self.clock()

    async def __aenter__(self) -> Self:
        server = web.Server(self.devices.answer, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    def publish(
        self,
        current: Release | None,
        *,
        channel: str = STABLE,
        kept: tuple[Release, ...] = (),
        withdrawn: bool = False,
        unsigned: bool = False,
        device: str = "lamp",
    ) -> None:
        """Make a release current, as the reconciler would; what was current is retired."""
        device_ = current.device if current else Device(device)
        before = self.catalog.get(device_) or Record(device_, "test", ever_synced=True)
        was = before.current(channel)
        channels = dict(before.channels)
        channels.pop(channel, None)
        if current is not None:
            channels[channel] = Standing(current, self.now(), replaced_another=was is not None)
        retired = before.retired
        if was is not None and was != current and was not in kept:
            retired += (Retired(was, self.now(), withdrawn=withdrawn, unsigned=unsigned),)
        record = replace(
            before,
            channels=MappingProxyType(channels),
            kept=kept,
            retired=retired,
            ever_synced=True,
        )
        for held in record.held():
            path = self.store.path(held.firmware.firmware_digest)
            path.write_bytes(CONTENTS[held.firmware.sums.sha256])
        self.catalog.load(record)

    async def connect(self) -> Connection:
        """A raw connection."""
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))

    async def raw(self, data: bytes) -> bytes:
        """Everything that comes back for some bytes until the server closes or falls silent."""
        async with await self.connect() as connection:
            await connection.send(data)
            connection.writer.write_eof()
            return await connection.reader.read()

    async def get(
        self, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> Reply:
        """One request on a connection of its own."""
        async with await self.connect() as connection:
            return await connection.get(target, headers, method=method)
