"""hawkBit's Direct Device Integration: SWUpdate's suricatta, rauc-hawkbit-updater, Zephyr.

Everything is answered from memory; nothing here asks the registry, and the disk is waited for only
by feedback that closes an action. What is offered is `ddirules.py`'s, what was said is kept by
`otaflux.units`. A unit belongs to the device that its address names, else to the one that its
attributes do.
"""

from __future__ import annotations

import msgspec

from otaflux.errors import BadName, Busy, NotFound
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.units.seen import Protocol, SeenUnit
from otaflux.web.answers import Answer, json_body
from otaflux.web.devices.bodies import read_body
from otaflux.web.devices.delivery import FirmwareAnswer
from otaflux.web.devices.offer import Offer
from otaflux.web.devices.protocols import ddirules as rules
from otaflux.web.devices.protocols.ddibodies import Outcome, read_attributes, read_feedback
from otaflux.web.devices.request import DeviceRequest

KEPT_WITHIN = 5.0  # seconds that closing feedback waits for the disk
_OK = json_body({})


class _Controller(msgspec.Struct, frozen=True):
    """A unit as its address has it, and what is known of it.

    `unit` is the one of its certificate, where it has one, whatever address it asks at.
    """

    request: DeviceRequest
    tenant: str
    unit: str
    named: Device | None  # by the address
    seen: SeenUnit | None

    @classmethod
    def of(cls, request: DeviceRequest) -> _Controller:
        """Who asks; raises `BadName`, and `NotFound` where no units are remembered."""
        parts = request.parts
        if not parts.units.are_remembered:
            raise NotFound("UNITS is 0, and what each unit installed has to be remembered here")
        tenant, asked = request.named["tenant"], request.named["unit"]
        rules.check_unit(asked)
        named = rules.device_named(tenant, asked, lambda device: device in parts.catalog.devices())
        unit = request.unit_name(asked)
        return cls(request, tenant, unit, named, parts.units.find(named, unit))

    @property
    def device(self) -> Device | None:
        """What it is a unit of, as far as anybody said."""
        return self.named or (self.seen.device if self.seen else None)

    @property
    def record(self) -> Record | None:
        """What is known of its device."""
        return self.request.parts.catalog.get(self.device) if self.device else None

    @property
    def base(self) -> str:
        """Its address, for links."""
        return self.request.origin() + self.path

    @property
    def path(self) -> str:
        """The path of that, as the unit asked for it."""
        return rules.base(self.tenant, self.request.named["unit"])

    @property
    def action(self) -> int:
        """The action that the address names."""
        return rules.read_action(self.request.named["action"])

    def release(self) -> Release:
        """The release of that action; raises `NotFound` where there is none any more."""
        release = rules.release_of(self.record, self.action, self.request.parts.machine.now())
        if release is None:
            raise NotFound("There is no such action for this unit")
        return release

    def is_amid(self) -> bool:
        """Whether the unit began that action and has not ended it."""
        return self.seen is not None and self.seen.is_amid and self.seen.action == self.action

    def was_given(self) -> bool:
        """Whether it is amid that action, and was before its release was taken back."""
        return self.seen is not None and self.seen.was_given(self.action)


async def poll(request: DeviceRequest) -> Answer:
    """What a unit is to do, and when it asks again."""
    who = _Controller.of(request)
    parts, seen, record = request.parts, who.seen, who.record
    if record is not None:
        parts.observer.poll(record.device, seen.runs if seen else "")
    if seen is None:
        # It may have been forgotten, and then run what it would be told to install: it says first.
        parts.units.heard(who.named, who.unit, Protocol.DDI)
        told = rules.polled(who.base, rules.UnitPlan(), asks=True, seconds=rules.FIRST_SLEEP)
        return request.judged(json_body(told))
    rumour = parts.units.rumours.of(record.device, who.unit) if record is not None else 0
    plan = rules.plan(record, seen, parts.channels.default, parts.machine.now(), rumour=rumour)
    version = plan.stands.version.text if plan.stands else ""
    parts.units.heard(who.named, who.unit, Protocol.DDI, told=version)
    asks = seen.is_asked or record is None
    told = rules.polled(who.base, plan, asks=asks, seconds=parts.poll_interval)
    return request.judged(json_body(told))


