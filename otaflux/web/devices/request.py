"""One request of a device, and what may be asked to answer it.

What a protocol's handler is given. On the event loop: finding a record may wait for the first look
at its device, and sums that a protocol names for their computation; everything else is memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import msgspec
from aiohttp import web
from multidict import MultiMapping

from otaflux.errors import NothingHigher
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.model.release import Firmware, Release
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.state.store import Store
from otaflux.units.seen import Protocol
from otaflux.units.units import Units
from otaflux.web.answers import Answer, content_path
from otaflux.web.devices.admission import EVERYBODY, Admission, Admitted
from otaflux.web.devices.ask import ONLY_STABLE, Ask, Channels, read
from otaflux.web.devices.continuity import DownloadMemory, LastTold, Told
from otaflux.web.devices.delivery import Deliveries, FirmwareAnswer
from otaflux.web.devices.downloads import Downloads
from otaflux.web.devices.firstlooks import FirstLooks
from otaflux.web.devices.longpolls import LongPolls
from otaflux.web.devices.offer import Offer, Unit
from otaflux.web.devices.parameters import unit_named
from otaflux.web.devices.polls import judged, offered
from otaflux.web.devices.zigbeefiles import ZigbeeFiles
from otaflux.web.observer import Observer
from otaflux.web.origin import Origins, reached
from otaflux.web.target import Target

POLL_INTERVAL = 300  # seconds, where nobody says otherwise

Reply = Answer | FirmwareAnswer
Handle = Callable[["DeviceRequest"], Awaitable[Reply]]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What answers to devices are made from.

    `last_told` is shared with the request cache; `last_told`, `memory` and `first_looks` hear of
    changed records. `channels` are those that polls may name, `units` is who was heard of,
    `zigbee` what the index of Zigbee files lists. `poll_interval` is how many seconds clients that
    ask for it are told to wait between polls.
    """

    catalog: Catalog
    store: Store
    checksums: Checksums
    first_looks: FirstLooks
    downloads: Downloads
    last_told: LastTold
    memory: DownloadMemory
    origins: Origins
    observer: Observer
    units: Units
    zigbee: ZigbeeFiles
    channels: Channels = ONLY_STABLE
    admission: Admission = EVERYBODY
    long_polls: LongPolls = msgspec.field(default_factory=LongPolls)
    machine: Machine = REAL_MACHINE
    poll_interval: int = POLL_INTERVAL


