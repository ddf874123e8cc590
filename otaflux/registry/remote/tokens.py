"""Tokens: how a token server is asked, what its answer says, and those that are kept.

Kept are as many as fit into a bounded piece of memory, for each device has its own and they may be
long: 32 MiB are 10,000 of 3 KiB.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from yarl import URL

from otaflux.errors import Undecided
from otaflux.registry.remote.credentials import Login

MIN_LIFETIME = 60.0  # seconds; the specification's default, and its floor for older clients
MAX_LIFETIME = 86_400.0  # seconds; a token that lasts longer is fetched anew each day
MAX_TOKEN = 16 * 1024  # characters that go into a header
MAX_KEPT = 32 * 1024 * 1024  # bytes of all tokens together
OVERHEAD = 1024  # bytes that a token costs besides its own

_HEADER_SAFE = re.compile(r"[!-~]+")


class TokenAnswer(msgspec.Struct, frozen=True):
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


class TokenRequest(msgspec.Struct, frozen=True):
    """What names a token."""

    realm: str
    service: str
    scope: str
    login: Login | None

    @property
    def account(self) -> tuple[str, str, Login | None]:
        """The login at its server, whatever it is used for."""
        return (self.realm, self.service, self.login)


@dataclass(frozen=True, slots=True)
class Token:
    """A header, and when it ends on the monotonic clock."""

    header: str = field(repr=False)
    ends: float

    @property
    def secret(self) -> str:
        """The token itself."""
        return self.header.removeprefix("Bearer ")


class _Reply(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: msgspec.Raw = msgspec.Raw(b"null")


def read_token(body: bytes, host: str, now: float) -> Token:
    """The token in an answer of the server called `host`; raises `Undecided` without a good one."""
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Undecided(f"the registry's token server {host} sent no token") from None
    token = reply.token or reply.access_token or ""
    if len(token) > MAX_TOKEN or not _HEADER_SAFE.fullmatch(token):
        raise Undecided(f"the registry's token server {host} sent no token that can be used")
    return Token(f"Bearer {token}", now + _lifetime(reply.expires_in))


def _lifetime(raw: msgspec.Raw) -> float:
    """`expires_in` in seconds, 60 to a day; 60 where it is missing or no number."""
    try:
        seconds = msgspec.json.decode(raw, type=float)
    except (msgspec.MsgspecError, UnicodeError):
        return MIN_LIFETIME
    return min(max(seconds, MIN_LIFETIME), MAX_LIFETIME)


class TokenCache:
    """The tokens that are kept. Where there is no room, those go that end first."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._size = 0
        self._held: dict[TokenRequest, Token] = {}
        self._by_end: list[
            tuple[float, int, TokenRequest, Token]
        ] = []  # some of them not held any more
        self._order = itertools.count()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._held)

    def get(self, ask: TokenRequest, now: float) -> Token | None:
        """The token; None where there is none, or it has ended."""
        token = self._held.get(ask)
        return token if token is not None and now < token.ends else None

    def put(self, ask: TokenRequest, token: Token, now: float) -> None:
        """Keep a token in the place of the one before; those that have ended go."""
        self.drop(ask)
        self._held[ask] = token
        self._size += _cost(token)
        heapq.heappush(self._by_end, (token.ends, next(self._order), ask, token))
        while self._by_end and (self._by_end[0][0] <= now or self._size > self._most):
            _, _, first, held = heapq.heappop(self._by_end)
            if self._held.get(first) is held:
                self.drop(first)
        if len(self._by_end) > 2 * len(self._held) + 64:
            self._by_end = [entry for entry in self._by_end if self._held.get(entry[2]) is entry[3]]
            heapq.heapify(self._by_end)

    def drop(self, ask: TokenRequest) -> None:
        """Forget a token, if it is there."""
        token = self._held.pop(ask, None)
        if token is not None:
            self._size -= _cost(token)


def _cost(token: Token) -> int:
    return len(token.header) + OVERHEAD
