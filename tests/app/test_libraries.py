"""What libraries log by themselves."""

from __future__ import annotations

import asyncio
import logging

from structlog.testing import capture_logs

from otaflux.app import libraries


async def test_what_libraries_say_becomes_lines_of_our_log() -> None:
    """A warning and a bug of a callback that nobody sees are each one line, however often."""
    now = [0.0]

    with libraries.heard(clock=lambda: now[0]), capture_logs() as logs:
        for _ in range(5):
            logging.getLogger("asyncio").warning("out of %s\nand more", "files")
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a bug", "exception": ZeroDivisionError()}
        )
        now[0] += 61
        logging.getLogger("asyncio").warning("out of %s", "files")
    said = [(line["event"], line["library"], line["reason"]) for line in logs]
    files = ("library_said", "asyncio", "out of files")
    assert said == [files, ("library_said", "asyncio", "a bug"), files]
    assert "exc_info" in logs[1]
    assert logs[2]["more_since_last"] == 4
    with capture_logs() as logs:
        logging.getLogger("asyncio").warning("over")
    assert logs == []
