"""docs/embedded.md shows the messages that the embedded folder gives, and its real names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from otaflux.registry import upload
from otaflux.registry.layout import places

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = (ROOT / "docs" / "embedded.md").read_text()


def texts() -> Iterator[str]:
    """Every string of the code that a message may come from; what it fills in is `…`."""
    for path in (
        *ROOT.glob("otaflux/registry/layout/*.py"),
        ROOT / "otaflux" / "files" / "durable.py",
        ROOT / "otaflux" / "registry" / "upload.py",
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def shown() -> list[str]:
    """The messages in the first column of the page's last table."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE.partition("## Trouble")[2], re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("message", shown())
def test_a_message_of_the_page_is_one_of_the_program(message: str) -> None:
    """Whoever searches the page for what the log said finds it."""
    pattern = re.compile(".*".join(re.escape(part) for part in message.split("…")))
    assert any(pattern.search(text) for text in texts())


def test_the_page_has_the_names_that_lie_on_the_disk() -> None:
    """The parts of a layout, the lock, the type of what is pushed."""
    assert len(shown()) > 8
    for name in (*places.RESERVED, places.LOCK, upload.ARTIFACT_TYPE):
        assert f"`{name}`" in PAGE
