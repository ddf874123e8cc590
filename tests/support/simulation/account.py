"""What a registry told the server of each tag, as the registry itself wrote it down.

The only account of when a tag counts as gone: it is kept beside the answers, by no rule of the
program. A tag is gone for as long as lies between the first and the last answer that said so, with
none between that said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from otaflux.model.names import Device, Tag


class Account:
    """What was answered; times are virtual seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._gone: dict[Device, dict[Tag, tuple[float, float]]] = {}

    def listed(self, device: Device, tags: Iterable[Tag]) -> None:
        """A listing was given, with these tags in it."""
        gone = self._gone.get(device, {})
        for tag in tags:
            gone.pop(tag, None)

    def not_known(self, device: Device) -> None:
        """The registry said that it does not know the repository."""
        self._gone.pop(device, None)

    def resolved(self, device: Device, tag: Tag, *, is_there: bool) -> None:
        """A tag was asked for."""
        gone = self._gone.setdefault(device, {})
        if is_there:
            gone.pop(tag, None)
        else:
            first, _ = gone.get(tag, (self._clock(), 0.0))
            gone[tag] = (first, self._clock())

    def gone_for(self, device: Device, tag: Tag) -> float:
        """Seconds for which the answers said that the tag is gone; below 0 where none does."""
        first, last = self._gone.get(device, {}).get(tag, (1.0, 0.0))
        return last - first
