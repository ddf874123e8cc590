"""What operators ask over HTTP: one table of addresses, and what becomes of what goes wrong.

On the event loop. Nothing here changes anything: who reaches this port sees, and that is all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from otaflux.errors import NotFound, Refused, WrongMethod
from otaflux.web.answers import Answer
from otaflux.web.ops.exposition import Exposition
from otaflux.web.ops.live import Live
from otaflux.web.ops.pages import frame
from otaflux.web.ops.pages.devicepage import DevicePage
from otaflux.web.ops.pages.overview import Overview
from otaflux.web.ops.readiness import Readiness
from otaflux.web.ops.sight import Sight
from otaflux.web.ops.status import Status
from otaflux.web.ops.unitlist import UnitList
from otaflux.web.refusals import refuse
from otaflux.web.target import Target
from otaflux.web.written import Written

METHODS = ("GET", "HEAD")

Handle = Callable[[str, str], Awaitable[Answer]]  # takes what is below the address, and the query


class Operators:
    """The addresses for operators: those that are there, and what one begins with."""

    def __init__(self, sight: Sight, exposition: Exposition, live: Live) -> None:
        readiness, device = Readiness(sight), DevicePage(sight)
        status, overview = Status(sight, readiness), Overview(sight)
        units = UnitList(sight.units)
        self._live = live

        async def ready(_rest: str, _query: str) -> Answer:
            return readiness.answer()

        async def metrics(_rest: str, _query: str) -> Answer:
            return await exposition.answer()

        async def status_page(_rest: str, query: str) -> Answer:
            return await status.answer(query)

        async def unit_list(_rest: str, query: str) -> Answer:
            return await units.answer(query)

        async def first_page(_rest: str, query: str) -> Answer:
            return await overview.answer(query)

        async def device_page(rest: str, _query: str) -> Answer:
            return await device.answer(rest)

        async def asset(rest: str, _query: str) -> Answer:
            return frame.asset(rest)

        self.table: Mapping[str, Handle] = {
            "/": first_page,
            "/metrics": metrics,
            "/ready": ready,
            "/status": status_page,
            "/units": unit_list,
            "/device/": device_page,
            "/assets/": asset,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        try:
            target = Target.parse(request.raw_path)
            if target.path == "/live" and request.method in METHODS:
                return await self._live.answer(request)
            answer = await self._answered(target, request.method)
        except ConnectionError:
            raise  # the client is gone
        except Refused as error:
            answer = _refused(error, request)
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            answer = refuse(error)
        named = {name for name, _ in answer.headers}
        answer = answer.with_headers(*(line for line in frame.SAFE if line[0] not in named))
        return Written(answer.without_body() if request.method == "HEAD" else answer)

    async def _answered(self, target: Target, method: str) -> Answer:
        if method not in METHODS:
            raise WrongMethod(*METHODS)
        path = target.path
        handle = self.table.get(path)
        if handle is not None and (path == "/" or not path.endswith("/")):
            return await handle("", target.query)
        for beginning in ("/device/", "/assets/"):
            if path.startswith(beginning):
                return await self.table[beginning](path.removeprefix(beginning), target.query)
        there = ", ".join(each for each in self.table if each == "/" or not each.endswith("/"))
        raise NotFound(f"Nothing is at this address; there is {there}, and /device/NAME")


def _refused(error: Refused, request: web.BaseRequest) -> Answer:
    """A refusal, as a page for browsers."""
    plain = refuse(error)
    if "text/html" not in request.headers.get("Accept", ""):
        return plain
    page = frame.page("Not here", "", frame.refusal(str(error)))
    return frame.html(str(page), plain.status)
