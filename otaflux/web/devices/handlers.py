"""What devices ask over HTTP: who of the table answers, and what becomes of what goes wrong.

On the event loop; a request touches memory, one open descriptor, and the work queue where a device
is not known yet. An answer is a value until it is sent; what went wrong becomes one in one place.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from otaflux.errors import TimedOut, TooLarge, Unproven, WrongMethod
from otaflux.folded import Folded
from otaflux.log import Event
from otaflux.web.answers import Answer, failed
from otaflux.web.devices.admission import Admitted, unit_of
from otaflux.web.devices.delivery import Deliveries
from otaflux.web.devices.polls import VERSION, closes_after
from otaflux.web.devices.protocols import people
from otaflux.web.devices.protocols.route import Route
from otaflux.web.devices.protocols.table import ROUTES, find
from otaflux.web.devices.request import DeviceRequest, Parts
from otaflux.web.refusals import refuse
from otaflux.web.target import Target
from otaflux.web.written import Written

# RFC 9110 section 11.6.1 wants one.
CHALLENGE = ("WWW-Authenticate", 'Bearer realm="otaflux", Basic realm="otaflux"')


class Devices:
    """The addresses for devices; `answer` handles any request that is for nobody else."""

    def __init__(self, parts: Parts, *, routes: tuple[Route, ...] = ROUTES) -> None:
        self._parts = parts
        self._routes = routes
        self._rejections = Folded(Event.DEVICE_REJECTED, parts.machine.clock)
        self._deliveries = Deliveries(
            parts.catalog,
            parts.store,
            parts.memory,
            parts.downloads,
            parts.machine,
            observer=parts.observer,
        )

    def has(self, path: str) -> bool:
        """Whether an address of devices is there, for whatever method.

        The page for people is none: a hook that is sent there only has the wrong address.
        """
        return path != people.ADDRESS and any(
            route.match(path) is not None for route in self._routes
        )

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        began = self._parts.machine.clock()
        name = "other"
        transport = request.transport
        told = self._parts.last_told.follow(transport) if transport else None
        response: web.StreamResponse
        try:
            target = Target.parse(request.raw_path)
            proof, unit = self._admit(request, target)
            route, named = find(target.path, request.headers, self._routes)
            name = route.name
            asked = DeviceRequest(
                *(request, target, named, told, self._parts, self._deliveries, proof, unit),
                protocol=route.protocol,
            )
            response = await self._answered(route, asked)
        except Unproven as error:
            response = self._refused(request, error)
        except ConnectionError:
            raise  # the client is gone: nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            # What is left of a body is not read.
            ends = isinstance(error, TooLarge | TimedOut)
            response = _written(name, request, refuse(error), ends=ends)
        seconds = self._parts.machine.clock() - began
        self._parts.observer.request(name, request.method, response.status, seconds)
        return response

    def _admit(self, request: web.BaseRequest, target: Target) -> tuple[Admitted, str]:
        """How it proves itself, and the unit that its certificate names; raises `Unproven`."""
        admission = self._parts.admission
        certificate = None
        if admission.by_certificate and request.transport is not None:
            certificate = request.transport.get_extra_info("peercert")
        proof = admission.check(target, request.headers, certified=bool(certificate))
        return proof, unit_of(certificate)

    def _refused(self, request: web.BaseRequest, error: Unproven) -> web.StreamResponse:
        """The answer to who may not ask: short, and the connection ends."""
        client = self._parts.origins.client(request.remote or "", request.headers)
        self._rejections.note(client, client=client, reason=str(error))
        answer = failed(HTTPStatus.UNAUTHORIZED, str(error)).with_headers(CHALLENGE)
        shown = answer.without_body() if request.method == "HEAD" else answer
        return Written(shown, close=True)

    async def _answered(self, route: Route, asked: DeviceRequest) -> web.StreamResponse:
        if asked.raw.method not in route.methods:
            raise WrongMethod(*route.methods)
        reply = await route.handle(asked)
        if isinstance(reply, Answer):
            return _written(route.name, asked.raw, reply)
        return await self._deliveries.send(asked.raw, reply)


def _written(name: str, request: web.BaseRequest, answer: Answer, *, ends: bool = False) -> Written:
    """The answer of an address, as this method gets it."""
    shown = answer.without_body() if request.method == "HEAD" else answer
    return Written(shown, close=ends or (name == VERSION and closes_after(answer)))
