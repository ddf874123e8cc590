"""`/metrics`: Prometheus' text, made in pieces so that no poll waits for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from otaflux.metrics import Metrics
from otaflux.web.answers import Answer

TEXT = "text/plain; version=0.0.4; charset=utf-8"


async def _nothing() -> None:
    """Nothing has to be looked up."""


class Exposition:
    """Renders `metrics`; `refresh` brings what has to be looked up before, such as the disk."""

    def __init__(
        self, metrics: Metrics, *, refresh: Callable[[], Awaitable[None]] = _nothing
    ) -> None:
        self._metrics = metrics
        self._refresh = refresh

    async def answer(self) -> Answer:
        """All metrics."""
        await self._refresh()
        pieces: list[bytes] = []
        for piece in self._metrics.render():
            pieces.append(piece)
            await asyncio.sleep(0)
        body = b"".join(pieces)
        headers = (("Content-Type", TEXT), ("Content-Length", str(len(body))))
        return Answer(HTTPStatus.OK, headers, body)
