"""docs/registries.md says what the client says: its messages, its limits, its settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otaflux.registry import manifest
from otaflux.registry.remote import listings, lockout, pages, retries, tokens
from otaflux.registry.remote.failures import OUTAGE

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "registries.md").read_text()
EACH = "".join(path.read_text() for path in (ROOT / "docs" / "registries").glob("*.md"))
LIMITS = (ROOT / "docs" / "limits.md").read_text()
SOURCES = "".join(path.read_text() for path in (ROOT / "otaflux" / "registry").rglob("*.py"))
# Texts that are written over several lines are one text.
SOURCES = re.sub(r'"\s*\n\s*f?"', "", SOURCES)


def messages() -> list[str]:
    """The messages in the table of what one sees."""
    table = PAGE.partition("| you see |")[2].partition("\n\n")[0]
    firsts = [row.split("|")[1] for row in table.splitlines()[2:]]
    return [message for first in firsts for message in re.findall(r"`([^`]+)`", first)]


def test_the_table_of_messages_is_found() -> None:
    """A table that was renamed would make the next test check nothing."""
    assert len(messages()) > 10


@pytest.mark.parametrize("message", messages())
def test_each_message_is_one_that_the_client_has(message: str) -> None:
    """Whoever searches the page for what the log says finds it."""
    for part in re.split(r"…|sha256:", message):
        assert part.strip(" `") in SOURCES


def test_each_setting_that_a_hint_names_is_on_the_page() -> None:
    """A hint leads to a setting, and the setting to an explanation, on each registry's page too."""
    named = set(re.findall(r"\b(?:REGISTRY|REPOSITORY)_[A-Z_]+[A-Z]\b", SOURCES))
    assert named
    assert [name for name in named if name not in PAGE + EACH] == []


def test_the_numbers_on_the_page_are_the_clients() -> None:
    """Limits that are said are limits that are kept."""
    policy, said = retries.SERVER, " ".join(PAGE.split())
    assert (policy.attempts, policy.within, policy.resumes, OUTAGE) == (2, 2.0, 10, 3)
    assert f"at {policy.min_rate / 1024:.0f} KiB/s or more" in said
    assert f"begin within {policy.read_timeout:.0f} s" in said
    assert f"complete within {policy.head_timeout:.0f} s, also through a proxy" in said
    assert f"tokens there are {policy.body_timeout:.0f} s more" in said
    assert f"tries it again after {lockout.FIRST:.0f} s, then after" in said
    assert f"up to {lockout.MOST / 60:.0f} minutes" in said
    assert f"`Retry-After`, the device waits that long, {retries.MAX_RETRY_AFTER:.0f} s at" in said


def test_the_numbers_on_the_page_of_limits_are_the_clients() -> None:
    """What one server bears of a registry is what it holds to."""
    policy = retries.SERVER
    assert (
        f"| {policy.head_timeout:.0f} s, and {policy.read_timeout:.0f} s without a byte" in LIMITS
    )
    assert f"body | {policy.body_timeout:.0f} s |" in LIMITS
    assert f"{policy.min_rate / 1024:.0f} KiB/s at least" in LIMITS
    for most in (pages.MAX_TAGS, pages.MAX_CATALOG):
        assert f"{pages.MAX_NAMES:,}, in {pages.MAX_PAGES:,} pages and {most >> 20} MiB" in LIMITS
    assert f"Pages above {listings.LARGE_PAGE >> 10} KiB are read, and" in LIMITS
    assert f"a manifest | {manifest.MAX_MANIFEST >> 20} MiB" in LIMITS
    assert f"{tokens.MAX_KEPT >> 20} MiB of them together" in LIMITS
    assert tokens.MAX_KEPT > 10_000 * (2048 + tokens.OVERHEAD)
    assert f"each {lockout.FIRST:.0f} s to {lockout.MOST / 60:.0f} minutes" in LIMITS
