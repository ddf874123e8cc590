"""The connections that are open, as the port that looks after them sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aiohttp.http import RawRequestMessage

from otaflux.web.port.requestcache import CachedAnswer


class Connection(Protocol):
    """One open connection, in whoever's hands it is."""

    def check_idle(self, now: float) -> None:
        """End it if it is idle or stalled for too long; `now` is of the port's clock."""
        ...

    def close_idle(self) -> None:
        """End it if it is idle, for the server ends."""
        ...

    def abort(self) -> None:
        """End it at once, whatever is still to be sent."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of a connection that is handed over.

    `data` was read of it, and `found` is what the cache of requests knows that to be. A `shared`
    one is a trusted proxy's: many clients may use it.
    """

    data: bytes = b""
    found: CachedAnswer | RawRequestMessage | None = None
    shared: bool = False


NOTHING = Begun()
