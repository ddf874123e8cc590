"""Asking a token server, as its specification says: one token for one scope, or why not.

Trust: the realm is the registry's word. It has to pass `Neighbourhood.check_realm` before it hears
of credentials, at each redirect again, and at another origin than the first it hears of none.

Source: distribution's token specification (`spec/auth/token.md`, `oauth.md`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from yarl import URL

from otaflux.errors import Undecided
from otaflux.registry.remote.endpoint import read_url, same_origin
from otaflux.registry.remote.hiding import Secrets
from otaflux.registry.remote.tokens import Exchange, TokenAnswer, TokenRequest

MAX_REDIRECTS = 3

CLIENT = "otaflux"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_REFRESH = frozenset({404, 405})  # a token server that knows no refresh_token

CheckRealm = Callable[[URL], Awaitable[None]]


class TokenReply(msgspec.Struct, frozen=True):
    """What a token server said, and whether it said so to a name and a password."""

    answer: TokenAnswer
    logged_in: bool


class TokenServers:
    """Whoever a registry's challenges name. `check_realm` raises `Undecided` for who may not be."""

    def __init__(self, exchange: Exchange, check_realm: CheckRealm, secrets: Secrets) -> None:
        self._exchange = exchange
        self._check_realm = check_realm
        self._secrets = secrets

    async def ask(self, request: TokenRequest) -> TokenReply:
        """The answer to one request; raises `Undecided` where there is none."""
        login = request.login
        if login is not None:
            self._secrets.hide(*login.proofs())
        if login is not None and login.identity_token is not None:
            form = {
                "grant_type": "refresh_token",
                "service": request.service,
                "client_id": CLIENT,
                "scope": request.scope,
                "refresh_token": login.identity_token.reveal(),
            }
            realm = URL(request.realm, encoded=True)
            answer = await self._exchange("POST", realm, headers={}, form=form)
            if answer.status not in _NO_REFRESH:
                return TokenReply(answer, logged_in=True)
        return await self._get(request)

    async def _get(self, request: TokenRequest) -> TokenReply:
        realm = URL(request.realm, encoded=True)
        query = {"service": request.service, "scope": request.scope}
        headers = {}
        if request.login is not None:
            headers["Authorization"] = request.login.basic()
            query["account"] = request.login.username
        url = realm.update_query({name: value for name, value in query.items() if value})
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._exchange("GET", url, headers=headers, form=None)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return TokenReply(answer, logged_in=bool(headers))
            url = read_url(answer.headers["Location"], base=url)
            await self._check_realm(url)
            if not same_origin(url, realm):
                headers = {}
        raise Undecided("the registry's token server redirects in a circle")
