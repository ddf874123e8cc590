"""`otaflux get`: which of the two ports a path is asked for at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otaflux.cli.get import is_for_operators

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
TABLE = PAGE.partition("| address | answers |")[2].partition("\n\n")[0]
STREAMED = {"/live"}  # has no end that a command could wait for


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`GET (/[^`]*)`", TABLE)) - STREAMED))
def test_what_operators_have_is_asked_for_at_their_port(path: str) -> None:
    """Each address of the table in docs/operations.md, also with a query."""
    assert is_for_operators(path)
    assert is_for_operators(f"{path}?device=lamp")


@pytest.mark.parametrize("path", ["/health", "/version?device=/units", "/units/controller/v1/a"])
def test_what_devices_have_is_asked_for_at_theirs(path: str) -> None:
    """A tenant of hawkBit's protocol may be called as an address of operators."""
    assert not is_for_operators(path)
