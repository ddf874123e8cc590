"""Who hears of what devices ask, for metrics and for people: the seam to them, and nobody.

Called on the event loop for every request, so it must be quick and never raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from otaflux.model.names import Device
from otaflux.model.release import Release

Polled = tuple[Device, int]  # and the status of the answer
Said = tuple[Device, str]  # and what a unit of it says it runs, as it says it


class Observer(Protocol):
    """Hears of requests after their answers."""

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """One request was answered; `path` is one of a few addresses, or `other`."""
        ...

    def lookup(self, device: Device, *, hit: bool) -> None:
        """A device was found at hand, or had to be looked for, with whatever came of it."""
        ...

    def poll(self, device: Device, runs: str) -> None:
        """A device that has a record was asked for, by a unit that says it runs that version.

        `runs` is empty where it does not say.
        """
        ...

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """A release, or a part of it, was sent, or the client hung up before it was `whole`.

        `unit` is the board's name, or empty; `last` says that the part ended where the file does.
        """
        ...

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """So many `GET /version` were answered of each kind.

        What the request cache answers comes this way alone, every second: it is too much for more.
        """
        ...

    def said(self, versions: Mapping[Said, int]) -> None:
        """In so many of them units said which version they run."""
        ...


class Everybody:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        # Those of others among them as if they were here: each call costs, and polls are many.
        self._observers: tuple[Observer, ...] = tuple(
            inner
            for each in observers
            for inner in (
                each._observers  # noqa: SLF001 - of the same class
                if isinstance(each, Everybody)
                else (each,)
            )
        )

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """See `Observer`."""
        for each in self._observers:
            each.request(path, method, status, seconds)

    def lookup(self, device: Device, *, hit: bool) -> None:
        """See `Observer`."""
        for each in self._observers:
            each.lookup(device, hit=hit)

    def poll(self, device: Device, runs: str) -> None:
        """See `Observer`."""
        for each in self._observers:
            each.poll(device, runs)

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """See `Observer`."""
        for each in self._observers:
            each.download(release, unit, whole=whole, last=last)

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """See `Observer`."""
        for each in self._observers:
            each.quick(answered)

    def said(self, versions: Mapping[Said, int]) -> None:
        """See `Observer`."""
        for each in self._observers:
            each.said(versions)


class Nobody:
    """An observer that hears nothing."""

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Nothing."""

    def lookup(self, device: Device, *, hit: bool) -> None:
        """Nothing."""

    def poll(self, device: Device, runs: str) -> None:
        """Nothing."""

    def download(self, release: Release, unit: str, *, whole: bool, last: bool) -> None:
        """Nothing."""

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """Nothing."""

    def said(self, versions: Mapping[Said, int]) -> None:
        """Nothing."""
