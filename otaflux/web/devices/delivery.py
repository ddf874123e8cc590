"""Delivering firmware: the one way from a release to its bytes on a connection.

On the event loop. `choose` says which release a download gets, for what is under way holds
together; `send` weighs conditions and ranges, remembers the part, and has the file sent. A protocol
makes a `FirmwareAnswer`, and may change what its answer has, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web
from multidict import MultiMapping

from otaflux.errors import Superseded
from otaflux.machine import Machine
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.catalog import Catalog
from otaflux.state.store import Store
from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.ask import Ask, wants_digest
from otaflux.web.devices.conditions import RangeKind, reach, weigh
from otaflux.web.devices.continuity import (
    Downloader,
    DownloadMemory,
    RememberedDownload,
    Told,
)
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.offer import Offer, Unit, lowers, nothing_in, offer, same_content
from otaflux.web.devices.polls import offered
from otaflux.web.observer import Observer
from otaflux.web.written import Written

_HOLDS_TOGETHER = {RangeKind.HEAD, RangeKind.START, RangeKind.LATER}


class Part(msgspec.Struct, frozen=True):
    """What of a download is asked for: whose, how far, from where, and when it was told if so."""

    downloader: Downloader
    reach: RangeKind
    address: str
    told_at: float | None = None


@dataclass(frozen=True, slots=True)
class FirmwareAnswer:
    """Firmware that is sent as `whole` has it, or the part of it that is asked for.

    `whole` may also be something else than the firmware, and is then all that is sent. `part` is
    None where nothing has to be remembered: of pins and content addresses.
    """

    offer: Offer
    whole: Answer
    part: Part | None = None

    @classmethod
    def of(
        cls,
        offered: Offer,
        part: Part | None = None,
        *,
        immutable: bool = False,
        private: bool = False,
    ) -> FirmwareAnswer:
        """The plain delivery of an offer; `immutable` at the address that names its content.

        `private` where whoever asks there has to prove itself.
        """
        firmware = offered.release.firmware
        whole = answers.firmware(firmware, immutable=immutable, private=private)
        return cls(offered, whole, part)


class Deliveries:
    """Chooses and sends; `memory` is of the downloads that were begun, `observer` hears of ends."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        memory: DownloadMemory,
        downloads: Downloads,
        machine: Machine,
        *,
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._catalog = catalog
        self._store = store
        self._memory = memory
        self._downloads = downloads
        self._clock, self._now = machine.clock, machine.now

    def choose(
        self, record: Record, ask: Ask, told: Told | None, request: web.BaseRequest, address: str
    ) -> FirmwareAnswer:
        """What is delivered to who asks so: pinned, else begun there, else told, else offered.

        `told` is what the connection was told directly before, and `address` where the client is.
        Raises `NotFound` where there is nothing, `Superseded` where a part may belong to the
        release before, `Busy` while nothing may be begun there.
        """
        if told is not None and (
            (told.release.device, told.channel) != (ask.device, ask.channel)
            or record.is_lapsed(told.release)
        ):
            told = None
        if ask.version is not None:
            return FirmwareAnswer.of(offered(record, ask, self._now()))
        if told is not None and told.pinned:
            return FirmwareAnswer.of(_unlowered(record, Offer(told.release, ask.unit)))
        reached = reach(request.headers, head=request.method == "HEAD")
        downloader = Downloader(record.device, ask.channel, ask.unit.name or address)
        part = Part(downloader, reached, address, told.at if told else None)
        found = _unlowered(record, self._begun_or_offered(record, ask, part, told))
        return FirmwareAnswer.of(found, part)

    def _begun_or_offered(self, record: Record, ask: Ask, part: Part, told: Told | None) -> Offer:
        begun = self._memory.release_of(part.downloader) if part.reach in _HOLDS_TOGETHER else None
        if begun is not None:
            return Offer(begun, ask.unit)
        found = offer(record, ask.channel, ask.unit, self._now())
        if part.reach is RangeKind.LATER and found is not None and found.replaced_lately:
            raise Superseded(f"The firmware of device '{record.device}' changed: begin anew")
        if told is not None and part.reach is not RangeKind.LATER:
            return Offer(told.release, ask.unit)
        if found is None:
            raise nothing_in(record, unit=ask.unit)
        return found

    async def send(self, request: web.BaseRequest, delivery: FirmwareAnswer) -> web.StreamResponse:
        """Send what conditions and ranges leave of it. Raises `Busy` where no place gets free."""
        head = request.method == "HEAD"
        release, answer, part = delivery.offer.release, delivery.whole, delivery.part
        if answer.status == HTTPStatus.OK:
            answer = shown(request.headers, delivery, head=head)
        noted = self._note(release, part) if part is not None and answer.span is not None else None
        if head or answer.span is None:
            return Written(answer.without_body() if head else answer)
        with (
            self._store.open(release.firmware.firmware_digest) as opened,
            self._memory.sending(noted),
        ):
            sent = await self._downloads.send(request, answer, opened, answer.span)
        last = answer.span.last + 1 == release.firmware.sums.size
        self._observer.download(release, delivery.offer.unit.name, whole=not sent.is_cut, last=last)
        return sent

    def _note(self, release: Release, part: Part) -> RememberedDownload | None:
        """Have a part remembered that is answered now."""
        downloader = part.downloader
        record, unit = self._catalog.get(release.device), Unit(downloader.who)
        current = offer(record, downloader.channel, unit, self._now())
        is_current = same_content(current.release if current else None, release)
        told_at = self._clock() if part.told_at is None else part.told_at
        return self._memory.note(
            downloader,
            part.reach,
            release,
            replaced=None if is_current else told_at,
            address=part.address,
        )


def shown(headers: MultiMapping[str], delivery: FirmwareAnswer, *, head: bool) -> Answer:
    """What conditions and ranges leave of it, with a digest of the whole if one is wanted."""
    whole = delivery.whole
    if whole.span is not None and wants_digest(headers):
        sums = delivery.offer.release.firmware.sums
        whole = whole.with_headers(answers.repr_digest(sums.sha256))
    return weigh(headers, whole, head=head)


def _unlowered(record: Record, found: Offer) -> Offer:
    """The offer; raises `NotFound` where the unit says that it runs more, and nobody may fall."""
    if lowers(record, found.release, found.unit):
        raise nothing_in(record, unit=found.unit)
    return found
