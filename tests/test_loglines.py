"""What is said of what happened, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from otaflux.errors import DiskFailed, Undecided
from otaflux.events import FoundUsable, Happening, Reason, ReleaseRefused, RunEnded, RunFailed
from otaflux.loglines import MOST_ALIKE, MOST_SAID, LogLines
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version

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
    assert levels(said, FoundUsable(device(1), TAG), refused(1)) == ["warning"]


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
