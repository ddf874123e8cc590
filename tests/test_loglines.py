"""What is said of what happened, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from otaflux.errors import Busy, DiskFailed, Undecided, Unreachable
from otaflux.events import FoundUsable, Happening, ReleaseRefused, RunEnded, RunFailed
from otaflux.log import Event, FoldedBatch
from otaflux.loglines import MOST_ALIKE, MOST_SAID, LogLines
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version
from otaflux.reason import Reason

TAG = Tag("1.0.0")


def device(number: int = 0) -> Device:
    """One of many."""
    return Device(f"d{number}")


def failed(number: int, error: Undecided, tag: Tag | None = None) -> RunFailed:
    """A run of a device that ended so."""
    return RunFailed(device(number), tag, Reason.of(error), 1, 0.1, ("hook",))


def refused(number: int) -> ReleaseRefused:
    """A release of a device that is refused for a reason that many share."""
    version, digest = Version.parse("1.0.0"), Digest("sha256", "0" * 64)
    return ReleaseRefused(device(number), TAG, version, digest, "it is empty", ("hook",))


def well(said: LogLines, number: int) -> None:
    """A run of a device ended well."""
    said.hear(RunEnded(device(number), Priority.RECHECK, 1, 2, 0.1))


def failing(said: LogLines, words: str, *numbers: int) -> list[str]:
    """The levels of the lines about devices that fail so."""
    return levels(said, *(failed(number, Undecided(words)) for number in numbers))


def levels(said: LogLines, *happenings: Happening) -> list[str]:
    """The levels of the lines about what happened."""
    with capture_logs() as lines:
        for happening in happenings:
            said.hear(happening)
    return [line["log_level"] for line in lines]


def test_a_failure_is_a_warning_once_until_it_changes() -> None:
    """While it stays the same it is for who debugs; after a run that went well it is news again."""
    said = LogLines()
    assert failing(said, "away", 1, 1, 1) == ["warning", "debug", "debug"]
    assert failing(said, "throttled", 1, 1) == ["warning", "debug"]
    well(said, 1)
    assert failing(said, "throttled", 1) == ["warning"]


def test_of_devices_that_fail_alike_some_are_warnings() -> None:
    """A password that expired is one piece of news, and not one for each of a thousand devices."""
    said = LogLines()
    many = failing(said, "wrong password", *range(100))
    assert many == ["warning"] * MOST_ALIKE + ["debug"] * (100 - MOST_ALIKE)
    assert failing(said, "another", 200) == ["warning"]
    for number in range(100):
        well(said, number)
    assert failing(said, "wrong password", 50) == ["warning"]


def test_each_device_hears_of_its_own_refusal() -> None:
    """Also where many were given the same bytes; once for each digest and reason."""
    refusals = [refused(number) for number in range(3 * MOST_ALIKE)]
    assert len(levels(LogLines(), *refusals, *refusals)) == 3 * MOST_ALIKE


def test_a_refusal_is_news_again_once_the_release_was_usable() -> None:
    """What was mended and broke again is said again."""
    said = LogLines()
    assert levels(said, refused(1), refused(1)) == ["warning"]
    usable = FoundUsable(device(1), TAG, refused(1).digest)
    assert levels(said, usable, refused(1)) == ["warning"]


def test_a_refusal_is_said_once_whatever_the_tags_are() -> None:
    """Three thousand tags on one digest are one line."""
    refusals = [replace(refused(1), tag=Tag(f"1.0.{number}")) for number in range(3000)]
    assert levels(LogLines(), *refusals) == ["warning"]


def test_what_is_refused_for_its_tag_is_said_once_though_its_bytes_are_usable() -> None:
    """A signed manifest under a tag that it was not signed for is news once, not at each look."""
    said = LogLines()
    digest = Digest("sha256", "0" * 64)
    usable = FoundUsable(device(1), Tag("0.9.0"), digest)
    under_another = replace(refused(1), for_tag=True)
    assert levels(said, *[usable, under_another] * 3) == ["warning"]


def test_what_is_remembered_is_bounded() -> None:
    """Names are cheap for whoever polls them: what was said first is forgotten first."""
    said = LogLines()
    for number in range(MOST_SAID + 1):
        assert failing(said, f"away {number}", number) == ["warning"]
    assert failing(said, "away 0", 0) == ["warning"]
    assert failing(said, f"away {MOST_SAID}", MOST_SAID) == ["debug"]


@pytest.mark.parametrize(
    ("error", "event"),
    [(Undecided("away"), "registry_failed"), (DiskFailed("full"), "disk_failed")],
)
def test_the_tag_that_was_asked_about_is_a_field(error: Undecided, event: str) -> None:
    """Whoever reads the line knows where to look."""
    with capture_logs() as lines:
        LogLines().hear(failed(0, error, TAG))
    (line,) = lines
    told: dict[str, Any] = {"event": event, "device": "d0", "tag": "1.0.0", "hooks": ["hook"]}
    assert told.items() <= line.items()


def test_an_outage_ends_with_one_line() -> None:
    """With how long it lasted; a device that fails for itself begins none."""
    time = [100.0]
    said = LogLines(lambda: time[0])
    for number in range(3):
        said.hear(failed(number, Unreachable("no connection")))
    time[0] += 25
    with capture_logs() as lines:
        for number in range(3):
            well(said, number)
    told = [line for line in lines if line["event"] == "registry_answers"]
    assert [(line["reason"], line["seconds"]) for line in told] == [
        ("it answers again, after 25 s", 25)
    ]
    said.hear(failed(1, Undecided("a fault of its own")))
    with capture_logs() as lines:
        well(said, 1)
    assert [line["event"] for line in lines] == ["reconciled"]


def test_a_run_that_asked_for_nothing_ends_no_outage() -> None:
    """What is settled without a request says nothing of the registry."""
    said = LogLines(lambda: 0.0)
    said.hear(failed(1, Unreachable("no connection")))
    with capture_logs() as lines:
        said.hear(RunEnded(device(), Priority.RECHECK, 0, 0, 0.1))
    assert [line["event"] for line in lines] == ["reconciled"]


def test_a_long_outage_is_said_again_each_hour() -> None:
    """Once for the registry, with how long it has lasted, and not once for each device."""
    time = [0.0]
    said = LogLines(lambda: time[0])
    heard = []
    with capture_logs() as lines:
        for minute in range(125):
            time[0] = minute * 60.0
            said.hear(failed(minute % 3, Unreachable("no connection")))
        heard = [line for line in lines if line["log_level"] == "warning"]
    assert [line.get("seconds") for line in heard] == [None, None, None, 3600, 7200]


def test_many_lines_of_one_kind_are_folded() -> None:
    """The first are written; the rest is a number, at the end."""
    with capture_logs() as lines, FoldedBatch(Event.RECORD_LEFT_OUT) as left_out:
        for number in range(20_000):
            left_out.say(device=f"d{number}", reason="of another registry")
    assert len(lines) == 11
    assert lines[-1]["more"] == 19_990
    with capture_logs() as few, FoldedBatch(Event.RECORD_LEFT_OUT) as left_out:
        left_out.say(device="d", reason="of another registry")
    assert [line["device"] for line in few] == ["d"]


def test_who_made_room_for_others_is_no_line() -> None:
    """Nothing is wrong with the registry, and nobody has to do anything."""
    assert levels(LogLines(), failed(1, Busy("A first look made room"), TAG)) == []
