"""Which logins were refused, and until when they are not tried again.

Ten thousand devices share one login. Once its password has expired, each of them would try it at
each of its looks, and servers lock accounts, or addresses, that fail so often. So a refusal is
remembered, longer with each repeat, and when its time is over one tries first.

A refusal may also be about one repository: some servers answer 401 for what a login has no rights
to, and anybody may ask a device port for such a name. So a refused repository counts for itself
alone. The login as a whole is locked where the registry refuses the login itself, without any
repository, and only for what it could read before, if it ever read anything.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import msgspec

from otaflux.boundedmap import BoundedMap

FIRST = 10.0  # seconds
FACTOR = 2.0
MOST = 300.0  # seconds; how long it may take until a password that is right again is tried
MOST_RIGHTS = 60.0  # seconds; the same for rights to one repository
MAX_KEPT = 20_000  # repositories and logins of which something is remembered

WHOLE = ""  # in place of a repository's scope: the login as a whole


@dataclass(slots=True)
class _Refusals:
    what: str = ""
    times: int = 0
    until: float = 0.0
    trying: bool = False


class StandingRefusal(msgspec.Struct, frozen=True):
    """A refusal that still counts: what was said, and for how many seconds."""

    what: str
    left: float


class Lockout:
    """The refusals at one registry. An `account` is whatever names a login at one server."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: BoundedMap[tuple[Hashable, str], _Refusals] = BoundedMap(MAX_KEPT)
        self._read: BoundedMap[tuple[Hashable, str], None] = BoundedMap(MAX_KEPT)

    def standing(self, account: Hashable, scope: str) -> StandingRefusal | None:
        """The refusal that forbids to try now; None lets the caller try.

        Who is let through after a refusal holds up the others for `FIRST` seconds, or until it is
        known how that went.
        """
        now = self._clock()
        told = [
            kept
            for kept in (self._kept.get((account, WHOLE)), self._kept.get((account, scope)))
            if kept is not None
        ]
        for kept in told:
            if now < kept.until:
                return StandingRefusal(kept.what, kept.until - now)
        for kept in told:
            kept.trying, kept.until = True, now + FIRST
        return None

    def is_in_doubt(self, account: Hashable) -> bool:
        """Whether the login itself was refused, and nothing good is known of it since."""
        return (account, WHOLE) in self._kept

    def last_words(self, account: Hashable) -> str:
        """What was said when the login itself was refused."""
        kept = self._kept.get((account, WHOLE))
        return kept.what if kept is not None else ""

    def concerns_login(self, account: Hashable, scope: str) -> bool:
        """Whether a refused login may be locked for the sake of that repository.

        It may where it read that one before, or has not read anything yet: what strangers ask for
        says nothing of what the login is good for.
        """
        return (account, scope) in self._read or (account, WHOLE) not in self._read

    def login_refused(self, account: Hashable, what: str) -> float:
        """The login itself was refused; returns for how many seconds it is not tried."""
        return self._grow((account, WHOLE), what, MOST)

    def scope_refused(self, account: Hashable, scope: str, what: str) -> float:
        """One repository was refused; returns for how many seconds it is not tried."""
        return self._grow((account, scope), what, MOST_RIGHTS)

    def login_accepted(self, account: Hashable) -> None:
        """The login itself is good."""
        self._kept.drop((account, WHOLE))

    def scope_accepted(self, account: Hashable, scope: str, *, read: bool = True) -> None:
        """The login is good, and so are its rights to this repository; `read` if it was there."""
        self.login_accepted(account)
        self._kept.drop((account, scope))
        if read:
            self._read.put((account, scope), None)
            self._read.put((account, WHOLE), None)

    def _grow(self, key: tuple[Hashable, str], what: str, most: float) -> float:
        """The time of one refusal more; those that were on their way already add nothing."""
        now = self._clock()
        kept = self._kept.get(key) or _Refusals()
        self._kept.put(key, kept)
        if kept.trying or now >= kept.until:
            kept.times += 1
            kept.until = now + min(most, FIRST * FACTOR ** min(kept.times - 1, 16))
        kept.what, kept.trying = what, False
        return kept.until - now
