"""docs/limits.md says what the code does: each number on the page is the constant behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otaflux.model.names import MAX_DEVICE
from otaflux.web import answers
from otaflux.web.devices import aiohttpsending, continuity, downloads, firstlooks, sending
from otaflux.web.port import handler, listening, openfiles, parsing, secure
from otaflux.work import backoff

PAGE = (Path(__file__).parent.parent.parent / "docs" / "limits.md").read_text()


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (r"`Retry-After: (\d+)`", answers.BUSY_RETRY_AFTER),
        (r"waits up to (\d+) s for a place", downloads.PATIENCE),
        (r"ranges: ([\d,]+) that are", continuity.MOST),
        (r"a burst of at most (\d+)", backoff.FIRST_POLLS),
        (r"then (\d+) a second", backoff.FIRST_POLLS_RATE),
        (r"waits up to (\d+) s for its look", firstlooks.PATIENCE),
        (r"at once where (\d+) wait already", firstlooks.MOST_WAITING),
        (r"up to ([\d,]+) that are not accepted", listening.BACKLOG),
        (r"takes nothing \| (\d+) minutes; boards", sending.STALLED / 60),
        (r"less than (\d+) bytes a second", sending.SLOWEST),
        (r"a second \| (\d+) minutes", sending.SLOW_AFTER / 60),
        (r"none is free \| (\d+) s", downloads.GIVES_WAY),
        (r"any other answer that takes nothing \| (\d+) minutes", handler.STALLED / 60),
        (r"before the first \| (\d+) s", handler.KEEPALIVE),
        (r"trickles in \| (\d+) s", handler.KEEPALIVE),
        (r"TLS handshake \| (\d+) s", secure.HANDSHAKE),
        (r"kernel holds (\d+) KiB", sending.QUEUE / 1024),
        (r"within (\d+) ms", sending.QUICK * 1000),
        (r"given\s+up to (\d+) MiB", sending.WIDE_QUEUE / (1 << 20)),
        (r"one header \| ([\d,]+) bytes", parsing.MAX_LINE),
        (r"headers \| (\d+) \|", parsing.MAX_FIELDS),
        (r"whole head \| (\d+) KiB", parsing.MAX_HEAD / 1024),
        (r"name \| (\d+) characters", MAX_DEVICE),
        (r"(\d+) KiB may still be", aiohttpsending.CHUNK / 1024),
    ],
)
def test_each_number_is_the_code_s(words: str, value: float) -> None:
    """The page and the constant agree."""
    (found,) = re.findall(words, PAGE)
    assert float(found.replace(",", "")) == value


def test_the_table_of_open_files_is_what_is_shared() -> None:
    """Each row is what that hard limit gives."""
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+)[^|]* \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for limit, wanted, connections in (map(number, row) for row in rows):
        assert openfiles.share(limit, 2000) == openfiles.Capacity(wanted, connections)


def number(text: str) -> int:
    """A number with commas."""
    return int(text.replace(",", ""))
