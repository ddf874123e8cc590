"""What operators ask over HTTP: one table of addresses, and what becomes of what goes wrong.

On the event loop. Nothing here changes anything: who reaches this port sees, and that is all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from otaflux.errors import NotFound, WrongMethod
from otaflux.web.answers import Answer
from otaflux.web.ops.exposition import Exposition
from otaflux.web.ops.readiness import Readiness
from otaflux.web.ops.sight import Roll, Sight
from otaflux.web.ops.status import Status
from otaflux.web.refusals import refuse
from otaflux.web.target import Target
from otaflux.web.written import Written

METHODS = ("GET", "HEAD")

Handle = Callable[[str], Awaitable[Answer]]  # takes the query


class Operators:
    """The addresses for operators."""

    def __init__(self, sight: Sight, exposition: Exposition) -> None:
        readiness = Readiness(sight)
        status = Status(sight, Roll(sight), readiness)

        async def ready(_query: str) -> Answer:
            return readiness.answer()

        async def metrics(_query: str) -> Answer:
            return await exposition.answer()

        self._table: dict[str, Handle] = {
            "/metrics": metrics,
            "/ready": ready,
            "/status": status.answer,
        }

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that there are."""
        return tuple(self._table)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        try:
            answer = await self._answered(request)
        except ConnectionError:
            raise  # the client is gone
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            answer = refuse(error)
        return Written(answer.without_body() if request.method == "HEAD" else answer)

    async def _answered(self, request: web.BaseRequest) -> Answer:
        target = Target.parse(request.raw_path)
        handle = self._table.get(target.path)
        if handle is None:
            raise NotFound("Nothing is at this address; there is " + ", ".join(self._table))
        if request.method not in METHODS:
            raise WrongMethod(*METHODS)
        return await handle(target.query)
