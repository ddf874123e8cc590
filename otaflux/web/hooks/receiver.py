"""The addresses of hooks. Five steps in this order: size, secret, parse, enqueue, answer.

Trust: nobody is trusted before the secret is proven. A body is read before that only where an HMAC
of it is the proof, and then by the rules of `bodies.py`, so that strangers hold a bounded part of
memory for a bounded time. Neither secrets nor
request targets, which may hold one, are ever logged.

The work comes after the answer: it is in the queue by then. So lost, doubled and reordered hooks
cost nothing here, and the answer takes milliseconds whatever the registry does. What is not wanted
is acknowledged, with its reason: registries repeat what is not answered 2xx, some for ever.
"""

from __future__ import annotations

import asyncio
import secrets as randomness
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web
from structlog.contextvars import bound_contextvars

from otaflux import hooks
from otaflux.errors import BadHook, Busy, NotFound, OtaFluxError, TimedOut, TooLarge
from otaflux.events import Events, HookAccepted, HookAnswered
from otaflux.folded import Folded
from otaflux.hooks.intake import Accepted, Ignored, Intake
from otaflux.log import Event, log
from otaflux.model.event import Noise, Touch
from otaflux.model.names import Device
from otaflux.web.answers import JSON, Answer, failed
from otaflux.web.hooks import proof
from otaflux.web.hooks.bodies import BODY_TIMEOUT, UnprovenBodies, check_size, read_body
from otaflux.web.refusals import refuse
from otaflux.web.target import Target
from otaflux.web.written import Written
from otaflux.wording import MAX_SENTENCE, plain

MAX_SIGNED_FORM = 256 << 10  # bytes of a form that are unpacked for an HMAC of the JSON in it
LARGE = 256 << 10  # bytes; hashing or reading more would keep boards waiting
PARTS_AT_ONCE = 64  # then the event loop gets its turn

T = TypeVar("T")

ADDRESS = "/hooks/registry"
HARBOR_ALIAS = "/webhooks/harbor"
ADDRESSES = ("/hooks", "/webhooks")  # what paths of hooks begin with, or are meant to
_SECRET_IN_QUERY = frozenset({"dockerhub", "quay", "generic"})  # they can send it nowhere else

NO_POST = failed(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "Hooks are sent here with POST. docs/hooks.md says how each registry is set up, and"
    " 'otaflux hook-example' prints a request to try",
).with_headers(("Allow", "POST"))
NOT_EXPECTED = failed(HTTPStatus.EXPECTATION_FAILED, "Only 'Expect: 100-continue' is understood")
NO_SOURCE = (
    f"There is no such source. {ADDRESS}/SOURCE takes {', '.join(sorted(hooks.SOURCES))};"
    f" {ADDRESS} takes all of them"
)
ELSEWHERE = (
    f"Hooks are taken at {ADDRESS}, {ADDRESS}/SOURCE and {HARBOR_ALIAS}; nothing is at this address"
)
NO_HTTP = (
    "this is no HTTP request that can be read: is a header sent twice, such as a Content-Type that"
    " the registry's settings add to its own?"
)
_PLAIN = frozenset({ADDRESS, HARBOR_ALIAS, *(f"{ADDRESS}/{name}" for name in hooks.SOURCES)})
_HOOKS = (f"POST {ADDRESS}".encode(), f"POST {HARBOR_ALIAS}".encode())


