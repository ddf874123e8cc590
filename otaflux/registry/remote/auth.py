"""What goes into `Authorization`: Basic, or a token that the registry's token server gave.

Where there are credentials they are offered from the first request on, as docker does: `/v2/` is
asked for its challenge once, for some registries show strangers the public part, or 404, instead
of challenging them. Without any, nothing is sent before it is asked for. What a registry asks for
is remembered for each scope, and for repositories in general; from then on tokens are there before
the request. A token is kept by realm, service, scope and login until it ends, counted on the
monotonic clock from its receipt; a 401 renews it once. A login that was refused is not tried again
for a while (see `lockout`). Whoever needs a token that is being fetched waits for that one (all on
one event loop).

Trust: the challenge is the registry's word; whom it may name is `Neighbourhood.check_realm`'s to
say. What is asked for is always our own scope: a challenge cannot widen it.

Source: distribution's token specification (`spec/auth/token.md`, `oauth.md`), RFC 9110 and 6750.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from yarl import URL

from otaflux.errors import Undecided
from otaflux.registry.remote.challenge import Challenge, parse_challenges
from otaflux.registry.remote.credentials import Credentials, Login
from otaflux.registry.remote.denials import Denied, denial
from otaflux.registry.remote.endpoint import Endpoint, read_url
from otaflux.registry.remote.hiding import Secrets
from otaflux.registry.remote.lockout import WHOLE
from otaflux.registry.remote.logins import Logins
from otaflux.registry.remote.tokens import Exchange, Token, TokenCache, TokenRequest, read_token
from otaflux.registry.remote.tokenserver import CheckRealm, TokenReply, TokenServers
from otaflux.registry.remote.ways import BASIC, Greet, Scope, Way, Ways
from otaflux.threads import end
from otaflux.wording import plain

_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Grant:
    """An Authorization header, what was asked for it, and whether no request carried it before."""

    header: str = field(repr=False)
    ask: TokenRequest | None = None
    just_given: bool = False
    login: Login | None = None  # whose name and password the header is


class Authority:
    """The headers for one registry.

    `greet` asks `/v2/` with that Authorization header, or without one. `check_realm` raises
    `Undecided` where a realm may not be asked.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        exchange: Exchange,
        greet: Greet,
        check_realm: CheckRealm,
        secrets: Secrets,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._greet = greet
        self._check_realm = check_realm
        self._secrets = secrets
        self._clock = clock
        self._servers = TokenServers(exchange, check_realm, secrets)
        self._ways = Ways(greet, self._realm)
        self._logins = Logins(self._prove, clock)
        self._tokens = TokenCache()
        self._under_way: dict[TokenRequest, asyncio.Task[Token]] = {}

    async def close(self) -> None:
        """End what is being fetched."""
        await end(*self._under_way.values())
        await self._logins.close()
        await self._ways.close()

    async def grant(self, scope: Scope) -> Grant | None:
        """The header that a request should begin with, by what the registry asked for before.

        Raises `Denied` where it would have to be a login that was refused a moment ago.
        """
        login = self._credentials.login(scope.repository)
        way = self._ways.known(scope) if login is None else await self._ways.find(scope)
        if way is None:
            return None
        if way == BASIC:
            return await self._basic_grant(login, scope.text) if login is not None else None
        return await self._token_grant(TokenRequest(way.realm, way.service, way.scope, login))

    async def basic(self, scope: Scope) -> Grant | None:
        """Name and password, for an API that has no challenge; None where there are none."""
        login = self._credentials.login(scope.repository)
        return await self._basic_grant(login, WHOLE) if login is not None else None

    async def _basic_grant(self, login: Login, scope: str) -> Grant:
        self._secrets.hide(*login.proofs())
        await self._logins.check(login, login, scope)
        return Grant(login.basic(), login=login)

    def accepted(self, scope: Scope, grant: Grant | None, *, read: bool) -> None:
        """A request was not answered 401: its name and password, if it carried them, are good.

        `read` says that what was asked for was there.
        """
        if grant is not None and grant.login is not None:
            self._logins.accepted(grant.login, scope.text, read=read)

    async def after_401(
        self, scope: Scope, headers: Iterable[str], refused: Grant | None, said: str
    ) -> Grant:
        """The header to try once more with; raises `Denied` where there is none.

        `headers` are the challenges, `refused` is what the request carried, `said` the registry's
        sentence. Of the challenges the first token server counts that may be asked, else Basic.
        """
        login = self._credentials.login(scope.repository)
        challenges = parse_challenges(headers)
        unusable: Undecided | None = None
        for challenge in challenges:
            if challenge.scheme == "bearer":
                try:
                    realm = await self._realm(challenge)
                except Undecided as error:
                    unusable = unusable or error
                else:
                    return await self._renewed(scope, challenge, realm, login, refused, said)
        if refused is not None and refused.ask is not None:
            # Harbor names Basic alone to whoever sent a token, whatever was wrong with that.
            if not refused.just_given:
                self._forget(refused.ask, refused)
                return await self._token_grant(refused.ask)
            if scope.repository is not None:
                raise self.denied(scope, "401", said)
        if login is None or not any(challenge.scheme == "basic" for challenge in challenges):
            raise unusable or self.denied(scope, "401" if said else "", said)
        self._ways.challenged(scope, BASIC, is_usual=True)
        if refused is not None and refused.header == login.basic():
            raise await self._logins.refused(login, login, scope.text, "401", said)
        return await self._basic_grant(login, scope.text)

    async def _realm(self, challenge: Challenge) -> URL:
        realm = read_url(challenge.params.get("realm", ""), base=self._endpoint.base)
        await self._check_realm(realm)
        return realm

    async def _renewed(
        self,
        scope: Scope,
        challenge: Challenge,
        realm: URL,
        login: Login | None,
        refused: Grant | None,
        said: str,
    ) -> Grant:
        named = _ours(challenge.params.get("scope", ""), scope.text)
        ask = TokenRequest(str(realm), challenge.params.get("service", ""), named, login)
        if refused is not None:
            if refused.just_given and refused.ask == ask:
                raise self._of_clocks(scope, said)
            self._forget(ask, refused)
        way = Way(ask.realm, ask.service, ask.scope)
        self._ways.challenged(scope, way, is_usual=named == scope.text)
        return await self._token_grant(ask)

    def _of_clocks(self, scope: Scope, said: str) -> Denied:
        """The error for a token that the registry refuses though its own server just gave it."""
        refusal = self.denied(scope, "401, with a token that its own token server just gave", said)
        refusal.hint = (
            "Are the clocks of the registry and of its token server right, and is the one set up"
            f" with the other's certificate? {refusal.hint}"
        )
        return refusal

    def _forget(self, ask: TokenRequest, refused: Grant) -> None:
        """A token that was refused is not used again; one that came meanwhile is."""
        held = self._tokens.get(ask, self._clock())
        if held is not None and held.header == refused.header:
            self._tokens.drop(ask)

    def denied(self, scope: Scope, what: str, said: str, *, is_known: bool = False) -> Denied:
        """The error for a 401 or 403 that stands; `said` is the registry's own sentence."""
        login = self._credentials.login(scope.repository)
        return denial(login, what, said=said, is_known=is_known, actions=scope.actions)

    async def _prove(self, account: Hashable, login: Login) -> bool:
        """Whether the registry, or its token server, takes a login for anything at all."""
        self._secrets.hide(*login.proofs())
        if isinstance(account, tuple):
            realm, service, _ = account
            reply = await self._servers.ask(TokenRequest(realm, service, "", login))
            return reply.answer.status not in _REFUSED
        return (await self._greet(login.basic())).status != HTTPStatus.UNAUTHORIZED

    async def _token_grant(self, ask: TokenRequest) -> Grant:
        held = self._tokens.get(ask, self._clock())
        if held is not None:
            self._secrets.hide(held.secret)
            return Grant(held.header, ask)
        task = self._under_way.get(ask)
        if task is None:
            if ask.login is not None:
                await self._logins.check(ask.account, ask.login, ask.scope)
            task = self._under_way.get(ask) or asyncio.create_task(self._fetch(ask))
            if ask not in self._under_way:
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
        return await self._read(ask, await self._servers.ask(ask))

    async def _read(self, ask: TokenRequest, reply: TokenReply) -> Token:
        answer = reply.answer
        host = plain(URL(ask.realm, encoded=True).host)
        if answer.status in _REFUSED:
            what = f"{answer.status} at its token server {host}"
            if ask.login is None or not reply.logged_in:
                raise denial(ask.login, what)
            if answer.status == HTTPStatus.FORBIDDEN:
                raise self._logins.lacks_rights(ask.account, ask.login, ask.scope, what)
            raise await self._logins.refused(ask.account, ask.login, ask.scope, what, "")
        if answer.status != HTTPStatus.OK:
            raise Undecided(f"the registry's token server {host} answers {answer.status}")
        token = read_token(answer.body, host, self._clock())
        self._logins.accepted(ask.account, ask.scope)
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
