"""Whole downloads that are sent in the step in which they are asked for, before aiohttp.

What is sent here is what nearly all boards ask: all of what their device is told, without a
condition, a range or a name. Such a request is read once, as the handlers read it, and remembered
like a poll; whatever else comes, or comes while no place is free or after another release was told,
goes to the handlers. Both ways send the same bytes, and leave the same behind.

On the event loop. Never over TLS, which has no `sendfile` here, and never for trusted proxies.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Hashable
from enum import Enum
from http import HTTPStatus

from aiohttp.http import RawRequestMessage

from otaflux.errors import Undecided
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.state.store import Opened, Store
from otaflux.web.answers import http_date
from otaflux.web.devices.ask import Channels, read
from otaflux.web.devices.conditions import RangeKind, reach
from otaflux.web.devices.continuity import Downloader, DownloadMemory, WhileSending
from otaflux.web.devices.delivery import FirmwareAnswer, shown
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.offer import NOBODY
from otaflux.web.devices.polls import offered
from otaflux.web.devices.protocols import plain
from otaflux.web.devices.protocols.table import find
from otaflux.web.devices.sending import Sending, report
from otaflux.web.observer import Observer
from otaflux.web.port.cachedanswer import CachedDownload
from otaflux.web.target import Target


class Departure(Enum):
    """What became of a download in the step in which it was asked for.

    `NOT_HERE` was not begun, and is the handlers'. One that `LASTS` is told of when it ends.
    """

    NOT_HERE = "not here"
    WHOLE = "whole"
    LASTS = "lasts"
    BROKEN = "broken"


class PlainDownloads:
    """Reads and sends them; what they leave behind is `memory`'s, `downloads`' and `observer`'s."""

    def __init__(
        self,
        *,
        store: Store,
        memory: DownloadMemory,
        downloads: Downloads,
        observer: Observer,
        channels: Channels,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._channels = channels
        self._now = now
        self.memory = memory
        self.downloads = downloads
        self.observer = observer
        self.clock = clock

    def read(
        self,
        message: RawRequestMessage,
        *,
        ready_record: Callable[[Device], Record | None],
        is_proven: Callable[[RawRequestMessage], bool],
    ) -> CachedDownload | None:
        """A whole request as one for all of a device's firmware; None where it is none.

        Raises `Refused` as the handlers do.
        """
        target, headers = Target.parse(message.path), message.headers
        route, named = find(target.path, headers)
        if route.handle is not plain.firmware or message.method != "GET":
            return None
        ask = read(target, headers, device=named.get("device", ""), channels=self._channels)
        if ask.unit != NOBODY or ask.proxied or not is_proven(message):
            return None
        record = ready_record(ask.device)
        if record is None or reach(headers, head=False) is not RangeKind.WHOLE:
            return None
        found = offered(record, ask, self._now())
        answer = shown(headers, FirmwareAnswer.of(found), head=False)
        if answer.status != HTTPStatus.OK or answer.span is None:
            return None
        ends = bool(message.should_close)
        ready = answer.ready(keep_alive=not ends)
        return CachedDownload(
            ask, route.name, found.release, answer.span, ready.before, ready.after, ends
        )

    def send(
        self,
        known: CachedDownload,
        wire: socket.socket,
        *,
        connection: Hashable,
        client: str,
        abort: Callable[[], object],
        ended: Callable[[Departure], object],
    ) -> Departure:
        """Send all of it, or what the kernel has room for, to the address `client`.

        Nothing may wait to be sent on `wire`. `connection` is what it may come again by, `abort`
        ends it. `ended` hears how one that lasts ends: `WHOLE` or `BROKEN`.
        """
        try:
            opened = self._store.open(known.release.firmware.firmware_digest)
        except Undecided:
            return Departure.NOT_HERE
        if not self.downloads.take_free_place():
            opened.close()
            return Departure.NOT_HERE
        sending = self.downloads.sending(
            connection, wire, opened.fd, known.span, client=client, abort=abort
        )
        download = _Download(self, known, opened, sending, connection=connection, ended=ended)
        return download.start(client, http_date(int(self._now())))


class _Download:
    """One that has its place."""

    __slots__ = (
        *("_began", "_connection", "_ended", "_known", "_opened", "_parts", "_remembered"),
        "_sending",
    )

    def __init__(
        self,
        parts: PlainDownloads,
        known: CachedDownload,
        opened: Opened,
        sending: Sending,
        *,
        connection: Hashable,
        ended: Callable[[Departure], object],
    ) -> None:
        self._parts = parts
        self._known = known
        self._sending = sending
        self._connection = connection
        self._ended = ended
        self._began = parts.clock()
        self._opened = opened
        self._remembered: WhileSending | None = None

    def start(self, client: str, date: bytes) -> Departure:
        """Send what goes at once."""
        known, parts, sending = self._known, self._parts, self._sending
        try:
            whole = sending.start(b"".join((known.before, date, known.after)))
        except BlockingIOError:
            self._opened.close()
            parts.downloads.leave_place()
            return Departure.NOT_HERE
        except OSError as error:
            self._remember(client)
            self._over(error)
            return Departure.BROKEN
        self._remember(client)
        if whole:
            self._over(None)
            return Departure.WHOLE
        try:
            sending.go_on(self._end)
        except OSError as error:
            self._over(error)
            return Departure.BROKEN
        parts.downloads.watch(self._connection, sending)
        return Departure.LASTS

    def _remember(self, client: str) -> None:
        """That it was begun, as all of what the device is told now; of pins nothing is."""
        ask, parts = self._known.ask, self._parts
        parts.observer.lookup(ask.device, hit=True)
        parts.observer.poll(ask.device, "")
        if ask.version is None:
            downloader, release = Downloader(ask.device, ask.channel, client), self._known.release
            noted = parts.memory.note(
                downloader, RangeKind.WHOLE, release, replaced=None, address=client
            )
            self._remembered = parts.memory.sending(noted)

    def _end(self, error: OSError | None) -> None:
        self._over(error)
        self._ended(Departure.WHOLE if error is None else Departure.BROKEN)

    def _over(self, error: OSError | None) -> None:
        whole, parts, known = error is None, self._parts, self._known
        if error is not None:
            report(error)
        self._opened.close()
        if self._remembered is not None:
            self._remembered.close()
        parts.downloads.end(self._connection, self._sending, whole=whole)
        parts.observer.download(known.release, "", whole=whole, last=True)
        seconds = parts.clock() - self._began
        parts.observer.request(known.name, "GET", HTTPStatus.OK.value, seconds)
