"""What goes into `Authorization`: Basic, or a token that the registry's token server gave.

Nothing is sent before it is asked for: the first request goes without, the registry's challenge is
remembered, and from then on tokens are there before the request. A token is kept by realm, service,
scope and login until it ends, counted on the monotonic clock from its receipt; a 401 renews it
once. A login that was refused is not tried again for a while (see `lockout`). Whoever needs a token
that is being fetched waits for that one (all on one event loop).

Trust: the challenge is the registry's word. Its realm has to pass `endpoint.check_realm` before it
hears of credentials, at each redirect again, and at another origin than the first it hears of none.
What is asked for is always our own scope: a challenge cannot widen it.

Source: distribution's token specification (`spec/auth/token.md`, `oauth.md`), RFC 9110 and 6750.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from yarl import URL

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Undecided
from otaflux.model.names import Repository
from otaflux.registry.remote.challenge import Challenge, parse_challenges
from otaflux.registry.remote.credentials import Credentials, Login
from otaflux.registry.remote.endpoint import Endpoint, check_realm, read_url, same_origin
from otaflux.registry.remote.hiding import Secrets
from otaflux.registry.remote.lockout import WHOLE, Lockout
from otaflux.registry.remote.tokens import (
    Exchange,
    Token,
    TokenAnswer,
    TokenCache,
    TokenRequest,
    read_token,
)
from otaflux.wording import plain

MAX_CHALLENGES = 10_000  # scopes whose challenge is remembered
MAX_REDIRECTS = 3  # of a token server

CLIENT = "otaflux"
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
class Grant:
    """An Authorization header, what was asked for it, and whether no request carried it before."""

    header: str = field(repr=False)
    ask: TokenRequest | None = None
    just_given: bool = False
    login: Login | None = None  # whose name and password the header is


class Authority:
    """The headers for one registry."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        exchange: Exchange,
        secrets: Secrets,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._exchange = exchange
        self._secrets = secrets
        self._clock = clock
        self._basic = False
        self._usual: tuple[str, str] | None = None  # realm and service of any repository
        self._challenges: BoundedMap[str, tuple[str, str, str]] = BoundedMap(MAX_CHALLENGES)
        self._tokens = TokenCache()
        self._lockout = Lockout(clock)
        self._under_way: dict[TokenRequest, asyncio.Task[Token]] = {}

    async def close(self) -> None:
        """End what is being fetched."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def grant(self, scope: Scope) -> Grant | None:
        """The header that a request should begin with, by what the registry asked for before.

        Raises `Denied` where it would have to be a login that was refused a moment ago.
        """
        login = self._credentials.login(scope.repository)
        if self._basic and login is not None:
            return self._basic_grant(login, scope.text)
        known = self._challenges.get(scope.text)
        if known is None and self._usual is not None:
            known = (*self._usual, scope.text)
        if known is None:
            return None
        return await self._token_grant(TokenRequest(*known, login))

    def basic(self, scope: Scope) -> Grant | None:
        """Name and password, for an API that has no challenge; None where there are none."""
        login = self._credentials.login(scope.repository)
        return self._basic_grant(login, WHOLE) if login is not None else None

    def _basic_grant(self, login: Login, scope: str) -> Grant:
        self._check_not_refused(login, login, scope)
        self._secrets.hide(*login.proofs())
        return Grant(login.basic(), login=login)

    def accepted(self, scope: Scope, grant: Grant | None) -> None:
        """A request was not answered 401: its name and password, if it carried them, are good."""
        if grant is not None and grant.login is not None:
            self._lockout.accepted(grant.login, scope.text)

    async def after_401(self, scope: Scope, headers: Iterable[str], refused: Grant | None) -> Grant:
        """The header to try once more with; raises `Denied` where there is none.

        `headers` are the challenges, `refused` is what the request carried. Of the challenges the
        first token server counts that may be asked, else Basic.
        """
        login = self._credentials.login(scope.repository)
        challenges = parse_challenges(headers)
        unusable: Undecided | None = None
        for challenge in challenges:
            if challenge.scheme == "bearer":
                try:
                    realm = self._realm(challenge)
                except Undecided as error:
                    unusable = unusable or error
                else:
                    return await self._renewed(scope, challenge, realm, login, refused)
        if not any(challenge.scheme == "basic" for challenge in challenges):
            raise unusable or self._denied(login, "and says no way to log in that OtaFlux knows")
        if login is None:
            raise unusable or self._denied(login, "")
        self._basic = True
        if refused is not None and refused.header == login.basic():
            wait = 0.0
            if scope.repository is not None:  # a catalog may be for administrators only
                wait = self._lockout.refused(login, scope.text, "(401)")
            raise self._denied(login, "(401)", retry_after=wait)
        return self._basic_grant(login, scope.text)

    def _realm(self, challenge: Challenge) -> URL:
        realm = read_url(challenge.params.get("realm", ""), base=self._endpoint.base)
        check_realm(self._endpoint, realm)
        return realm

    async def _renewed(
        self,
        scope: Scope,
        challenge: Challenge,
        realm: URL,
        login: Login | None,
        refused: Grant | None,
    ) -> Grant:
        named = _ours(challenge.params.get("scope", ""), scope.text)
        ask = TokenRequest(str(realm), challenge.params.get("service", ""), named, login)
        if refused is not None:
            if refused.just_given and refused.ask == ask:
                raise self._denied(login, "with a token that its own token server just gave")
            held = self._tokens.get(ask, self._clock())
            if held is not None and held.header == refused.header:
                self._tokens.drop(ask)
        self._basic = False
        self._challenges.put(scope.text, (ask.realm, ask.service, ask.scope))
        if named == scope.text and scope.repository is not None:
            self._usual = (ask.realm, ask.service)
        return await self._token_grant(ask)

    def denied(self, scope: Scope, what: str) -> Denied:
        """The error for a 401 or 403 that stands; `what` is the registry's own reason."""
        return self._denied(self._credentials.login(scope.repository), what)

    def _denied(self, login: Login | None, what: str, *, retry_after: float = 0.0) -> Denied:
        who = "those credentials" if login else "a request without credentials"
        hint = (
            f"look at {login.look_at}: wrong, expired, or without the right to read it"
            if login
            else "set REGISTRY_USERNAME and REGISTRY_PASSWORD, or is the name of the registry,"
            " the REPOSITORY_PREFIX or the device wrong?"
        )
        message = f"the registry refuses {who} {what}".rstrip()
        return Denied(message, hint=hint, retry_after=retry_after or None)

    def _check_not_refused(self, account: Hashable, login: Login, scope: str) -> None:
        standing = self._lockout.standing(account, scope)
        if standing is not None:
            raise self._denied(login, standing.what, retry_after=standing.left)

    async def _token_grant(self, ask: TokenRequest) -> Grant:
        held = self._tokens.get(ask, self._clock())
        if held is not None:
            self._secrets.hide(held.secret)
            return Grant(held.header, ask)
        task = self._under_way.get(ask)
        if task is None:
            if ask.login is not None:
                self._check_not_refused(ask.account, ask.login, ask.scope)
            task = asyncio.create_task(self._fetch(ask))
            self._under_way[ask] = task
            task.add_done_callback(lambda done: self._fetched(ask, done))
        # The one who began it may be cancelled; the others still wait for it.
        token = await asyncio.shield(task)
        self._secrets.hide(token.secret)
        return Grant(token.header, ask, just_given=True)

    def _fetched(self, ask: TokenRequest, task: asyncio.Task[Token]) -> None:
        del self._under_way[ask]
        if not task.cancelled() and task.exception() is None:
            self._tokens.put(ask, task.result(), self._clock())

    async def _fetch(self, ask: TokenRequest) -> Token:
        login = ask.login
        if login is not None:
            self._secrets.hide(*login.proofs())
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
                return self._read(ask, answer, logged_in=True)
        answer, logged_in = await self._get(ask)
        return self._read(ask, answer, logged_in=logged_in)

    async def _get(self, ask: TokenRequest) -> tuple[TokenAnswer, bool]:
        """The answer, and whether it is one to name and password."""
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
                return answer, bool(headers)
            url = read_url(answer.headers["Location"], base=url)
            check_realm(self._endpoint, url)
            if not same_origin(url, realm):
                headers = {}
        raise Undecided("the registry's token server redirects in a circle")

    def _read(self, ask: TokenRequest, answer: TokenAnswer, *, logged_in: bool) -> Token:
        host = plain(URL(ask.realm, encoded=True).host)
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            what, wait = f"at its token server {host} ({answer.status})", 0.0
            if logged_in:
                about_rights = answer.status == _FORBIDDEN
                wait = self._lockout.refused(
                    ask.account, ask.scope, what, about_rights=about_rights
                )
            raise self._denied(ask.login, what, retry_after=wait)
        if answer.status != _OK:
            raise Undecided(f"the registry's token server {host} answers {answer.status}")
        token = read_token(answer.body, host, self._clock())
        self._lockout.accepted(ask.account, ask.scope)
        return token


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
