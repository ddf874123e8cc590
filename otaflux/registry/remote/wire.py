"""The session with a registry: sockets, TLS, proxies, tries, and a count of requests.

One async context manager owns it all, on one event loop. What is sent is exactly what is asked for:
nothing is added from the environment (`trust_env` would send ~/.netrc to whoever is redirected to),
no cookie is kept (Harbor sets some and then wants CSRF tokens), nothing is unpacked on the way (a
digest is over the bytes as sent), no redirect is followed.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType, SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
from aiohttp_retry import RetryClient
from yarl import URL

from otaflux import __version__
from otaflux.errors import BadSetting
from otaflux.registry.remote.hiding import Secrets
from otaflux.registry.remote.neighbourhood import GuardedResolver
from otaflux.registry.remote.pace import HeadLimit
from otaflux.registry.remote.proxies import Proxy, proxy_for
from otaflux.registry.remote.retries import SERVER, RetryPolicy, Tries
from otaflux.registry.remote.sockets import Sockets
from otaflux.registry.tally import count_request

MAX_HEADER = 64 * 1024  # bytes of one header; signed addresses and tokens pass 8 KiB
READ_BUFFER = 128 * 1024  # bytes; a connection holds twice that

OnRequest = Callable[[str, str], None]

_OUTCOMES = {
    HTTPStatus.NOT_MODIFIED: "ok",
    401: "denied",
    403: "denied",
    404: "missing",
    429: "throttled",
}
_OUTCOMES_BY_CLASS = {2: "ok", 3: "redirected", 4: "refused"}


def outcome_of(status: int) -> str:
    """The word that metrics have for a status."""
    return _OUTCOMES.get(status) or _OUTCOMES_BY_CLASS.get(status // 100, "failed")


class Wire:
    """The session.

    `own_host` is the registry's: with `insecure` its certificate is not looked at, others' are.
    `environ` is looked at for proxies, each time. `connections` is the most to one host at once.
    `on_request` hears of each request on the wire: its kind (`ping`, `tags`, `manifest`,
    `blob`, `referrers`, `catalog`, `project`, `push`, `token`) and its outcome (`ok`, `redirected`,
    `denied`, `missing`, `throttled`, `refused`, `failed`). `check_connection` may be set to what
    raises `OSError` where a name must not be connected to at the addresses that were found for it.
    """

    def __init__(
        self,
        own_host: str,
        *,
        policy: RetryPolicy = SERVER,
        ca_cert_path: Path | None = None,
        insecure: bool = False,
        environ: Mapping[str, str] = MappingProxyType({}),
        connections: int = 16,
        on_request: OnRequest = lambda _kind, _outcome: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        self.policy = policy
        self.secrets = Secrets()
        self.sockets = Sockets()
        self.check_connection: Callable[[str, Sequence[str]], None] = lambda _host, _found: None
        self.clock = clock
        self.wall = wall
        self.chance = chance or random.Random()  # noqa: S311 - spreads waits, keeps no secret
        self._own_host = own_host
        self._ca_cert_path = ca_cert_path
        self._insecure = insecure
        self._environ = environ
        self._connections = connections
        self._on_request = on_request
        self._session: aiohttp.ClientSession | None = None
        # With the system's roots, made when TLS is first spoken: see `otaflux.roots`.
        self._checking: ssl.SSLContext | None = None
        self._one_makes_it = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Read the certificates and open the session; raises `BadSetting`."""
        if self._ca_cert_path is not None:
            self._checking = await asyncio.to_thread(_with_root, self._ca_cert_path)
        tracing = aiohttp.TraceConfig()
        tracing.on_request_end.append(self._ended)
        tracing.on_request_exception.append(self._failed)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                limit_per_host=self._connections,
                socket_factory=self.sockets.make,
                resolver=GuardedResolver(self.check_connection),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"otaflux/{__version__}", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self.policy.connect_timeout,
                sock_read=self.policy.read_timeout,
            ),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            trace_configs=[tracing],
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def proxy(self, url: URL) -> Proxy | None:
        """The proxy for an address; raises `Undecided` where what is set cannot be one."""
        proxy = proxy_for(url, self._environ)
        if proxy is not None and proxy.url.password:
            self.secrets.hide(proxy.url.password)
        return proxy

    async def send(
        self,
        kind: str,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        data: Any = None,
        once: bool = False,
    ) -> aiohttp.ClientResponse:
        """The response to exactly this request, after the tries of the policy.

        Raises aiohttp's errors, for the caller knows what they mean; a status is no error here.
        """
        if self._session is None:
            raise RuntimeError("the registry client is used outside of its context")
        proxy = self.proxy(url)
        pace = HeadLimit(self.policy, len(data) if isinstance(data, bytes) else 0)
        tries = Tries(self.policy, clock=self.clock, wall=self.wall, chance=self.chance, once=once)
        return await RetryClient(self._session, retry_options=tries).request(
            method,
            url,
            headers=dict(headers),
            data=pace.of(data) if isinstance(data, AsyncIterator) else data,
            allow_redirects=False,
            ssl=await self._trust(url, proxy),
            proxy=proxy.url if proxy is not None else None,
            trace_request_ctx={"kind": kind},
            middlewares=(pace.bounded,),
        )

    async def _trust(self, url: URL, proxy: Proxy | None) -> ssl.SSLContext | bool:
        """Whom aiohttp should believe on the way there; False is everybody."""
        if self._insecure and url.host == self._own_host:
            return False
        if url.scheme != "https" and (proxy is None or proxy.url.scheme != "https"):
            return True  # no TLS
        if self._checking is not None:
            return self._checking
        async with self._one_makes_it:
            if self._checking is None:
                self._checking = await asyncio.to_thread(ssl.create_default_context)
            return self._checking

    async def _ended(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        self._count(context.trace_request_ctx["kind"], outcome_of(params.response.status))

    async def _failed(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        self._count(context.trace_request_ctx["kind"], "failed")

    def _count(self, kind: str, outcome: str) -> None:
        count_request()
        self._on_request(kind, outcome)


def _with_root(ca_cert_path: Path) -> ssl.SSLContext:
    """TLS with the system's roots, and one more. Blocks: it reads files."""
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_cert_path)
    except OSError as error:  # SSLError is one
        reason = error.strerror or "no certificates"
        raise BadSetting(
            f"REGISTRY_CA_CERT_PATH: found {ca_cert_path} ({reason}),"
            " expected a PEM file with root certificates"
        ) from None
    return context
