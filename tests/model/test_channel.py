"""Which versions count in a channel."""

from __future__ import annotations

import pytest

from otaflux.errors import BadName
from otaflux.model.names import STABLE, Channel
from otaflux.model.version import Version, rank

RC = Channel.parse("rc")


@pytest.mark.parametrize(
    ("text", "stable", "candidate"),
    [
        ("1.0.0", True, True),
        ("1.0.0+build.5", True, True),
        ("1.0.0-rc", False, True),
        ("1.0.0-rc.2", False, True),
        ("1.0.0-rc2", False, False),
        ("1.0.0-beta.rc", False, False),
        ("1.0.0-stable.1", False, False),
    ],
)
def test_a_channel_takes_stable_versions_and_its_own_pre_releases(
    text: str, *, stable: bool, candidate: bool
) -> None:
    """By the whole first identifier; a version and its rank are judged alike."""
    ranked = rank(text)
    assert ranked is not None
    for version in (Version.parse(text), ranked):
        assert (STABLE.takes(version), RC.takes(version)) == (stable, candidate)


@pytest.mark.parametrize("text", ["", "a.b", "a b", "x" * 65, "ä"])
def test_a_name_that_no_pre_release_can_begin_with_is_refused(text: str) -> None:
    """It would be a channel that nothing is ever told in."""
    with pytest.raises(BadName):
        Channel.parse(text)
