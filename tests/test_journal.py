"""The journal remembers what happened lately, of each device, within its bounds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from device_server import Clock, release

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
    TagUnclear,
    UnitLooping,
    Withdrawn,
)
from otaflux.journal import EVENTS_EACH, MOST_LOOPING, MOST_REFUSED, MOST_VERSIONS, Journal
from otaflux.machine import Machine
from otaflux.model.event import Action, Priority
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record
from otaflux.reason import Cause, Reason

LAMP = Device("lamp")
TOLD = release("lamp", "1.0.0")
NO = Reason(Cause.UNREACHABLE, "no answer", "Is it up?")


def journal(**bounds: int) -> Journal:
    """An empty one, whose time stands still."""
    return Journal(machine=Machine(now=Clock(1.0)), **bounds)


def ended(device: Device, priority: Priority = Priority.RECHECK) -> RunEnded:
    """A look that went well."""
    return RunEnded(device, priority, 1, 1, 0.1)


def failed(device: Device, text: str = "no answer") -> RunFailed:
    """A look that learnt nothing."""
    return RunFailed(device, None, Reason(Cause.UNREACHABLE, text), 1, 0.1)


def refused(tag: str) -> ReleaseRefused:
    """A release that cannot be served."""
    digest = TOLD.manifest_digest
    return ReleaseRefused(LAMP, Tag(tag), TOLD.version, digest, "it is truncated")


@pytest.mark.parametrize(
    ("happening", "word"),
    [
        (HookAccepted("id", "harbor", LAMP, "1.0.0", Action.PUSH), "hook_accepted"),
        (Published(TOLD, STABLE, None, is_new=True, seconds=1.0), "release_published"),
        (Moved(TOLD, TOLD), "release_moved"),
        (Withdrawn(TOLD, Path("f")), "release_withdrawn"),
        (SignatureLapsed(TOLD, "no signature holds"), "signature_lapsed"),
        (refused("1.0.0"), "release_refused"),
        (TagUnclear(LAMP, Tag("1.0.0"), NO), "tag_unclear"),
        (failed(LAMP), "registry_failed"),
        (RunFailed(LAMP, None, Reason(Cause.DISK, "full"), 1, 0.1), "disk_failed"),
        (FilesLeft(LAMP, Reason(Cause.DISK, "full")), "disk_failed"),
        (DeviceNotServed(LAMP, "not in DEVICES"), "device_not_served"),
        (UnitLooping(TOLD, "a", 3), "unit_looping"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_happens_to_a_device_is_an_event_of_it(happening: Happening, word: str) -> None:
    """With a text that says it, by the word of the log."""
    kept = journal()
    kept.hear(happening)
    (entry,) = kept.events(LAMP)
    assert (entry.word, entry.at) == (word, 1.0)
    assert entry.text


@pytest.mark.parametrize(
    "happening",
    [
        RunFailed(LAMP, None, Reason(Cause.OTHERS, "busy"), 1, 0.1),
        FoundUsable(LAMP, Tag("1.0.0"), TOLD.manifest_digest),
        ended(LAMP),
    ],
)
def test_what_needs_nobody_is_no_event(happening: Happening) -> None:
    """A look that went well, or that others went before."""
    kept = journal()
    kept.hear(happening)
    assert list(kept.events(LAMP)) == []


def test_the_same_again_is_one_event_with_its_number() -> None:
    """A registry that is away for a day is one line."""
    kept = journal()
    for _ in range(7):
        kept.hear(failed(LAMP))
    kept.hear(ended(LAMP))
    newest, before = kept.events(LAMP)
    assert before.times == 7
    assert newest.text == "it can be looked at again, after 7 that failed"


@pytest.mark.parametrize(
    ("priority", "seconds", "hooks", "came"),
    [
        (Priority.HOOK, 0.1, ("id",), "hook"),
        (Priority.HOOK, 0.1, (), "folder"),
        (Priority.START, None, (), "start"),
        (Priority.RECHECK, None, (), "re-check"),
        (Priority.FIRST_POLL, None, (), "first poll"),
        (Priority.RECHECK, 0.1, ("id",), "hook"),
    ],
)
def test_how_a_release_came_is_remembered(
    priority: Priority, seconds: float | None, hooks: tuple[str, ...], came: str
) -> None:
    """By a hook, whatever the run that found it was for in the end; else by what that was for."""
    kept = journal()
    kept.hear(Published(TOLD, STABLE, None, is_new=True, seconds=seconds, hooks=hooks))
    kept.hear(ended(LAMP, priority))
    assert kept.of(LAMP).came == {STABLE: came}


def test_each_device_keeps_its_last_events() -> None:
    """The newest, and so many."""
    kept = journal()
    for number in range(EVENTS_EACH + 10):
        kept.hear(failed(LAMP, f"reason {number}"))
    assert [entry.text for entry in kept.events(LAMP)] == [
        f"reason {number}" for number in reversed(range(10, EVENTS_EACH + 10))
    ]


def test_all_devices_together_keep_so_many_events() -> None:
    """Who was silent longest loses first, down to nothing."""
    kept = journal(most_events=30)
    for number, name in itertools.product(range(10), ("a", "b", "c", "d")):
        kept.hear(failed(Device(name), f"reason {number}"))
        kept.hear(failed(Device("busy"), f"reason {number}{name}"))
    total = sum(len(list(kept.events(Device(name)))) for name in ("a", "b", "c", "d", "busy"))
    assert total == 30
    assert len(list(kept.events(Device("busy")))) > 20
    kept.hear(DeviceForgotten(Device("busy"), "gone"))
    for number in range(40):
        kept.hear(failed(LAMP, f"reason {number}"))
    assert len(list(kept.events(LAMP))) == 30


def test_notes_are_of_so_many_devices() -> None:
    """Who was silent longest is forgotten."""
    kept = journal(most_devices=3)
    for name in ("a", "b", "c"):
        kept.poll(Device(name), "")
    kept.poll(Device("a"), "")
    kept.poll(Device("d"), "")
    assert [kept.of(Device(name)).polls for name in ("a", "b", "c", "d")] == [2, 0, 1, 1]


def test_what_is_remembered_of_one_device_is_bounded() -> None:
    """Versions, refused tags and looping units come from outside."""
    kept = journal()
    for number in range(100):
        kept.poll(LAMP, f"1.0.{number}")
        kept.hear(refused(f"1.0.{number}"))
        kept.hear(UnitLooping(TOLD, f"u{number}", 3))
    notes = kept.of(LAMP)
    assert len(notes.runs) == MOST_VERSIONS + 1
    assert notes.runs["other"] == 100 - MOST_VERSIONS
    assert len(notes.refused) == MOST_REFUSED
    assert len(notes.looping) == MOST_LOOPING


def test_what_goes_takes_its_notes_along() -> None:
    """A device that is forgotten is not tried, and has no events."""
    kept = journal()
    kept.hear(failed(LAMP))
    assert kept.tried == {"lamp"}
    kept.hear_record(LAMP, None)
    assert kept.tried == set()
    assert list(kept.events(LAMP)) == []
    assert kept.of(LAMP).trouble is None


def test_a_record_that_has_a_release_was_tried() -> None:
    """Its catalog was read."""
    kept = journal()
    kept.hear_record(LAMP, Record(LAMP, "r"))
    assert kept.tried == set()
    kept.hear_record(LAMP, Record(LAMP, "r", ever_synced=True))
    assert kept.tried == {"lamp"}
