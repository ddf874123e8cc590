"""Who hears of what devices ask, for metrics and for people: the seam to them, and nobody.

Called on the event loop for every request, so it must be quick and never raise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from otaflux.model.names import Device


class Observer(Protocol):
    """Hears of requests after their answers."""

    def request(self, room: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; `room` is one of a few addresses, or `other`."""
        ...

    def poll(self, device: Device) -> None:
        """A device that has a record was asked for."""
        ...

    def lookup(self, *, hit: bool) -> None:
        """A device was found at hand, or had to be looked for."""
        ...

    def quick(self, devices: Collection[Device], statuses: Mapping[int, int]) -> None:
        """So many `GET /version` were answered with each status, for those devices.

        What the request cache answers comes this way alone, every second: it is too much for more.
        """
        ...


class Nobody:
    """An observer that hears nothing."""

    def request(self, room: str, method: str, status: int, seconds: float) -> None:
        """Nothing."""

    def poll(self, device: Device) -> None:
        """Nothing."""

    def lookup(self, *, hit: bool) -> None:
        """Nothing."""

    def quick(self, devices: Collection[Device], statuses: Mapping[int, int]) -> None:
        """Nothing."""
