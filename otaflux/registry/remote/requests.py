"""One request to the registry: its authorization, its redirects, its errors.

A request that got an answer gives it, whatever its status; 5xx, 429, 408 and connections that fail
raise `Undecided` or `Unreachable`, after the tries of the policy. The registry is not trusted:
bodies have a limit and a time, and redirects are followed here, hop by hop, with the registry's
`Authorization` at the registry's own origin and nowhere else.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from otaflux.errors import Undecided, Unreachable
from otaflux.registry.remote import failures
from otaflux.registry.remote.auth import Authority, Grant
from otaflux.registry.remote.connecting import Peer, trouble
from otaflux.registry.remote.credentials import Credentials
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.endpoint import Endpoint, read_url
from otaflux.registry.remote.neighbourhood import Neighbourhood
from otaflux.registry.remote.pages import oci_reason
from otaflux.registry.remote.retries import RETRIED_STATUSES, retry_after
from otaflux.registry.remote.tokens import TokenAnswer
from otaflux.registry.remote.ways import Greeting, Scope
from otaflux.registry.remote.wire import Wire
from otaflux.wording import plain

MAX_BODY = 8 * 1024 * 1024  # bytes of a page; 100,000 repositories of 80 characters
MAX_ERROR_BODY = 64 * 1024  # bytes of a body that is read only for its error code
LARGE_BODY = 256 * 1024  # bytes
LARGE_AT_ONCE = 2  # bodies that are large, where the caller asks for it
MAX_REDIRECTS = 5
MAX_ROUNDS = 3  # without a token, with one, with a renewed one

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOLLOWING = frozenset({"GET", "HEAD"})
_GREETING = Scope("")
_HARBORS = re.compile(r'service="harbor-registry"|realm="harbor"')


class BodyTooLarge(Undecided):
    """A body above its limit: not read to its end, so nothing is known of it."""


class Call(msgspec.Struct, frozen=True):
    """What is asked of the registry.

    `content_addressed` bytes may be redirected to plain http. `data` that can be sent only `once`
    is neither retried nor sent again with another token. `basic_first` sends name and password,
    where there are any, before they are asked for.
    """

    kind: str
    method: str
    url: URL
    scope: Scope
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    data: Any = None
    content_addressed: bool = False
    once: bool = False
    basic_first: bool = False


class RegistryAnswer(msgspec.Struct, frozen=True):
    """What the registry said, whole. `url` is where it was said, after redirects."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: URL


