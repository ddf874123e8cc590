"""Which logins are good, as far as the registry said so, and what a refusal is about.

A refused repository says little of a login, so before that is locked for all devices the registry
is asked whether it takes the login for anything at all: `/v2/`, or a token for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from otaflux.registry.remote.credentials import Login
from otaflux.registry.remote.denials import Denied, denial, is_about_a_name
from otaflux.registry.remote.lockout import WHOLE, Lockout
from otaflux.registry.remote.ways import CATALOG
from otaflux.threads import end

Prove = Callable[[Hashable, Login], Awaitable[bool]]


class Logins:
    """The logins at one registry; an `account` is whatever names one at one server.

    `prove` says whether the registry takes the login for anything, and raises `Undecided` where
    that is not learnt.
    """

    def __init__(self, prove: Prove, clock: Callable[[], float]) -> None:
        self._prove = prove
        self._lockout = Lockout(clock)
        self._proving: dict[Hashable, asyncio.Future[bool]] = {}

    async def close(self) -> None:
        """End what is under way."""
        await end(*self._proving.values())

    async def check(self, account: Hashable, login: Login, scope: str) -> None:
        """Raises `Denied` where the login was refused; one that is in doubt is proved first."""
        standing = self._lockout.standing(account, scope)
        if standing is not None:
            raise denial(login, standing.what, retry_after=standing.left)
        if not self._lockout.is_in_doubt(account):
            return
        if not await self._is_good(account, login):
            what = self._lockout.last_words(account)
            raise denial(login, what, retry_after=self._lockout.login_refused(account, what))
        self._lockout.login_accepted(account)

    def accepted(self, account: Hashable, scope: str, *, read: bool = True) -> None:
        """The login was taken for that; `read` says that what was asked for was there."""
        self._lockout.scope_accepted(account, scope, read=read)

    def lacks_rights(self, account: Hashable, login: Login, scope: str, what: str) -> Denied:
        """The login was taken and may not do this; returns what to raise."""
        wait = self._lockout.scope_refused(account, scope, what)
        return denial(login, what, is_known=True, retry_after=wait)

    async def refused(
        self, account: Hashable, login: Login, scope: str, what: str, said: str
    ) -> Denied:
        """Remember that a login was refused that, or at all; returns what to raise."""
        if scope in {WHOLE, CATALOG.text}:  # a catalog may be for administrators only
            return denial(login, what, said=said)
        is_bad = (
            not is_about_a_name(said)
            and self._lockout.concerns_login(account, scope)
            and not await self._is_good(account, login)
        )
        if is_bad:
            return denial(login, what, retry_after=self._lockout.login_refused(account, what))
        wait = self._lockout.scope_refused(account, scope, what + said)
        return denial(login, what, said=said, retry_after=wait)

    async def _is_good(self, account: Hashable, login: Login) -> bool:
        """Whether the registry takes the login; asked once for all who wait."""
        proving = self._proving.get(account)
        if proving is None:
            proving = asyncio.ensure_future(self._prove(account, login))
            self._proving[account] = proving
            proving.add_done_callback(lambda done: self._proved(account, done))
        return await asyncio.shield(proving)

    def _proved(self, account: Hashable, done: asyncio.Future[bool]) -> None:
        del self._proving[account]
        if not done.cancelled():
            done.exception()
