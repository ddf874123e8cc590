"""What is said of a failure, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from otaflux.errors import DiskFailed, Undecided
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version
from otaflux.reports import MOST_ALIKE, MOST_SAID, Reports

TAG = Tag("1.0.0")


def touch(number: int = 0) -> Touch:
    """A reason to look at one of many devices."""
    return Touch(Device(f"d{number}"), Priority.RECHECK, ("hook",))


def failing(said: Reports, words: str, *numbers: int) -> list[str]:
    """The levels of the lines about devices that fail so."""
    with capture_logs() as lines:
        for number in numbers:
            said.failed(touch(number), Undecided(words), None)
    return [line["log_level"] for line in lines]


def test_a_failure_is_a_warning_once_until_it_changes() -> None:
    """While it stays the same it is for who debugs; after a run that went well it is news again."""
    said = Reports()
    assert failing(said, "away", 1, 1, 1) == ["warning", "debug", "debug"]
    assert failing(said, "throttled", 1, 1) == ["warning", "debug"]
    said.went_well(touch(1), seconds=0.1, looks=1, requests=2)
    assert failing(said, "throttled", 1) == ["warning"]


def test_of_devices_that_fail_alike_some_are_warnings() -> None:
    """A password that expired is one piece of news, and not one for each of a thousand devices."""
    said = Reports()
    levels = failing(said, "wrong password", *range(100))
    assert levels == ["warning"] * MOST_ALIKE + ["debug"] * (100 - MOST_ALIKE)
    assert failing(said, "another", 200) == ["warning"]
    for number in range(100):
        said.went_well(touch(number), seconds=0.1, looks=1, requests=2)
    assert failing(said, "wrong password", 50) == ["warning"]


def test_each_device_hears_of_its_own_refusal() -> None:
    """Also where many were given the same bytes; once for each digest and reason."""
    said = Reports()
    with capture_logs() as lines:
        for _ in range(2):
            for number in range(3 * MOST_ALIKE):
                digest = Digest("sha256", "0" * 64)
                said.refused(touch(number), TAG, Version.parse("1.0.0"), digest, "it is empty")
    assert len(lines) == 3 * MOST_ALIKE


def test_what_is_remembered_is_bounded() -> None:
    """Names are cheap for whoever polls them: what was said first is forgotten first."""
    said = Reports()
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
        Reports().failed(touch(), error, TAG)
    (line,) = lines
    told: dict[str, Any] = {"event": event, "device": "d0", "tag": "1.0.0", "hooks": ["hook"]}
    assert told.items() <= line.items()