class Requests:
    """The way to one registry, over a `Wire` that is open."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        wire: Wire,
        neighbourhood: Neighbourhood,
    ) -> None:
        self.endpoint = endpoint
        self.wire = wire
        self.neighbourhood = neighbourhood
        self._authority = Authority(
            endpoint,
            credentials,
            self._exchange,
            self._greet,
            neighbourhood.check_realm,
            wire.secrets,
            clock=wire.clock,
        )
        self._outage = failures.FailingRepositories()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self.is_harbor = False  # until it shows itself, by its challenges or its error codes

    async def close(self) -> None:
        """End the fetching of tokens; the wire is its owner's to close, after this."""
        await self._authority.close()

    async def ask(
        self, call: Call, *, max_bytes: int = MAX_BODY, large: AsyncExitStack | None = None
    ) -> RegistryAnswer:
        """An answer with its whole body (of an error's, its beginning).

        With `large`, a body above `LARGE_BODY` is read on only while it has one of `LARGE_AT_ONCE`
        places, which that stack gives back.

        Raises `Denied` for 401 and 403, `BodyTooLarge` for a body above `max_bytes`, and
        `Undecided` as the module says.
        """
        async with self.stream(call) as response:
            await self.check_allowed(response, call)
            body = await self.body(response, max_bytes, call.scope, large=large)
            return RegistryAnswer(response.status, response.headers, body, response.url)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body is still to be read; leaving the context lets go of it.

        A 401 comes only from an origin that the registry redirects to.
        """
        response = await self._opened(call)
        try:
            yield response
        finally:
            response.close()

    async def check_allowed(self, response: aiohttp.ClientResponse, call: Call) -> None:
        """Raises `Denied` for a 401 or 403, with the registry's own reason.

        One of an origin that the registry redirects to was not shown any credentials.
        """
        status = response.status
        if status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return
        if not self.endpoint.owns(response.url):
            raise self._moved(call, response.url, status)
        said = oci_reason(await self.body(response, MAX_ERROR_BODY, call.scope))
        raise self._authority.denied(
            call.scope, str(status), said, is_known=status == HTTPStatus.FORBIDDEN
        )

    def _moved(self, call: Call, url: URL, status: int) -> Denied:
        """The error for an API that lies elsewhere than at the address that is set."""
        own, there = plain(self.endpoint.base.origin()), plain(url.origin())
        base = plain(f"{url.origin()}{url.path.partition(call.url.path)[0]}".rstrip("/"))
        return Denied(
            f"the registry {own} redirects to {there}, which answers {status}: credentials are for"
            f" {own} alone, and were not sent there",
            hint=f"Set REGISTRY_URL={base}, if that is the registry",
        )

    async def body(
        self,
        response: aiohttp.ClientResponse,
        max_bytes: int,
        scope: Scope,
        *,
        large: AsyncExitStack | None = None,
    ) -> bytes:
        """A response's body; an error's is cut off at a limit of its own and may break.

        Raises `BodyTooLarge`, and `Undecided` where it breaks or takes too long.
        """
        is_error = response.status >= HTTPStatus.BAD_REQUEST
        limit = MAX_ERROR_BODY if is_error else max_bytes
        whole = io.BytesIO()  # which hands out what it holds without a copy
        size = 0
        try:
            async with asyncio.timeout(self.wire.policy.body_timeout):
                async for piece in response.content.iter_any():
                    size += whole.write(piece)
                    if size > limit:
                        break
                    if large is not None and size > LARGE_BODY:
                        await large.enter_async_context(self._large)
                        large = None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not is_error:
                raise self.broken(error, response.url, scope) from None
        if size > limit and not is_error:
            raise BodyTooLarge(f"the registry's answer is larger than {limit} bytes")
        return whole.getvalue()

    def broken(self, error: Exception, url: URL, scope: Scope, *, kind: str = "") -> Undecided:
        """The error for a connection that failed, or broke while a body came."""
        peer = Peer.REGISTRY if self.endpoint.owns(url) else Peer.STORAGE
        if kind == "token" and peer is not Peer.REGISTRY:
            peer = Peer.TOKENS
        said = trouble(error, url, self.wire.proxy(url), peer)
        if peer is Peer.STORAGE:
            return Undecided(said.message, hint=said.hint)
        if failures.is_connecting(error):
            return Unreachable(said.message, hint=said.hint)
        return self._outage.failed(scope.text, said.message, hint=said.hint)

    async def _opened(self, call: Call) -> aiohttp.ClientResponse:
        if call.basic_first:
            grant = await self._authority.basic(call.scope)
        else:
            grant = await self._authority.grant(call.scope)
        said = ""
        for _ in range(1 if call.once else MAX_ROUNDS):
            response = await self._followed(call, grant)
            own = self.endpoint.owns(response.url)
            if response.status in RETRIED_STATUSES:
                response.close()
                raise self._status_error(response, call.scope, own=own)
            if not own or response.status != HTTPStatus.UNAUTHORIZED:
                if own:
                    self._outage.answered()
                    there = response.status < HTTPStatus.BAD_REQUEST
                    self._authority.accepted(call.scope, grant, read=there)
                return response
            challenges = response.headers.getall("WWW-Authenticate", [])
            self._recognize(challenges)
            said = oci_reason(await self._rest(response, call.scope))
            grant = await self._authority.after_401(call.scope, challenges, grant, said)
        raise self._authority.denied(call.scope, "401", said)

    def _recognize(self, challenges: Iterable[str]) -> None:
        self.is_harbor |= any(_HARBORS.search(challenge) for challenge in challenges)

    async def _rest(self, response: aiohttp.ClientResponse, scope: Scope) -> bytes:
        """An error's body, after which its connection may be used again."""
        try:
            return await self.body(response, MAX_ERROR_BODY, scope)
        finally:
            response.release()

    async def _greet(self, authorization: str | None) -> Greeting:
        """What `/v2/` answers at the registry itself, for `Authority`."""
        headers = {} if authorization is None else {"Authorization": authorization}
        url = self.endpoint.api("")
        response = await self._sent("ping", "GET", url, _GREETING, headers, None, once=False)
        try:
            if response.status in RETRIED_STATUSES:
                raise self._status_error(response, _GREETING, own=True)
            challenges = response.headers.getall("WWW-Authenticate", [])
            self._recognize(challenges)
            return Greeting(response.status, tuple(challenges))
        finally:
            response.close()

    def _status_error(
        self, response: aiohttp.ClientResponse, scope: Scope, *, own: bool
    ) -> Undecided:
        message = failures.status_message(response.status, response.url)
        wait = retry_after(response.headers, self.wire.wall())
        if own:
            return self._outage.failed(scope.text, message, retry_after=wait)
        return Undecided(message, retry_after=wait)

    async def _followed(self, call: Call, grant: Grant | None) -> aiohttp.ClientResponse:
        url = call.url
        for _ in range(MAX_REDIRECTS + 1):
            headers = dict(call.headers)
            if grant is not None and self.endpoint.owns(url):
                headers["Authorization"] = grant.header
            response = await self._sent(
                call.kind, call.method, url, call.scope, headers, call.data, once=call.once
            )
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or call.method not in _FOLLOWING or not location:
                return response
            response.release()
            target = read_url(location, base=url)
            await self.neighbourhood.check_redirect(
                url, target, content_addressed=call.content_addressed
            )
            url = target
        raise Undecided("the registry redirects in a circle")

    async def _sent(
        self,
        kind: str,
        method: str,
        url: URL,
        scope: Scope,
        headers: Mapping[str, str],
        data: Any,
        *,
        once: bool,
    ) -> aiohttp.ClientResponse:
        try:
            return await self.wire.send(kind, method, url, headers=headers, data=data, once=once)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: aiohttp will not send what the registry made of an address or a header.
            raise self.broken(error, url, scope, kind=kind) from None

    async def _exchange(
        self, method: str, url: URL, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> TokenAnswer:
        """One request to a token server, for `Authority`."""
        scope = Scope(f"token server {url.host}")
        response = await self._sent("token", method, url, scope, headers, form, once=False)
        try:
            if response.status in RETRIED_STATUSES:
                raise self._status_error(response, scope, own=True)
            body = await self.body(response, MAX_ERROR_BODY, scope)
            return TokenAnswer(response.status, response.headers, body)
        finally:
            response.close()
