"""What goes into `Authorization`: Basic, or a token that the registry's token server gave.

Nothing is sent before it is asked for: the first request goes without, the registry's challenge is
remembered, and from then on tokens are there before the request. A token is kept by realm, service,
scope and login until it ends, counted on the monotonic clock from its receipt; a 401 renews it
once. Whoever needs a token that is being fetched waits for that one (all on one event loop).

Trust: the challenge is the registry's word. Its realm has to pass `endpoint.check_realm` before it
hears of credentials, at each redirect again, and at another origin than the first it hears of none.
What is asked for is always our own scope: a challenge cannot widen it.

Source: distribution's token specification (`spec/auth/token.md`, `oauth.md`), RFC 9110 and 6750.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from yarl import URL

from otaflux.errors import Undecided
from otaflux.model.names import Repository
from otaflux.registry.challenge import Challenge, parse_challenges
from otaflux.registry.credentials import Credentials, Login
from otaflux.registry.endpoint import Endpoint, check_realm, read_url, same_origin
from otaflux.registry.newest import Newest
from otaflux.registry.wording import plain

MIN_LIFETIME = 60.0  # seconds; the specification's default, and its floor for older clients
MAX_LIFETIME = 86_400.0  # seconds; a token that lasts longer is fetched anew each day
MAX_TOKENS = 256  # kept at once; of up to 16 KiB each, and they last minutes
MAX_CHALLENGES = 10_000  # scopes whose challenge is remembered
MAX_TOKEN = 16 * 1024  # characters that go into a header
MAX_TOKEN_BODY = 64 * 1024  # bytes of a token server's answer
MAX_REDIRECTS = 3  # of a token server

CLIENT = "otaflux"
_HEADER_SAFE = re.compile(r"[!-~]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_REFRESH = frozenset({404, 405})  # a token server that knows no refresh_token
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_OK = 200


class Denied(Undecided):
    """401 or 403: rights or credentials. The caller keeps what it has; `hint` says what to set."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request needs: `text` as token servers write it, and the repository, if it has one."""

    text: str
    repository: Repository | None = None

    @classmethod
    def of(cls, repository: Repository, wire_name: str, *actions: str) -> Scope:
        """For a repository; actions are `pull` and `push`."""
        return cls(f"repository:{wire_name}:{','.join(actions)}", repository)


