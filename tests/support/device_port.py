r"""The device port as the program builds it: `DeviceServer` behind the real `Port` and `Downloads`.

    async with PortServer(tmp_path) as server:
        server.publish(release("lamp", "1.0.0", b"firmware"))
        async with await server.connect() as connection:
            await connection.get("/version?device=lamp")  # by the shortcut

`shortcut=False` leaves all to aiohttp; `routes` are addresses of the test. The clock stands still
but for the test; `server.port_.look` is what the port does every few seconds.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from device_server import Connection, DeviceServer

from otaflux.web.devices.downloads import Downloads
from otaflux.web.observer import Nobody, Polled, Said
from otaflux.web.port.addresses import Addresses, Answers
from otaflux.web.port.server import Port
from otaflux.web.port.tls import Certificate


class Ears(Nobody):
    """Hears what the shortcut answered, and how many requests aiohttp had."""

    def __init__(self) -> None:
        self.devices: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.requests = 0
        self.versions: Counter[Said] = Counter()

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """Add up."""
        for (device, status), count in answered.items():
            self.devices.add(device.name)
            self.statuses[status] += count

    def said(self, versions: Mapping[Said, int]) -> None:
        """Add up."""
        self.versions.update(versions)

    @property
    def answered(self) -> int:
        """How many were not put off."""
        return self.statuses.total() - self.statuses[503]

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count."""
        self.requests += 1


@dataclass
class PortServer(DeviceServer):
    """See the module's docstring."""

    shortcut: bool = True
    places: int = 100
    place_patience: float = 0.05
    certificate: Certificate | None = None
    max_connections: int = 1000
    shutdown_timeout: float = 0.5
    host: str = "127.0.0.1"
    observer: Any = field(default_factory=Ears)
    routes: Sequence[tuple[str, Answers]] = ()

    def __post_init__(self) -> None:
        """Build the parts, as the program does."""
        self.sender = Downloads(
            self.places, patience=self.place_patience, client=self.client, clock=self.tick
        )
        self.secure = self.certificate is not None
        super().__post_init__()
        self.cache = self.side.cache

    def client(self, request: web.BaseRequest) -> str:
        """The address that a request is from."""
        return self.origins.client(request.remote or "", request.headers)

    def tick(self) -> float:
        """The clock, which the base class makes later than the sender."""
        return self.clock()

    async def __aenter__(self) -> Self:
        self.port_ = Port(
            Addresses(self.routes, self.devices.answer),
            self.host,
            0,
            cache=self.cache if self.shortcut else None,
            downloads=self.sender,
            certificate=self.certificate,
            max_connections=self.max_connections,
            shutdown_timeout=self.shutdown_timeout,
            clock=self.clock,
            now=self.now,
        )
        await self.port_.__aenter__()
        self.port = self.port_.port
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.port_.__aexit__(kind, error, traceback)

    def plain_socket(self, *, receive_buffer: int = 0) -> socket.socket:
        """A blocking socket to the port, for clients that read when they please."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.port))
        return sock


@asynccontextmanager
async def place_of(sender: Downloads) -> AsyncIterator[None]:
    """A download place is taken while the context lasts."""
    await sender.take_place()
    try:
        yield
    finally:
        sender.leave_place()


async def ask(connection: Connection, data: bytes) -> bytes:
    """Send bytes; everything that comes back until the server closes."""
    await connection.send(data)
    return await connection.reader.read()
