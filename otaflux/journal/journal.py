"""What happened lately, for people: of each device, and in short.

Soft memory: it begins anew with each start, decides nothing, and is bounded over all devices, so
that whoever was silent longest gives way. It listens to events, to records, and to devices'
requests, see `web/observer.py`. On the event loop; quick, and it never raises.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence
from dataclasses import replace

from otaflux.events import (
    DeviceForgotten,
    DeviceNotServed,
    FilesLeft,
    FoundUsable,
    Happening,
    HookAccepted,
    Moved,
    Published,
    ReleaseRefused,
    RunEnded,
    RunFailed,
    SignatureLapsed,
    TagClear,
    TagUnclear,
    UnitLooping,
    Withdrawn,
)
from otaflux.journal.notes import FailedLook, Looping, Noted, Notes, Refusal
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.event import Priority
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import spelled
from otaflux.reason import Cause

MOST_DEVICES = 100_000  # devices that anything is remembered of
MOST_EVENTS = 50_000  # events, of all devices together; some 300 bytes each
EVENTS_EACH = 50  # of one device
MOST_REFUSED = 20  # refused releases of one device
MOST_LOOPING = 20  # units of one device that take one release again and again
DAY = 24 * 3600.0  # seconds
MOST_VERSIONS = 20  # versions that units of one device say they run
CAME = {
    Priority.HOOK: "hook",
    Priority.FIRST_POLL: "first poll",
    Priority.START: "start",
    Priority.RECHECK: "re-check",
}


AtStart = Callable[[Sequence[Record]], None]

_NOTHING = Notes()  # read by whoever asks, and never written


class Journal:
    """Remembers; `of` and `events` tell.

    `changed`, where somebody listens, is called with each device of which something changed that
    people look at: no polls.
    """

    def __init__(
        self,
        *,
        most_devices: int = MOST_DEVICES,
        most_events: int = MOST_EVENTS,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._most_devices = most_devices
        self._most_events = most_events
        self._now = machine.now
        self._notes: OrderedDict[Device, Notes] = OrderedDict()
        self._events: OrderedDict[Device, deque[Noted]] = OrderedDict()
        self._count = 0
        self._listeners: list[tuple[Callable[[Device], None], AtStart | None]] = []
        self.tried: set[str] = set()  # names of devices that were looked at, whatever came of it

    def listen(self, changed: Callable[[Device], None], *, at_start: AtStart | None = None) -> None:
        """Have `changed(device)` called in the step in which something happens to a device.

        `at_start` is called once instead with all records that a start found; see
        `Catalog.listen`.
        """
        self._listeners.append((changed, at_start))

    def of(self, device: Device) -> Notes:
        """What is remembered of a device; empty notes where nothing is."""
        return self._notes.get(device) or _NOTHING

    def noted(self) -> KeysView[Device]:
        """The devices that anything is remembered of."""
        return self._notes.keys()

    def events(self, device: Device) -> Iterator[Noted]:
        """What happened to a device, the newest first."""
        return reversed(self._events.get(device, ()))

    def hear(self, happening: Happening) -> None:  # noqa: C901, PLR0912 - one case for each kind
        """Remember what happened; see `otaflux.events`."""
        match happening:
            case HookAccepted(_, source, device, tag, action):
                notes = self._note(device)
                notes.hook_at = self._now()
                notes.hook = f"{source}: {action.value}{f' of {tag}' if tag else ''}"
                self._add(device, "hook_accepted", notes.hook, tag=tag or "")
            case Published():
                self._published(happening)
            case Moved(release):
                text = f"the tag stands for {release.manifest_digest} now"
                self._add(release.device, "release_moved", text, tag=release.tag.text)
            case Withdrawn(release):
                text = f"{release.version} was withdrawn: its tag is gone"
                self._add(release.device, "release_withdrawn", text, tag=release.tag.text)
            case SignatureLapsed(release, reason):
                self._add(release.device, "signature_lapsed", reason, tag=release.tag.text)
            case ReleaseRefused():
                self._refused(happening)
            case FoundUsable(device, tag):
                self._acquit(device, tag.text)
            case TagUnclear(device, tag, reason):
                if reason.cause is not Cause.OTHERS:
                    self._add(device, "tag_unclear", reason.text, tag=tag.text, hint=reason.hint)
            case RunEnded():
                self._ended(happening)
            case RunFailed():
                self._failed(happening)
            case UnitLooping():
                self._looping(happening)
            case FilesLeft(device, reason):
                self._add(device, "disk_failed", reason.text, hint=reason.hint)
            case DeviceNotServed(device, why):
                self.tried.add(device.name)
                self._note(device).is_left_alone = why
                self._add(device, "device_not_served", why)
            case DeviceForgotten(device):
                self._forget(device)
            case TagClear() | _:
                pass  # nothing that anybody wants to read

    def hear_record(self, device: Device, record: Record | None) -> None:
        """What a device is told changed, or it went; see `Catalog.listen`."""
        if record is None:
            self._forget(device)
            return
        if record.ever_synced or record.channels:
            self.tried.add(device.name)
        self._tell(device)

    def hear_start(self, records: Sequence[Record]) -> None:
        """As `hear_record`, of all records that a start found."""
        self.tried.update(
            [each.device.name for each in records if each.ever_synced or each.channels]
        )
        for changed, at_start in self._listeners:
            if at_start is not None:
                at_start(records)
            else:
                for record in records:
                    changed(record.device)

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Nothing: it is counted elsewhere."""

    def lookup(self, device: Device, *, hit: bool) -> None:
        """Nothing: it is counted elsewhere."""

    def poll(self, device: Device, runs: str) -> None:
        """A device that has a record was asked for; `runs` is what the unit says it runs."""
        self._polled(device, 1, self._now())
        if runs:
            self._runs(device, runs, 1)

    def quick(self, answered: Mapping[tuple[Device, int], int]) -> None:
        """So many polls were answered within the last second: device and status."""
        now = self._now()
        for (device, _), count in answered.items():
            self._polled(device, count, now)

    def said(self, versions: Mapping[tuple[Device, str], int]) -> None:
        """In so many of them units said which version they run."""
        for (device, runs), count in versions.items():
            self._runs(device, runs, count)

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """A download ended, or its client hung up."""
        notes = self._note(release.device)
        notes.downloads += whole
        notes.broken_off += not whole

    def _polled(self, device: Device, count: int, now: float) -> None:
        notes = self._note(device)
        notes.poll_at = now
        notes.polls += count

    def _runs(self, device: Device, runs: str, count: int) -> None:
        notes, version = self._note(device), _version(runs)
        if version not in notes.runs and len(notes.runs) >= MOST_VERSIONS:
            version = "other"
        notes.runs[version] = notes.runs.get(version, 0) + count

    def _published(self, published: Published) -> None:
        release, channel = published.release, published.channel
        notes = self._note(release.device)
        by_hook = "hook" if published.hooks else "folder"
        notes.came[channel] = "" if published.seconds is None else by_hook
        before = f", after {published.before.version}" if published.before else ""
        text = f"{channel} is told {release.version}{before}"
        notes.looping.clear()  # whoever took the release before again and again takes this now
        self._acquit(release.device, release.tag.text)
        self._add(release.device, "release_published", text, tag=release.tag.text)

    def _refused(self, refused: ReleaseRefused) -> None:
        device, tag = refused.device, refused.tag.text
        notes = self._note(device)
        notes.refused.pop(tag, None)
        notes.refused[tag] = Refusal(
            self._now(), tag, refused.version.text, str(refused.digest or ""), refused.reason
        )
        if len(notes.refused) > MOST_REFUSED:
            del notes.refused[next(iter(notes.refused))]
        self._add(device, "release_refused", refused.reason, tag=tag)

    def _looping(self, looping: UnitLooping) -> None:
        release, unit = looping.release, looping.unit
        notes = self._note(release.device)
        text = f"unit {unit} took {release.version} {looping.times} times within a day"
        shown = f"a unit took {release.version} three times or more within a day"
        notes.looping.pop(unit, None)
        notes.looping[unit] = Looping(self._now(), unit, release.tag.text, shown, looping.times)
        if len(notes.looping) > MOST_LOOPING:
            del notes.looping[next(iter(notes.looping))]
        self._add(release.device, "unit_looping", text, tag=release.tag.text)

    def _acquit(self, device: Device, tag: str) -> None:
        notes = self._notes.get(device)
        if notes is not None and tag in notes.refused:
            del notes.refused[tag]

    def _ended(self, ended: RunEnded) -> None:
        device = ended.device
        notes = self._note(device)
        notes.looked_at, notes.looked_for = self._now(), CAME[ended.priority]
        notes.is_left_alone = ""
        for looping in [each for each in notes.looping.values() if each.at < self._now() - DAY]:
            del notes.looping[looping.unit]
        for channel, came in notes.came.items():
            notes.came[channel] = came or notes.looked_for
        self.tried.add(device.name)
        if notes.trouble is not None:
            text = f"it can be looked at again, after {notes.trouble.times} that failed"
            self._add(device, "registry_answers", text)
        notes.trouble = None
        self._tell(device)

    def _failed(self, failed: RunFailed) -> None:
        device, reason, now = failed.device, failed.reason, self._now()
        self.tried.add(device.name)
        if reason.cause is Cause.OTHERS:
            return
        notes = self._note(device)
        before, tag = notes.trouble, failed.tag.text if failed.tag else ""
        notes.trouble = FailedLook(now, now, reason.text, reason.hint, reason.cause, tag)
        if before is not None:
            notes.trouble = replace(notes.trouble, since=before.since, times=before.times + 1)
        word = "disk_failed" if reason.cause is Cause.DISK else "registry_failed"
        self._add(device, word, reason.text, tag=tag, hint=reason.hint)

    def _note(self, device: Device) -> Notes:
        """A device's notes, made where there are none; whoever was silent longest makes room."""
        notes = self._notes.get(device)
        if notes is None:
            notes = self._notes[device] = Notes()
            if len(self._notes) > self._most_devices:
                self._forget(next(iter(self._notes)))
        else:
            self._notes.move_to_end(device)
        return notes

    def _add(self, device: Device, word: str, text: str, *, tag: str = "", hint: str = "") -> None:
        events = self._events.get(device)
        if events is None:
            events = self._events[device] = deque()
        else:
            self._events.move_to_end(device)
        last = events[-1] if events else None
        if last is not None and (last.word, last.text, last.tag) == (word, text, tag):
            events[-1] = Noted(self._now(), word, text, tag, hint, last.times + 1)
        else:
            events.append(Noted(self._now(), word, text, tag, hint))
            self._count += 1
            if len(events) > EVENTS_EACH:
                events.popleft()
                self._count -= 1
        while self._count > self._most_events:
            self._drop_oldest()
        self._tell(device)

    def _drop_oldest(self) -> None:
        """The device of which nothing was heard for longest loses its oldest event."""
        device, events = next(iter(self._events.items()))
        events.popleft()
        self._count -= 1
        if not events:
            del self._events[device]

    def _forget(self, device: Device) -> None:
        self._notes.pop(device, None)
        self._count -= len(self._events.pop(device, ()))
        self.tried.discard(device.name)
        self._tell(device)

    def _tell(self, device: Device) -> None:
        for changed, _ in self._listeners:
            changed(device)


def _version(text: str) -> str:
    """A version as all write it, or `other` for what is none: units may say anything."""
    return spelled(text) or "other"