async def attributes(request: DeviceRequest) -> Answer:
    """A unit says what it runs, and what it is a unit of where no address does."""
    who = _Controller.of(request)
    version, device = read_attributes(await read_body(request.raw))
    try:
        belongs_to = Device.parse(device) if device else None
    except BadName:
        belongs_to = None
    request.parts.units.described(who.named, who.unit, runs=version, belongs_to=belongs_to)
    return _OK


async def deployment(request: DeviceRequest) -> Answer:
    """What a unit downloads and installs."""
    who = _Controller.of(request)
    release, record = who.release(), who.record
    if record is not None and not rules.is_given(record, release, who.seen):
        raise NotFound("This action was taken back")
    request.parts.units.began(who.named, who.unit, who.action)
    path = rules.artifact_path(who.path, release)
    href = request.origin() + request.signed(path)
    return request.judged(json_body(rules.deployment(href, await request.summed(release))))


async def artifact(request: DeviceRequest) -> FirmwareAnswer:
    """The firmware of an action, whole or in parts: its address means these bytes for ever."""
    who = _Controller.of(request)
    release, record = who.release(), who.record
    is_served = request.parts.catalog.by_digest(release.firmware.firmware_digest) is not None
    if not is_served and record is not None and record.is_lapsed(release):
        raise NotFound("This action was taken back")
    if request.named["name"] != rules.file_name(release) or not (is_served or who.was_given()):
        raise NotFound("There is no such file for this unit")
    return FirmwareAnswer.of(Offer(release))


async def feedback(request: DeviceRequest) -> Answer:
    """A unit says how an action goes; how it ended is on the disk before the answer."""
    who = _Controller.of(request)
    release, units = who.release(), request.parts.units
    outcome = read_feedback(await read_body(request.raw))
    match outcome:
        case Outcome.WELL | Outcome.FAILED:
            well = outcome is Outcome.WELL
            if not _is_said(who, well=well):
                version = release.version.text
                units.closed(who.named, who.unit, who.action, version, well=well)
            if not await units.kept(KEPT_WITHIN):
                raise Busy("The disk is slow: say it again", retry_after=KEPT_WITHIN)
        case Outcome.CANCELLED:
            units.cancelled(who.named, who.unit, refused=False)
        case Outcome.GOES_ON | Outcome.REJECTED:
            late = who.record is not None and rules.is_withdrawn(who.record, who.action)
            units.began(who.named, who.unit, who.action, feedback=True, late=late)
    return _OK


def _is_said(who: _Controller, *, well: bool) -> bool:
    """Whether a unit says again how an action ended, for it did not hear the answer."""
    seen = who.seen
    if seen is None or seen.action != who.action or seen.is_amid:
        return False
    return seen.closed == who.action and not seen.failures if well else seen.failures > 0


async def cancel(request: DeviceRequest) -> Answer:
    """An action that is to end."""
    who = _Controller.of(request)
    _ = who.release()
    if not who.is_amid():
        raise NotFound("There is nothing to cancel for this unit")
    return request.judged(json_body(rules.cancel(who.action)))


async def cancel_feedback(request: DeviceRequest) -> Answer:
    """A unit ended an action, or goes on with it."""
    who = _Controller.of(request)
    _ = who.release()
    outcome = read_feedback(await read_body(request.raw))
    if who.is_amid() and outcome is not Outcome.GOES_ON:
        refused = outcome is Outcome.REJECTED
        request.parts.units.cancelled(who.named, who.unit, refused=refused)
    return _OK


async def elsewhere(request: DeviceRequest) -> Answer:
    """Nothing is there; a slash within a unit's name is said to be one."""
    if "%2f" in request.raw.raw_path.lower():
        rules.check_unit("/")
    raise NotFound("Nothing is at this address")