CATALOG = Scope("registry:catalog:*")


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token server's answer, its body cut off above the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(Protocol):
    """How a token server is asked: one request, no redirects followed."""

    async def __call__(
        self, method: str, url: URL, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> TokenAnswer:
        """The answer; raises `Undecided` where there is none, or it is 5xx or 429."""
        ...


@dataclass(frozen=True, slots=True)
class _Ask:
    """What names a token."""

    realm: str
    service: str
    scope: str
    login: Login | None


@dataclass(frozen=True, slots=True)
class Grant:
    """An Authorization header, what was asked for it, and whether no request carried it before."""

    header: str = field(repr=False)
    ask: _Ask | None = None
    just_given: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    ends: float


class _Reply(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: msgspec.Raw = msgspec.Raw(b"null")


class Authority:
    """The headers for one registry."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        exchange: Exchange,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._exchange = exchange
        self._clock = clock
        self._basic = False
        self._usual: tuple[str, str] | None = None  # realm and service of any repository
        self._challenges: Newest[str, tuple[str, str, str]] = Newest(MAX_CHALLENGES)
        self._tokens: Newest[_Ask, _Token] = Newest(MAX_TOKENS)
        self._under_way: dict[_Ask, asyncio.Task[_Token]] = {}

    async def close(self) -> None:
        """End what is being fetched."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def grant(self, scope: Scope) -> Grant | None:
        """The header that a request should begin with, by what the registry asked for before."""
        login = self._credentials.login(scope.repository)
        if self._basic and login is not None:
            return Grant(login.basic())
        known = self._challenges.get(scope.text)
        if known is None and self._usual is not None:
            known = (*self._usual, scope.text)
        if known is None:
            return None
        return await self._token_grant(_Ask(*known, login))

    def basic(self, scope: Scope) -> Grant | None:
        """Name and password, for an API that has no challenge; None where there are none."""
        login = self._credentials.login(scope.repository)
        return Grant(login.basic()) if login is not None else None

    async def after_401(self, scope: Scope, headers: Iterable[str], refused: Grant | None) -> Grant:
        """The header to try once more with; raises `Denied` where there is none.

        `headers` are the challenges, `refused` is what the request carried.
        """
        login = self._credentials.login(scope.repository)
        challenges = parse_challenges(headers)
        for challenge in challenges:
            if challenge.scheme == "bearer":
                return await self._renewed(scope, challenge, login, refused)
        if not any(challenge.scheme == "basic" for challenge in challenges):
            raise self._denied(login, "and says no way to log in that OtaFlux knows")
        if login is None or (refused is not None and refused.header == login.basic()):
            raise self._denied(login, "")
        self._basic = True
        return Grant(login.basic())

    async def _renewed(
        self, scope: Scope, challenge: Challenge, login: Login | None, refused: Grant | None
    ) -> Grant:
        realm = read_url(challenge.params.get("realm", ""), base=self._endpoint.base)
        check_realm(self._endpoint, realm)
        named = _ours(challenge.params.get("scope", ""), scope.text)
        ask = _Ask(str(realm), challenge.params.get("service", ""), named, login)
        if refused is not None:
            if refused.just_given and refused.ask == ask:
                raise self._denied(login, "with a token that its own token server just gave")
            held = self._tokens.get(ask)
            if held is not None and held.header == refused.header:
                self._tokens.drop(ask)
        self._challenges.keep(scope.text, (ask.realm, ask.service, ask.scope))
        if named == scope.text and scope.repository is not None:
            self._usual = (ask.realm, ask.service)
        return await self._token_grant(ask)

    def denied(self, scope: Scope, what: str) -> Denied:
        """The error for a 401 or 403 that stands; `what` is the registry's own reason."""
        return self._denied(self._credentials.login(scope.repository), what)

    def _denied(self, login: Login | None, what: str) -> Denied:
        who = "those credentials" if login else "a request without credentials"
        hint = (
            f"look at {login.look_at}: wrong, expired, or without the right to read it"
            if login
            else "set REGISTRY_USERNAME and REGISTRY_PASSWORD, or is the name of the registry,"
            " the REPOSITORY_PREFIX or the device wrong?"
        )
        return Denied(f"the registry refuses {who} {what}".rstrip(), hint=hint)

    async def _token_grant(self, ask: _Ask) -> Grant:
        held = self._tokens.get(ask)
        if held is not None and self._clock() < held.ends:
            return Grant(held.header, ask)
        task = self._under_way.get(ask)
        if task is None:
            task = asyncio.create_task(self._fetch(ask))
            self._under_way[ask] = task
            task.add_done_callback(lambda done: self._fetched(ask, done))
        # The one who began it may be cancelled; the others still wait for it.
        token = await asyncio.shield(task)
        return Grant(token.header, ask, just_given=True)

    def _fetched(self, ask: _Ask, task: asyncio.Task[_Token]) -> None:
        del self._under_way[ask]
        if not task.cancelled() and task.exception() is None:
            self._tokens.keep(ask, task.result())

    async def _fetch(self, ask: _Ask) -> _Token:
        login = ask.login
        if login is not None and login.identity_token is not None:
            form = {
                "grant_type": "refresh_token",
                "service": ask.service,
                "client_id": CLIENT,
                "scope": ask.scope,
                "refresh_token": login.identity_token.reveal(),
            }
            answer = await self._exchange(
                "POST", URL(ask.realm, encoded=True), headers={}, form=form
            )
            if answer.status not in _NO_REFRESH:
                return self._read(ask, answer)
        return self._read(ask, await self._get(ask))

    async def _get(self, ask: _Ask) -> TokenAnswer:
        realm = URL(ask.realm, encoded=True)
        query = (
            {"service": ask.service, "scope": ask.scope} if ask.scope else {"service": ask.service}
        )
        headers = {}
        if ask.login is not None:
            headers["Authorization"] = ask.login.basic()
            query["account"] = ask.login.username
        url = realm.update_query({name: value for name, value in query.items() if value})
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._exchange("GET", url, headers=headers, form=None)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            url = read_url(answer.headers["Location"], base=url)
            check_realm(self._endpoint, url)
            if not same_origin(url, realm):
                headers = {}
        raise Undecided("the registry's token server redirects in a circle")

    def _read(self, ask: _Ask, answer: TokenAnswer) -> _Token:
        host = plain(URL(ask.realm, encoded=True).host)
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise self._denied(ask.login, f"at its token server {host} ({answer.status})")
        if answer.status != _OK:
            raise Undecided(f"the registry's token server {host} answers {answer.status}")
        try:
            reply = msgspec.json.decode(answer.body, type=_Reply)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise Undecided(f"the registry's token server {host} sent no token") from None
        token = reply.token or reply.access_token or ""
        if len(token) > MAX_TOKEN or not _HEADER_SAFE.fullmatch(token):
            raise Undecided(f"the registry's token server {host} sent no token that can be used")
        return _Token(f"Bearer {token}", self._clock() + _lifetime(reply.expires_in))


def _ours(challenged: str, wanted: str) -> str:
    """Our actions on the resource as the registry names it.

    A registry behind a path may call a repository otherwise than we do (`docker-local/acme/sensor`)
    and means its own name in the token.
    """
    kind, _, rest = challenged.partition(":")
    name, _, actions = rest.rpartition(":")
    one = kind and name and actions and not re.search(r"\s", challenged)
    our_kind, _, our_rest = wanted.partition(":")
    return f"{kind}:{name}:{our_rest.rpartition(':')[2]}" if one and kind == our_kind else wanted


def _lifetime(raw: msgspec.Raw) -> float:
    """`expires_in` in seconds, 60 to a day; 60 where it is missing or no number."""
    try:
        seconds = msgspec.json.decode(raw, type=float)
    except (msgspec.MsgspecError, UnicodeError):
        return MIN_LIFETIME
    return min(max(seconds, MIN_LIFETIME), MAX_LIFETIME)