class Receiver:
    """Takes hooks.

    `secrets` gives the secrets that count now; with none, hooks are closed. `touch` puts a reason
    to look into the work queue, `known` hears of each device that an accepted hook names, before
    that. `events` hears of what was accepted and of each answer. `sender` tells where a request is
    from. `clock` counts seconds and never goes back.
    """

    def __init__(
        self,
        *,
        secrets: Callable[[], Sequence[str]],
        intake: Intake,
        touch: Callable[[Touch], object],
        known: Callable[[Device], object],
        events: Events,
        sender: Callable[[web.BaseRequest], str] = lambda request: request.remote or "",
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: randomness.token_hex(6),
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self._secrets = secrets
        self._intake = intake
        self._touch = touch
        self._known = known
        self._events = events
        self._sender = sender
        self._clock = clock
        self._new_id = new_id
        self._body_timeout = body_timeout
        self._unproven = UnprovenBodies()
        self._rejections = Folded(Event.HOOK_REJECTED, clock)

    @property
    def unproven(self) -> int:
        """How many bodies are being read whose sender is not proven yet."""
        return len(self._unproven)

    def unreadable(self, client: str, began: bytes) -> None:
        """A request that began so is no HTTP that can be read, and was answered 400."""
        if began.startswith(_HOOKS):
            self._note_rejected(client, "unknown", HTTPStatus.BAD_REQUEST, NO_HTTP)
            self._events.tell(HookAnswered("unknown", "rejected"))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One hook from its head to its answer, at whichever address of ours it came."""
        target = request.raw_path
        path = target if target in _PLAIN else Target.parse(target).path
        if path != HARBOR_ALIAS and f"{path}/".removeprefix(f"{ADDRESS}/") == f"{path}/":
            return self._misplaced(request)
        if request.method != hdrs.METH_POST:
            return Written(_for(request, NO_POST))
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            return Written(NOT_EXPECTED)
        hook = self._new_id()
        source = source_of(path)
        with bound_contextvars(hook=hook):
            try:
                secrets = proof.check_open(self._secrets())
                if source is not None and source not in hooks.SOURCES:
                    raise NotFound(NO_SOURCE)
                headers = [(name.lower(), value) for name, value in request.headers.items()]
                body = await self._proven(request, headers, source, secrets)
                _check_plain(request.headers.get(hdrs.CONTENT_ENCODING, ""))
                delivery = await _in_turn(body, hooks.parse, dict(headers), body, source)
            except OtaFluxError as error:
                return self._rejected(request, source, error)
            return await self._enqueued(hook, delivery)

    async def _proven(
        self,
        request: web.BaseRequest,
        headers: proof.Headers,
        source: str | None,
        secrets: Sequence[bytes],
    ) -> bytes:
        """The body of a sender who knows the secret."""
        check_size(request)
        in_query = request.query.getall("secret", []) if source in _SECRET_IN_QUERY else []
        claims = proof.check_head(headers, in_query, secrets)
        if claims is None:
            return await read_body(request, within=self._body_timeout)
        with self._unproven.place(self._sender(request)) as place:
            body = await read_body(request, within=self._body_timeout, place=place)
            texts = _signed(dict(headers), body)
            await _in_turn(body, proof.check_body, claims, texts, secrets)
            return body

    async def _enqueued(self, hook: str, delivery: hooks.Delivery) -> web.StreamResponse:
        """What was said is in the queue, and the answer says what was not."""
        now = self._clock()
        touches: dict[Device, Touch] = {}
        accepted: list[dict[str, str | None]] = []
        ignored: list[dict[str, str]] = []
        for number, part in enumerate(delivery.parts, 1):
            judged = part if isinstance(part, Noise) else self._intake.judge(part, hook, now)
            if isinstance(judged, Accepted):
                device = judged.touch.device
                earlier = touches.get(device)
                touches[device] = earlier + judged.touch if earlier else judged.touch
                accepted.append(self._accepted(hook, delivery.source, judged))
            else:
                ignored.append(_ignored(delivery.source, judged))
            if number % PARTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        for device, touch in touches.items():
            self._known(device)
            self._touch(touch)
        outcome = "accepted" if accepted else "ignored"
        self._events.tell(HookAnswered(delivery.source, outcome))
        body = msgspec.json.encode({"accepted": accepted, "ignored": ignored})
        headers = (("Content-Type", JSON), ("Content-Length", str(len(body))))
        return Written(Answer(HTTPStatus.ACCEPTED if accepted else HTTPStatus.OK, headers, body))

    def _accepted(self, hook: str, source: str, judged: Accepted) -> dict[str, str | None]:
        device = judged.touch.device
        self._events.tell(HookAccepted(hook, source, device, judged.tag, judged.action))
        return {"device": device.name, "tag": judged.tag, "action": judged.action.value}

    def _rejected(
        self, request: web.BaseRequest, source: str | None, error: OtaFluxError
    ) -> web.StreamResponse:
        answer = refuse(error)
        name = source if source in hooks.SOURCES else "unknown"
        reason = plain(str(error), MAX_SENTENCE)
        self._note_rejected(self._sender(request), name, answer.status, reason)
        self._events.tell(HookAnswered(name, "rejected"))
        return Written(answer, close=isinstance(error, TooLarge | TimedOut | Busy))

    def _misplaced(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a hook, or a look, at an address that is none."""
        if request.method == hdrs.METH_POST:
            sender = self._sender(request)
            self._note_rejected(sender, "unknown", HTTPStatus.NOT_FOUND, ELSEWHERE)
            self._events.tell(HookAnswered("unknown", "rejected"))
        return Written(_for(request, failed(HTTPStatus.NOT_FOUND, ELSEWHERE)))

    def _note_rejected(self, sender: str, source: str, status: int, reason: str) -> None:
        """Log it, folded: registries try again for ever."""
        self._rejections.note(
            (sender, source, status), sender=sender, source=source, status=status, reason=reason
        )


async def _in_turn(body: bytes, work: Callable[..., T], *arguments: Any) -> T:
    """Work on a body, which is done in a thread where it is a large one."""
    if len(body) > LARGE:
        return await asyncio.to_thread(work, *arguments)
    return work(*arguments)


def _check_plain(encoding: str) -> None:
    """Raise `BadHook` for a compressed body, which is not unpacked for anybody."""
    if encoding.strip().lower() not in {"", "identity"}:
        raise BadHook(f"The body is compressed ({plain(encoding, MAX_SENTENCE)}): send it as it is")


def _signed(headers: hooks.Headers, body: bytes) -> Iterator[bytes]:
    """What an HMAC may be of: the raw body; of Gitea's forms it is of the JSON in them."""
    yield body
    if len(body) <= MAX_SIGNED_FORM and "x-gitea-signature" in headers:
        held = hooks.form_json(headers, body)
        if held is not None:
            yield held


def _ignored(source: str, part: Ignored | Noise) -> dict[str, str]:
    said = {
        "repository": plain(part.repository, MAX_SENTENCE),
        "reason": plain(part.reason, MAX_SENTENCE),
    }
    # A registry sends noise for all that it does; a part that is malformed was meant for us.
    is_usual = isinstance(part, Noise) and not part.is_malformed
    write = log.debug if is_usual else log.info
    write(Event.HOOK_IGNORED, source=source, **said)
    return said


def source_of(path: str) -> str | None:
    """The one source that an address of hooks takes; None where it takes all of them."""
    if path == HARBOR_ALIAS:
        return "harbor"
    return path.removeprefix(ADDRESS).strip("/") or None


def address_of(target: str) -> str:
    """The address of ours that a target is, as metrics name it; `other` where it is none."""
    if target in _PLAIN:
        return target
    try:
        path = Target.parse(target).path
    except NotFound:
        return "other"
    return path if path in _PLAIN else "other"


def _for(request: web.BaseRequest, answer: Answer) -> Answer:
    return answer.without_body() if request.method == hdrs.METH_HEAD else answer