class DeviceRequest(msgspec.Struct, frozen=True):
    """See the module's docstring.

    `proof` is how it may ask at all, and `certified_unit` the unit that its certificate names.
    `named` holds what the address names, such as `device`; `told` is what `/version` told on this
    connection directly before. `protocol` is what the client speaks.
    """

    raw: web.BaseRequest
    target: Target
    named: Mapping[str, str]
    told: Told | None
    parts: Parts
    deliveries: Deliveries
    proof: Admitted = Admitted.NOTHING
    certified_unit: str = ""
    protocol: Protocol = Protocol.HTTP

    @property
    def headers(self) -> MultiMapping[str]:
        """The request's headers, whose names have no case."""
        return self.raw.headers

    @property
    def is_head(self) -> bool:
        """Whether the headers alone are asked for."""
        return self.raw.method == "HEAD"

    @property
    def public_url(self) -> str | None:
        """What links carry, where that is set."""
        return self.parts.origins.public_url

    def ask(self) -> Ask:
        """What is asked about a device; raises `BadName` where a name cannot be one."""
        named = self.named.get("device", "")
        ask = read(self.target, self.headers, device=named, channels=self.parts.channels)
        if not self.certified_unit:
            return ask
        unit = msgspec.structs.replace(ask.unit, name=self.certified_unit)
        return msgspec.structs.replace(ask, unit=unit)

    def unit_name(self, said: str) -> str:
        """The unit that asks: the one of its certificate, else what it says, where it can be one.

        One that cannot be a unit's name is empty, and is answered all the same.
        """
        return self.certified_unit or unit_named(said)

    def signed(self, path: str) -> str:
        """A path as a link in the answer carries it: signed, where this request proved itself."""
        proven = self.proof in {Admitted.TOKEN, Admitted.CERTIFICATE}
        return self.parts.admission.signed(path) if proven else path

    async def record(self, device: Device, runs: str = "") -> Record:
        """What is known of a device, after its first look where nothing was.

        `runs` is the version that the unit says it runs.
        Raises `NotFound` for one that does not exist, `Busy` where its look takes long.
        """
        looks, observer = self.parts.first_looks, self.parts.observer
        ready = looks.ready_record(device)
        hit = ready is not None
        try:
            record = ready if ready is not None else await looks.record(device)
        finally:
            observer.lookup(device, hit=hit)
        observer.poll(device, runs)
        return record

    async def offered(self, ask: Ask) -> Offer:
        """What is told to who asks so; raises `NotFound` where there is nothing."""
        record = await self.record(ask.device, ask.unit.version)
        try:
            found = offered(record, ask, self.parts.machine.now())
        except NothingHigher:
            self.hear(ask.device, ask.unit)  # it is told nothing, for it runs more than there is
            raise
        self.hear(ask.device, ask.unit, found)
        return found

    async def firmware(self, ask: Ask) -> FirmwareAnswer:
        """What is delivered to who asks so; raises as `record` and `Deliveries.choose` do."""
        record = await self.record(ask.device, ask.unit.version)
        told = None if self.is_shared(ask) else self.told
        client = self.parts.origins.client(self.raw.remote or "", self.headers)
        try:
            answer = self.deliveries.choose(record, ask, told, self.raw, client)
        except NothingHigher:
            self.hear(ask.device, ask.unit)
            raise
        self.hear(ask.device, ask.unit, answer.offer)
        return answer

    async def summed(self, release: Release) -> Release:
        """The release with its MD5 and SHA-1, which are computed after a large one is told.

        Raises `Busy` where that takes long, `DiskFailed` where its file cannot be read.
        """
        firmware = await self.parts.checksums.complete_soon(release.firmware)
        return release if firmware is release.firmware else replace(release, firmware=firmware)

    def hear(self, device: Device, unit: Unit, told: Offer | None = None) -> None:
        """Remember the unit that asked, what it runs and is told, where it named itself."""
        if unit.name:
            is_rauc = self.protocol is Protocol.HTTP and "RAUC-Serial" in self.headers
            self.parts.units.heard(
                device,
                unit.name,
                Protocol.RAUC if is_rauc else self.protocol,
                runs=unit.version,
                told=told.release.version.text if told is not None else "",
            )

    def judged(self, whole: Answer) -> Answer:
        """What the request's conditions leave of an answer with a body."""
        return judged(self.headers, whole, head=self.is_head)

    def tell(self, ask: Ask, offer: Offer) -> None:
        """Let a `/firmware` that follows on this connection hold together with this answer."""
        transport = self.raw.transport
        if transport is not None and not self.is_head and not self.is_shared(ask):
            self.parts.last_told.tell(
                transport, offer.release, channel=ask.channel, pinned=ask.version is not None
            )

    def is_shared(self, ask: Ask) -> bool:
        """Whether many clients may share the connection."""
        return ask.proxied or self.parts.origins.trusts(self.raw.remote or "")

    def link(self, firmware: Firmware) -> str:
        """The address of those bytes, whole, for clients that follow nothing else."""
        return self.origin() + self.signed(content_path(firmware))

    def origin(self) -> str:
        """Scheme and host that links begin with, without a slash at the end."""
        transport = self.raw.transport
        return self.parts.origins.url_for(
            self.headers,
            trusted=self.parts.origins.trusts(self.raw.remote or ""),
            secure=self.raw.secure,
            local=reached(transport.get_extra_info("sockname") if transport else None),
            host=self.target.host,
        )
