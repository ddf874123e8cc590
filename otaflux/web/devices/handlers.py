"""What devices ask over HTTP: for each address the order of the rooms, and nothing else.

On the event loop; a request touches memory, one open descriptor, and the work queue where a device
is not known yet. An answer is a value until it is sent; what went wrong becomes one in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, assert_never

from aiohttp import web

from otaflux.errors import NotFound, Superseded
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.catalog import Catalog
from otaflux.state.store import Opened, Store
from otaflux.web import answers
from otaflux.web.answers import Answer, Span
from otaflux.web.devices.ask import Address, Ask, parse
from otaflux.web.devices.conditions import RangeKind, reach, weigh
from otaflux.web.devices.continuity import (
    Downloader,
    DownloadMemory,
    LastTold,
    Told,
    replaced_lately,
    same_content,
    standing_for,
)
from otaflux.web.devices.firstlooks import FirstLooks, nothing_for
from otaflux.web.devices.polls import digested, gives_way, release_for, version_answer
from otaflux.web.devices.protocols import arduino, esphome
from otaflux.web.observer import Observer
from otaflux.web.origin import Origins
from otaflux.web.refusals import refuse
from otaflux.web.written import Written

ADDRESSES = ("/version", "/firmware", "/health", "/esphome")  # what theirs begin with

_REMEMBERED = {RangeKind.HEAD, RangeKind.START, RangeKind.LATER}


class Downloads(Protocol):
    """Sends firmware to many at once."""

    @property
    def full(self) -> bool:
        """Whether all download places are taken."""
        ...

    async def send(
        self, request: web.BaseRequest, answer: Answer, opened: Opened, span: Span
    ) -> web.StreamResponse:
        """Send an answer's head and the bytes of `span`, once there is a place.

        Raises `Busy` where none gets free soon enough.
        """
        ...


class Devices:
    """The addresses for devices; `answer` handles any request that is for nobody else.

    `connections` is shared with the shortcut, `downloads` hears of changed records. `channels` are
    those served besides the stable one.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        store: Store,
        newcomers: FirstLooks,
        sender: Downloads,
        connections: LastTold,
        downloads: DownloadMemory,
        origins: Origins,
        observer: Observer,
        channels: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._newcomers = newcomers
        self._sender = sender
        self._connections = connections
        self._downloads = downloads
        self._origins = origins
        self._observer = observer
        self._channels = channels
        self._clock = clock
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Every address that is nobody else's; to be added last."""
        return [web.route("*", "/{rest:.*}", self.answer, expect_handler=_no_continue)]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        began = self._clock()
        room = "other"
        transport = request.transport
        told = self._connections.follow(transport) if transport else None
        response: web.StreamResponse
        try:
            ask = parse(request.method, request.raw_path, request.headers, channels=self._channels)
            room = ask.address.value
            response = await self._answered(request, ask, told)
        except ConnectionError:
            raise  # the client is gone: nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            response = Written(_for(request, refuse(error)))
        self._observer.request(room, request.method, response.status, self._clock() - began)
        return response

    async def _answered(
        self, request: web.BaseRequest, ask: Ask, told: Told | None
    ) -> web.StreamResponse:
        match ask.address:
            case Address.HEALTH:
                whole = answers.health()
                return Written(_for(request, weigh(request.headers, whole, head=ask.head)))
            case Address.VERSION:
                return Written(_for(request, await self._version(request, ask)))
            case Address.ESPHOME:
                release = release_for(await self._record(_named(ask)), ask)
                whole = digested(ask, esphome.manifest(release, self._origins.public_url))
                return Written(_for(request, weigh(request.headers, whole, head=ask.head)))
            case Address.FIRMWARE:
                return await self._firmware(request, ask, told)
            case Address.CONTENT:
                return await self._content(request, ask)
            case _:
                assert_never(ask.address)

    async def _record(self, device: Device) -> Record:
        self._observer.lookup(hit=self._newcomers.ready_record(device) is not None)
        record = await self._newcomers.record(device)
        self._observer.poll(device)
        return record

    async def _version(self, request: web.BaseRequest, ask: Ask) -> Answer:
        release = release_for(await self._record(_named(ask)), ask)
        answer = version_answer(release, ask, request.headers, lambda: self._origin(request))
        if self._sender.full and gives_way(ask, answer):
            return answers.busy()
        if request.transport and not ask.head and not self._shared(request, ask):
            self._connections.tell(
                request.transport, release, channel=ask.channel, pinned=ask.version is not None
            )
        return answer

    async def _firmware(
        self, request: web.BaseRequest, ask: Ask, told: Told | None
    ) -> web.StreamResponse:
        record = await self._record(_named(ask))
        if told and (
            (told.release.device, told.channel) != (ask.device, ask.channel)
            or self._shared(request, ask)
        ):
            told = None
        if ask.version is not None:
            return await self._send(request, ask, release_for(record, ask))
        if told is not None and told.pinned:
            return await self._send(request, ask, told.release)
        who = ask.unit or self._origins.client(request.remote or "", request.headers)
        downloader = Downloader(record.device, ask.channel, who)
        reached = reach(request.headers, head=ask.head)
        release = self._begun_or_current(record, downloader, reached, told)
        return await self._send(request, ask, release, downloader, reached, told)

    def _begun_or_current(
        self, record: Record, downloader: Downloader, reached: RangeKind, told: Told | None
    ) -> Release:
        """The release of a download that is under way there, else told, else current.

        Raises `Superseded` where a part is asked for that may belong to the release before.
        """
        begun = self._downloads.release_of(downloader) if reached in _REMEMBERED else None
        if begun is not None:
            return begun
        standing = standing_for(record, downloader.channel)
        if (
            reached is RangeKind.LATER
            and standing is not None
            and replaced_lately(record, standing, self._now())
        ):
            raise Superseded(f"The firmware of device '{record.device}' changed: begin anew")
        if told is not None and reached is not RangeKind.LATER:
            return told.release
        if standing is None:
            raise nothing_for(record.device)
        return standing.release

    async def _content(self, request: web.BaseRequest, ask: Ask) -> web.StreamResponse:
        release = self._catalog.by_digest(ask.digest) if ask.digest else None
        if release is None:
            raise NotFound("No firmware has that content")
        return await self._send(request, ask, release)

    async def _send(
        self,
        request: web.BaseRequest,
        ask: Ask,
        release: Release,
        downloader: Downloader | None = None,
        reached: RangeKind = RangeKind.WHOLE,
        told: Told | None = None,
    ) -> web.StreamResponse:
        """Weigh the conditions and send what they leave of a release's firmware."""
        whole = answers.firmware(release.firmware, immutable=ask.address is Address.CONTENT)
        if ask.wants_digest:
            whole = whole.with_headers(answers.repr_digest(release.firmware.sums.sha256))
        running = arduino.read(request.headers) if ask.address is Address.FIRMWARE else None
        if running is not None:
            whole = arduino.answer(running, release, whole)
        answer = weigh(request.headers, whole, head=ask.head) if whole.status == 200 else whole  # noqa: PLR2004 - HTTP's OK
        if downloader is not None and answer.span is not None:
            current = standing_for(self._catalog.get(release.device), downloader.channel)
            is_current = same_content(current.release if current else None, release)
            stopped = None if is_current else told.at if told else self._clock()
            self._downloads.note(downloader, reached, release, replaced=stopped)
        if ask.head or answer.span is None:
            return Written(_for(request, answer))
        with self._store.open(release.firmware.firmware_digest) as opened:
            if downloader is None:
                return await self._sender.send(request, answer, opened, answer.span)
            with self._downloads.sending(downloader, release):
                return await self._sender.send(request, answer, opened, answer.span)

    def _shared(self, request: web.BaseRequest, ask: Ask) -> bool:
        """Whether many clients may share the connection."""
        return ask.proxied or self._origins.trusts(request.remote or "")

    def _origin(self, request: web.BaseRequest) -> str:
        transport = request.transport
        name = transport.get_extra_info("sockname") if transport else None
        host, port = name[:2] if isinstance(name, tuple) else ("localhost", 80)
        return self._origins.url(
            request.remote or "",
            request.headers,
            secure=request.secure,
            local=f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}",
        )


def _named(ask: Ask) -> Device:
    if ask.device is None:
        raise NotFound("Nothing is at this address")
    return ask.device


def _for(request: web.BaseRequest, answer: Answer) -> Answer:
    """The answer as this method gets it."""
    return answer.without_body() if request.method == "HEAD" else answer


async def _no_continue(request: web.BaseRequest) -> None:
    """Answer an `Expect` with the answer itself: no body of these requests is read."""
