"""`/status`: what each device is told and why, as JSON. docs/operations.md has its fields.

Some at a time, in the order of their names: `after` is the last name of the page before.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right

import otaflux
from otaflux.errors import NotFound, Refused
from otaflux.journal import Noted, Notes, Refusal
from otaflux.model.names import Device
from otaflux.model.record import Record, Standing
from otaflux.overheard import Warned
from otaflux.web.answers import Answer
from otaflux.web.ops.attention import (
    MEND,
    Fault,
    Group,
    all_refused,
    is_above,
    refused_of,
    signers_of,
)
from otaflux.web.ops.jsonanswer import asked_in, json_answer
from otaflux.web.ops.moments import iso
from otaflux.web.ops.readiness import Readiness
from otaflux.web.ops.sight import Sight

LIMIT = 100  # devices of one answer, where `limit` says no other number
MOST = 1000
MOST_WRONG = 50  # things that are wrong, those alike taken together
AT_ONCE = 50  # devices; then polls get their turn


class Status:
    """Answers `/status`."""

    def __init__(self, sight: Sight, readiness: Readiness) -> None:
        self._sight = sight
        self._readiness = readiness

    async def answer(self, query: str) -> Answer:
        """A page of devices, or the one that `device` names, with its events.

        Raises `NotFound` for a device that nobody knows, `Refused` for a query that cannot be one.
        """
        asked = asked_in(query)
        if "device" in asked:
            device = Device.parse(asked["device"][-1])
            if not self._sight.roster.is_there(device):
                raise NotFound(f"Device '{device}' is not known here")
            events = [_event(each) for each in self._sight.journal.events(device)]
            more = {"refused": self._all_refused(device), "events": events}
            return json_answer(self._head() | {"devices": [self._device(device) | more]})
        limit = _limit(asked.get("limit", [str(LIMIT)])[-1])
        names = await self._sight.roll.names()
        start = bisect_right(names, asked.get("after", [""])[-1])
        page = names[start : start + limit]
        devices = []
        for number, name in enumerate(page, 1):
            devices.append(self._device(Device(name)))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        following = page[-1] if start + limit < len(names) else None
        return json_answer(self._head() | {"devices": devices, "next": following})

    def _head(self) -> dict[str, object]:
        sight = self._sight
        return {
            "version": otaflux.__version__,
            "started": _time(sight.started),
            "ready": self._readiness.is_ready,
            "registry": sight.source,
            "registry_away": sight.registry_away,
            "devices_known": sight.roll.count,
            "devices_waiting": len(sight.roll.waiting),
            "units_remembered": len(sight.units),
            "units_crowded_out": sight.units.crowding.forgotten,
            "wrong": [*self._nobody(), *map(_group, sight.attention.groups(MOST_WRONG))],
            "warnings": [_warned(each) for each in sight.overheard.lines()],
        }

    def _nobody(self) -> list[dict[str, object]]:
        nobody = self._sight.nobody()
        return [] if nobody is None else [_fault(nobody) | {"devices": 0, "example": None}]

    def _all_refused(self, device: Device) -> list[dict[str, object]]:
        """What cannot be served, of memory and of the disk; only other bytes mend what is final."""
        record, notes = self._sight.catalog.get(device), self._sight.journal.of(device)
        return [
            _refusal(refused, record) | {"final": is_final}
            for refused, is_final in all_refused(record, notes)
        ]

    def _device(self, device: Device) -> dict[str, object]:
        sight = self._sight
        record, notes = sight.catalog.get(device), sight.journal.of(device)
        told = {
            channel: _standing(standing, notes.came.get(channel, ""), signers_of(record, standing))
            for channel, standing in (record.channels.items() if record is not None else ())
        }
        return {
            "device": device.name,
            "known_by": sorted(sight.roster.words(device)),
            "channels": told,
            "kept": [each.version.text for each in (record.kept if record is not None else ())],
            "last_hook": _at(notes.hook_at, what=notes.hook),
            "last_poll": _time(notes.poll_at),
            "last_look": _at(notes.looked_at, cause=notes.looked_for),
            "last_refused": _refused(record, notes),
            "error": _error(notes),
            "wrong": [_fault(each) for each in sight.attention.of(device)],
            "polls": notes.polls,
            "downloads": {"finished": notes.downloads, "broken_off": notes.broken_off},
            "runs": dict(notes.runs),
            "units": sight.units_running(device),
        }


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= MOST):
        raise Refused(f"'limit' is a whole number from 1 to {MOST}")
    return int(text)


def _standing(standing: Standing, came: str, signers: str) -> dict[str, object]:
    release = standing.release
    return {
        "version": release.version.text,
        "tag": release.tag.text,
        "digest": str(release.manifest_digest),
        "size": release.firmware.sums.size,
        "since": _time(standing.since),
        "came": came or None,
        "signature": signers or None,
        "warnings": list(release.warnings),
    }


def _refused(record: Record | None, notes: Notes) -> dict[str, object] | None:
    refused = refused_of(record, notes)
    return None if refused is None else _refusal(refused, record)


def _refusal(refused: Refusal, record: Record | None) -> dict[str, object]:
    return {
        "tag": refused.tag,
        "digest": refused.digest or None,
        "at": _time(refused.at or None),
        "reason": refused.reason,
        "hint": MEND,
        "above_current": is_above(record, refused.version),
    }


def _error(notes: Notes) -> dict[str, object] | None:
    trouble = notes.trouble
    if trouble is None:
        return None
    return {
        "since": _time(trouble.since),
        "at": _time(trouble.at),
        "tag": trouble.tag or None,
        "reason": trouble.reason,
        "hint": trouble.hint,
        "times": trouble.times,
    }


def _fault(fault: Fault) -> dict[str, object]:
    return {
        "kind": fault.kind.name.lower(),
        "reason": fault.reason,
        "hint": fault.hint,
        "tag": fault.tag or None,
        "since": _time(fault.since),
    }


def _group(group: Group) -> dict[str, object]:
    return _fault(group.fault) | {"devices": group.count, "example": group.example.name}


def _warned(line: Warned) -> dict[str, object]:
    return {
        "at": line.at,
        "level": line.level,
        "event": line.event,
        "device": line.device or None,
        "reason": line.reason,
        "hint": line.hint,
        "fields": dict(line.fields),
        "times": line.times,
    }


def _event(entry: Noted) -> dict[str, object]:
    return {
        "at": _time(entry.at),
        "event": entry.word,
        "text": entry.text,
        "tag": entry.tag or None,
        "hint": entry.hint,
        "times": entry.times,
    }


def _at(at: float | None, **more: str) -> dict[str, object] | None:
    return None if at is None else {"at": _time(at), **more}


def _time(at: float | None) -> str | None:
    return None if at is None else iso(at)
