"""The connections that are open, as the port that looks after them sees them."""

from __future__ import annotations

from typing import Protocol


class Live(Protocol):
    """One open connection, in whoever's hands it is."""

    def look(self, now: float) -> None:
        """End it if it is idle or stalled for too long; `now` is of the port's clock."""
        ...

    def let_go(self) -> None:
        """End it if it is idle, for the server ends."""
        ...

    def cut(self) -> None:
        """End it at once, whatever is still to be sent."""
        ...
