"""Which logins were refused, and until when they are not tried again.

Ten thousand devices share one login. Once its password has expired, each of them would try it at
each of its looks, and servers lock accounts, or addresses, that fail so often. So a refusal is
remembered, longer with each repeat, and when its time is over one tries first.

A refusal may also be about one repository: some servers answer 401 for what a login has no rights
to. So it counts for the login as a whole only once `WIDE` repositories were refused with nothing
good between; until then for that repository alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from otaflux.boundedmap import BoundedMap

FIRST = 10.0  # seconds
FACTOR = 2.0
MOST = 300.0  # seconds; how long it may take until a password that is right again is tried
MOST_RIGHTS = 60.0  # seconds; the same for rights to one repository
WIDE = 2  # repositories
MAX_KEPT = 20_000  # repositories and logins of which a refusal is remembered

WHOLE = ""  # in place of a repository's scope: the login as a whole


@dataclass(slots=True)
class _Refusals:
    what: str = ""
    times: int = 0
    until: float = 0.0
    trying: bool = False
    scopes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class StandingRefusal:
    """A refusal that still counts: what was said, and for how many seconds."""

    what: str
    left: float


class Lockout:
    """The refusals at one registry. An `account` is whatever names a login at one server."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: BoundedMap[tuple[Hashable, str], _Refusals] = BoundedMap(MAX_KEPT)

    def standing(self, account: Hashable, scope: str) -> StandingRefusal | None:
        """The refusal that forbids to try now; None lets the caller try.

        Who is let through after a refusal holds up the others for `FIRST` seconds, or until it is
        known how that went.
        """
        now = self._clock()
        told = [
            kept
            for kept in (self._kept.get((account, WHOLE)), self._kept.get((account, scope)))
            if kept is not None and kept.times
        ]
        for kept in told:
            if now < kept.until:
                return StandingRefusal(kept.what, kept.until - now)
        for kept in told:
            kept.trying, kept.until = True, now + FIRST
        return None

    def refused(
        self, account: Hashable, scope: str, what: str, *, about_rights: bool = False
    ) -> float:
        """Remember a refusal; returns for how many seconds."""
        if about_rights:
            return self._grow((account, scope), what, MOST_RIGHTS)
        whole = self._at((account, WHOLE))
        if len(whole.scopes) < WIDE:
            whole.scopes.add(scope)
        is_wide = len(whole.scopes) >= WIDE
        return self._grow((account, WHOLE if is_wide else scope), what, MOST)

    def accepted(self, account: Hashable, scope: str) -> None:
        """The login is good, and so are its rights to this repository."""
        self._kept.drop((account, WHOLE))
        self._kept.drop((account, scope))

    def _at(self, key: tuple[Hashable, str]) -> _Refusals:
        kept = self._kept.get(key) or _Refusals()
        self._kept.put(key, kept)
        return kept

    def _grow(self, key: tuple[Hashable, str], what: str, most: float) -> float:
        """The time of one refusal more; those that were on their way already add nothing."""
        now = self._clock()
        kept = self._at(key)
        if kept.trying or now >= kept.until:
            kept.times += 1
            kept.until = now + min(most, FIRST * FACTOR ** min(kept.times - 1, 16))
        kept.what, kept.trying = what, False
        return kept.until - now
