"""A registry that speaks the distribution protocol over a real socket, and misbehaves on demand.

    async def test_a_cut_is_resumed():
        async with FakeRegistry() as registry:
            digest = registry.content.put("acme/sensor", "1.4.0", layers=[b"x" * 100_000])
            registry.fail("blob", Cut(at=50_000))           # once; times=None is for ever
            ...                                             # point a client at registry.url
            assert registry.seen("blob")[1].headers["Range"] == "bytes=50000-"

Three servers on 127.0.0.1, each with a port and so an origin of its own: the registry (`url`), its
token server (`token_url`, for `auth="bearer"`) and object storage (`storage_url`, where blobs are
redirected to with `redirect_blobs=True`). Each request to any of them is written down whole in
`requests`. Kinds of requests, for `fail` and `seen`: ping, tags, manifest, blob, referrers,
catalog, project (Harbor's API), upload, token, storage.

What is set in the constructor can be changed while it runs, the port stays. `stop()` and `start()`
take the registry away and bring it back on the same port.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from aiohttp import web
from fake_answers import Answers, Seen, error
from fake_content import Content
from fake_faults import Fault, Reply
from fake_tokens import Tokens
from fake_uploads import Uploads
from multidict import CIMultiDict

__all__ = ["Content", "FakeRegistry", "Fault", "Reply", "Seen"]

_ROUTES = [
    ("tags", re.compile(r"(?P<name>.+)/tags/list")),
    ("manifest", re.compile(r"(?P<name>.+)/manifests/(?P<reference>[^/]+)")),
    ("upload", re.compile(r"(?P<name>.+)/blobs/uploads/?(?P<reference>[^/]*)")),
    ("blob", re.compile(r"(?P<name>.+)/blobs/(?P<reference>[^/]+)")),
    ("referrers", re.compile(r"(?P<name>.+)/referrers/(?P<reference>[^/]+)")),
    ("catalog", re.compile(r"_catalog")),
    ("ping", re.compile(r"")),
]


@dataclass(slots=True)
class _Failing:
    kind: str
    fault: Fault
    left: int | None
    when: Callable[[Seen], bool]


class FakeRegistry(Answers):
    """See the module."""

    def __init__(
        self,
        *,
        auth: Literal["none", "basic", "bearer"] = "none",
        users: Mapping[str, str] | None = None,
        page_size: int | None = None,
        absolute_links: bool = False,
        referrers: bool = True,
        catalog: bool = True,
        harbor: bool = False,
        redirect_blobs: bool = False,
        base_path: str = "",
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(Content())
        self.tokens = Tokens(users or {"robot": "s3cret"})
        self.uploads = Uploads(self.content)
        self.auth = auth
        self.page_size = page_size
        self.absolute_links = absolute_links
        self.referrers = referrers
        self.catalog = catalog
        self.harbor = harbor
        self.redirect_blobs = redirect_blobs
        self.base_path = base_path
        self.challenge: str | list[str] | None = None  # in place of the right one
        self._news = asyncio.Event()
        self._host = host
        self._tls = tls
        self._failing: list[_Failing] = []
        self._runners: dict[str, web.AppRunner] = {}
        self._ports: dict[str, int] = {}

    # --- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        for part in ("registry", "token", "storage"):
            await self.start(part)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error_: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in list(self._runners):
            await self.stop(part)

    async def start(self, part: str = "registry") -> None:
        """Begin to answer; a part that was stopped comes back on its old port."""
        handlers = {"registry": self._registry, "token": self._token, "storage": self._storage}
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", handlers[part])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._ports.get(part, 0), ssl_context=self._tls)
        await site.start()
        self._runners[part] = runner
        self._ports[part] = runner.addresses[0][1]

    async def stop(self, part: str = "registry") -> None:
        """Refuse connections and end those that are open."""
        await self._runners.pop(part).cleanup()

    def delete(self, seen: Seen) -> Reply:
        """A DELETE of a manifest."""
        return self.uploads.delete(seen)

    def origin(self, part: str) -> str:
        """Scheme, host and port of `registry`, `token` or `storage`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._ports[part]}"

    @property
    def url(self) -> str:
        """What `REGISTRY_URL` would be."""
        return self.origin("registry") + self.base_path

    @property
    def token_url(self) -> str:
        """The realm of the token server."""
        return self.origin("token") + "/token"

    @property
    def storage_url(self) -> str:
        """Where blobs are redirected to."""
        return self.origin("storage")

    # --- what a test says and asks --------------------------------------------------------------

    def fail(
        self,
        kind: str,
        fault: Fault,
        *,
        times: int | None = 1,
        when: Callable[[Seen], bool] = lambda _: True,
    ) -> None:
        """Let the next `times` requests of a kind (`*` is each) go wrong; None is for ever.

        Faults of a kind come in the order in which they were asked for.
        """
        self._failing.append(_Failing(kind, fault, times, when))

    def heal(self) -> None:
        """Forget all faults that are still to come."""
        self._failing.clear()

    def seen(self, kind: str, *, method: str | None = None) -> list[Seen]:
        """The requests of a kind, in order."""
        return [
            seen
            for seen in self.requests
            if seen.kind == kind and (method is None or seen.method == method)
        ]

    async def arrived(self, kind: str, number: int) -> None:
        """Return once so many requests of a kind have come."""
        while len(self.seen(kind)) < number:
            self._news.clear()
            await self._news.wait()

    def _write_down(self, seen: Seen) -> Seen:
        self.requests.append(seen)
        self._news.set()
        return seen

    # --- the registry -----------------------------------------------------------------------------

    async def _registry(self, request: web.Request) -> web.StreamResponse:
        seen = self._note(request)
        reply = self._admit(seen)
        if reply is None:
            if seen.kind == "upload" or (seen.kind == "manifest" and seen.method == "PUT"):
                body = await request.read() if seen.kind == "manifest" else b""
                reply = await self.uploads.answer(request, seen, body)
            else:
                reply = self.answer(seen)
        return await self._send(request, seen, reply)

    def _note(self, request: web.Request) -> Seen:
        seen = Seen("other", request.method, request.path, request.query, request.headers.copy())
        if request.path.startswith(f"{self.base_path}/api/v2.0/projects/"):
            seen.kind = "project"
        prefix = f"{self.base_path}/v2/"
        if request.path.startswith(prefix):
            rest = request.path.removeprefix(prefix)
            for kind, pattern in _ROUTES:
                if match := pattern.fullmatch(rest):
                    seen.kind = kind
                    seen.repository = match.groupdict().get("name") or ""
                    seen.reference = match.groupdict().get("reference") or ""
                    break
        return self._write_down(seen)

    async def _send(self, request: web.Request, seen: Seen, reply: Reply) -> web.StreamResponse:
        seen.status = reply.status
        for failing in self._failing:
            if failing.kind in {seen.kind, "*"} and failing.left != 0 and failing.when(seen):
                if failing.left is not None:
                    failing.left -= 1
                response = await failing.fault.send(request, reply)
                seen.status = response.status
                return response
        return reply.response()

    def _scope(self, seen: Seen) -> str:
        if seen.kind in {"catalog", "project"}:
            return "registry:catalog:*"
        if seen.kind == "ping":
            return ""
        action = "pull,push" if seen.method in {"POST", "PUT", "PATCH"} else "pull"
        if seen.method == "DELETE":
            action = "delete"
        return f"repository:{seen.repository}:{action}"

    def _admit(self, seen: Seen) -> Reply | None:
        """None lets the request through, else the challenge."""
        if self.auth == "none":
            return None
        header = seen.headers.get("Authorization", "")
        scope = self._scope(seen)
        basic = self.auth == "basic" or seen.kind == "project"
        if basic and self.tokens.basic(header):
            return None
        if not basic and self.tokens.bearer(header, scope):
            return None
        challenge: str | list[str] = 'Basic realm="fake, with a comma"'
        if not basic:
            scoped = f',scope="{scope}"' if scope else ""
            challenge = f'Bearer realm="{self.token_url}",service="fake.registry"{scoped}'
        if self.challenge is not None:
            challenge = self.challenge
        reply = error(401, "UNAUTHORIZED", "authentication required")
        if isinstance(challenge, str):
            return Reply(401, reply.body, {**reply.headers, "WWW-Authenticate": challenge})
        headers = CIMultiDict(reply.headers)
        for each in challenge:
            headers.add("WWW-Authenticate", each)
        return Reply(401, reply.body, headers)

    # --- its neighbours ---------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.StreamResponse:
        seen = Seen("token", request.method, request.path, request.query, request.headers.copy())
        self._write_down(seen)
        form = dict(await request.post()) if request.method == "POST" else None
        reply = self.tokens.answer(seen.query, seen.headers.get("Authorization", ""), form)
        return await self._send(request, seen, reply)

    async def _storage(self, request: web.Request) -> web.StreamResponse:
        seen = Seen("storage", request.method, request.path, request.query, request.headers.copy())
        self._write_down(seen)
        repository, _, digest = request.path.lstrip("/").rpartition("/")
        if "Authorization" in seen.headers:
            reply = Reply(400, b"Only one auth mechanism allowed")
        else:
            holder = self.content.repositories.get(repository)
            blob = holder.blobs.get(digest) if holder else None
            reply = Reply(404) if blob is None else Reply(200, blob)
        if reply.status == 200:
            reply = reply.ranged(seen.headers.get("Range"))
        return await self._send(request, seen, reply)
