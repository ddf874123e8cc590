"""The connections that are open, as the port that looks after them sees them."""

from __future__ import annotations

from typing import Protocol


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
