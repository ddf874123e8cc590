"""How a registry wants to be asked: with a token of which server, or with name and password.

What it asks for is remembered for each scope, and for repositories in general, so that one
repository's challenge spares the others theirs and a catalog's says nothing of repositories
(Harbor asks for Basic there alone). Where there are credentials `/v2/` is asked first, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from msgspec.structs import replace
from yarl import URL

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Undecided
from otaflux.model.names import Repository
from otaflux.registry.remote.challenge import Challenge, parse_challenges
from otaflux.threads import end

MAX_CHALLENGES = 10_000  # scopes whose challenge is remembered


class Scope(msgspec.Struct, frozen=True):
    """What a request needs: `text` as token servers write it, and the repository, if it has one."""

    text: str
    repository: Repository | None = None

    @classmethod
    def of(cls, repository: Repository, wire_name: str, *actions: str) -> Scope:
        """For a repository; actions are `pull` and `push`."""
        return cls(f"repository:{wire_name}:{','.join(actions)}", repository)

    @property
    def actions(self) -> str:
        """What is to be done with it, such as `pull,push`."""
        return self.text.rpartition(":")[2]


CATALOG = Scope("registry:catalog:*")


class Way(msgspec.Struct, frozen=True):
    """A token of that realm for that scope, or Basic."""

    realm: str = ""
    service: str = ""
    scope: str = ""


BASIC = Way()
# A redirect is no answer to strangers: whoever is redirected to is not shown credentials.
_TO_STRANGERS = range(HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)


class Greeting(msgspec.Struct, frozen=True):
    """What `/v2/` answers: its status and its challenges."""

    status: int
    challenges: tuple[str, ...] = ()


Greet = Callable[[str | None], Awaitable[Greeting]]
ReadRealm = Callable[[Challenge], Awaitable[URL]]


class Ways:
    """The ways into one registry.

    `greet` asks `/v2/` with that Authorization header, or without one; `read_realm` gives the
    address that a challenge names, or raises `Undecided` where it may not be asked.
    """

    def __init__(self, greet: Greet, read_realm: ReadRealm) -> None:
        self._greet = greet
        self._read_realm = read_realm
        self._usual: Way | None = None  # of any repository
        self._scoped: BoundedMap[str, Way] = BoundedMap(MAX_CHALLENGES)
        self._greeted = False
        self._greeting: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End what is under way."""
        if self._greeting is not None:
            await end(self._greeting)

    def known(self, scope: Scope) -> Way | None:
        """What was asked for before; None where nothing was."""
        own = self._scoped.get(scope.text)
        if own is not None or self._usual is None or self._usual == BASIC:
            return own or self._usual
        return replace(self._usual, scope=scope.text)

    async def find(self, scope: Scope) -> Way | None:
        """The same, after a look at `/v2/` where nothing is known yet."""
        if not self._greeted and self.known(scope) is None:
            if self._greeting is None:
                self._greeting = asyncio.create_task(self._learn())
                self._greeting.add_done_callback(self._learnt)
            await asyncio.shield(self._greeting)
        return self.known(scope)

    def challenged(self, scope: Scope, way: Way, *, is_usual: bool) -> None:
        """The registry asked for this way; `is_usual` if it would of other repositories, too."""
        self._scoped.put(scope.text, way)
        if is_usual and scope.repository is not None:
            self._usual = replace(way, scope="")

    async def _learn(self) -> None:
        """What `/v2/` asks for, with any status: zot names its challenge with 200 to strangers.

        One that neither lets in nor challenges hides from strangers, so it gets name and password.
        """
        greeting = await self._greet(None)
        challenges = parse_challenges(greeting.challenges)
        realm = await self._first_realm(challenges)
        hides = greeting.status in _TO_STRANGERS and not challenges
        if realm is not None:
            self._usual = realm
        elif hides or any(challenge.scheme == "basic" for challenge in challenges):
            self._usual = BASIC
        self._greeted = True

    async def _first_realm(self, challenges: tuple[Challenge, ...]) -> Way | None:
        for challenge in challenges:
            if challenge.scheme == "bearer":
                try:
                    realm = await self._read_realm(challenge)
                except Undecided:
                    continue  # a request that is challenged so will say it
                return Way(str(realm), challenge.params.get("service", ""))
        return None

    def _learnt(self, greeting: asyncio.Task[None]) -> None:
        self._greeting = None
        if not greeting.cancelled():
            greeting.exception()
