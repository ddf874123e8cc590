"""The log's last warnings are heard, whatever the log leaves out, and bounded."""

from __future__ import annotations

import io

import pytest

from otaflux import log
from otaflux.overheard import HEARD_BESIDES, Overheard


@pytest.mark.parametrize("level", ["debug", "warning", "error", "critical"])
def test_warnings_are_heard_whatever_is_logged(level: str) -> None:
    """LOG_LEVEL=error keeps warnings out of the log, not off the page."""
    heard = Overheard()
    stream = io.StringIO()
    lines = log.configure(level, "json", stream=stream, hear=heard.note)
    try:
        log.log.info(log.Event.SERVER_STARTED)
        log.log.warning(log.Event.SETTING_UNKNOWN, name="X", hint="Is Y meant?", reason=None)
        log.log.warning(log.Event.SETTING_UNKNOWN, name="X", hint="Is Y meant?", reason=None)
    finally:
        lines.close(1)
        log.configure("critical", "json", stream=stream).close(1)
    (line,) = heard.lines()
    assert (line.event, line.hint, line.times) == ("setting_unknown", "Is Y meant?", 2)
    assert line.fields == (("name", "X"),)


def test_the_newest_stay() -> None:
    """So many lines, and of each field so much, fit to be shown."""
    heard = Overheard(3)
    for number in range(10):
        heard.note({"level": "error", "event": f"e{number}", "reason": "x" * 10_000 + "\n"})
    assert [line.event for line in heard.lines()] == ["e9", "e8", "e7"]
    assert all(len(line.reason) <= 500 for line in heard.lines())


@pytest.mark.parametrize(("event", "count"), [("hook_ignored", 1), ("hook_accepted", 0)])
def test_what_explains_a_push_that_did_not_come_is_heard_too(event: str, count: int) -> None:
    """At whatever LOG_LEVEL; other lines below a warning are dropped before they cost anything."""
    heard = Overheard()
    stream = io.StringIO()
    lines = log.configure(
        "error", "json", stream=stream, hear=heard.note, heard_besides=HEARD_BESIDES
    )
    try:
        log.log.info(event, reason="because")
    finally:
        lines.close(1)
        log.configure("critical", "json", stream=stream).close(1)
    assert len(heard.lines()) == count
