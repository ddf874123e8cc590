"""`DEVICE:TAG` as it is typed: what is wrong with a tag is said of that tag."""

from __future__ import annotations

import pytest

from otaflux.cli.reference import device_and_tag
from otaflux.errors import BadName


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (
            "1.0.0+b1",
            "'1.0.0+b1' cannot be a tag: no '+' can be in one: write '1.0.0_b1'",
        ),
        ("1.0.0+b/1", "it has '+'"),
        ("1.0 0", "it has ' ', and a tag is letters"),
        ("1" * 129, "it has 129 characters, and a tag has at most 128"),
        ("-1.0.0", "it begins with '-'"),
        ("", "it is empty"),
    ],
)
def test_why_a_text_cannot_be_a_tag_is_said(tag: str, words: str) -> None:
    """The text is named, and what would do."""
    with pytest.raises(BadName) as raised:
        device_and_tag(f"lamp:{tag}", any_tag=True)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("tag", "instead"),
    [
        ("1.2", "meant 1.2.0?"),
        ("1.2-beta.1", "meant 1.2.0-beta.1?"),
        ("2025.08.01_b1", "meant 2025.8.1?"),
        ("1.0.0-01", "meant 1.0.0-1?"),
        ("1.4.0-20251127.0930", "meant 1.4.0-20251127.930?"),
        ("1.0.0-rc.00_b.07", "meant 1.0.0-rc.0?"),
        ("1.0.0-", ""),
        ("1.0.0-alpha..1", ""),
        ("latest", ""),
    ],
)
def test_a_pre_release_is_never_taken_for_a_stable_version(tag: str, instead: str) -> None:
    """What was probably meant is named only where it is as stable as what was typed."""
    with pytest.raises(BadName) as raised:
        device_and_tag(f"lamp:{tag}", any_tag=False)
    assert instead in str(raised.value)
    assert ("meant" in str(raised.value)) == bool(instead)


def test_only_what_a_command_offers_is_named() -> None:
    """`wait` has no --any-tag, so it says nothing of it."""
    with pytest.raises(BadName) as raised:
        device_and_tag("lamp:latest", any_tag=False)
    assert "--any-tag" not in str(raised.value)
    with pytest.raises(BadName, match="--any-tag pushes it"):
        device_and_tag("lamp:latest", any_tag=False, hint="--any-tag pushes it all the same")
