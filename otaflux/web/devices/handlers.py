"""What devices ask over HTTP: who of the table answers, and what becomes of what goes wrong.

On the event loop; a request touches memory, one open descriptor, and the work queue where a device
is not known yet. An answer is a value until it is sent; what went wrong becomes one in one place.
"""

from __future__ import annotations

from aiohttp import web

from otaflux.errors import WrongMethod
from otaflux.web.answers import Answer
from otaflux.web.devices.delivery import Deliveries
from otaflux.web.devices.polls import VERSION, closes_after
from otaflux.web.devices.protocols.route import Route
from otaflux.web.devices.protocols.table import ROUTES, find
from otaflux.web.devices.request import DeviceRequest, Parts
from otaflux.web.refusals import refuse
from otaflux.web.target import Target
from otaflux.web.written import Written


class Devices:
    """The addresses for devices; `answer` handles any request that is for nobody else."""

    def __init__(self, parts: Parts, *, routes: tuple[Route, ...] = ROUTES) -> None:
        self._parts = parts
        self._routes = routes
        self._deliveries = Deliveries(
            parts.catalog,
            parts.store,
            parts.memory,
            parts.downloads,
            parts.machine,
            observer=parts.observer,
        )

    def has(self, path: str) -> bool:
        """Whether an address of devices is there, for whatever method."""
        return any(route.match(path) is not None for route in self._routes)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        began = self._parts.machine.clock()
        name = "other"
        transport = request.transport
        told = self._parts.last_told.follow(transport) if transport else None
        response: web.StreamResponse
        try:
            target = Target.parse(request.raw_path)
            route, named = find(target.path, request.headers, self._routes)
            name = route.name
            asked = DeviceRequest(request, target, named, told, self._parts, self._deliveries)
            response = await self._answered(route, asked)
        except ConnectionError:
            raise  # the client is gone: nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            response = _written(name, request, refuse(error))
        seconds = self._parts.machine.clock() - began
        self._parts.observer.request(name, request.method, response.status, seconds)
        return response

    async def _answered(self, route: Route, asked: DeviceRequest) -> web.StreamResponse:
        if asked.raw.method not in route.methods:
            raise WrongMethod(*route.methods)
        reply = await route.handle(asked)
        if isinstance(reply, Answer):
            return _written(route.name, asked.raw, reply)
        return await self._deliveries.send(asked.raw, reply)


def _written(name: str, request: web.BaseRequest, answer: Answer) -> Written:
    """The answer of an address, as this method gets it."""
    shown = answer.without_body() if request.method == "HEAD" else answer
    return Written(shown, close=name == VERSION and closes_after(answer))
