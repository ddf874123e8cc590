"""Polls that wait for something else to be told, with no more than their connection each.

A change wakes those of its device some at a time, so that other polls do not wait meanwhile. On the
event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from otaflux.model.names import Device
from otaflux.web.waking import Waking

TICK = 0.05  # seconds; as exactly as this a wait ends
AT_ONCE = 100  # that are woken in one go, in a millisecond or two
MOST = 10_000  # that wait; who comes then is answered at once


class Poll(Protocol):
    """A poll that waits."""

    def changed(self) -> None:
        """Something of its device changed: look again, and answer or go on waiting."""
        ...

    def waited(self) -> None:
        """Its time is over: answer."""
        ...


class Parked:
    """The polls that wait, at most `most`; `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], *, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._of: dict[Device, dict[Poll, None]] = {}
        # By how long they wait, and so each in the order in which their time ends.
        self._until: dict[int, dict[Poll, tuple[float, Device]]] = {}
        self._lengths: dict[Poll, int] = {}
        self._waking: Waking[Poll] = Waking(self._changed, at_once=AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def is_full(self) -> bool:
        """Whether nobody else can wait."""
        return len(self._lengths) >= self._most

    def enter(self, poll: Poll, device: Device, seconds: int) -> None:
        """A poll waits for a change of its device, so long."""
        self._lengths[poll] = seconds
        self._until.setdefault(seconds, {})[poll] = self._clock() + seconds, device
        self._of.setdefault(device, {})[poll] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def leave(self, poll: Poll) -> None:
        """It waits no more, if it did."""
        seconds = self._lengths.pop(poll, None)
        if seconds is None:
            return
        _, device = self._until[seconds].pop(poll)
        others = self._of[device]
        del others[poll]
        if not others:
            del self._of[device]

    def hear(self, device: Device) -> None:
        """Something of a device changed."""
        self._waking.add(self._of.get(device, ()))

    def _changed(self, poll: Poll) -> None:
        if poll in self._lengths:  # else its time was over meanwhile, or it left
            poll.changed()

    def _tick(self) -> None:
        """End the waits whose time is over, some at a time; who ends may wait again at once."""
        now = self._clock()
        over = list(islice(self._over(now), AT_ONCE))
        loop = asyncio.get_running_loop()
        # Before anybody is told, so that whoever enters then makes no second timer.
        soon = 0.0 if len(over) == AT_ONCE else TICK
        self._timer = loop.call_later(soon, self._tick) if len(self) > len(over) else None
        for poll in over:
            self.leave(poll)
        for poll in over:
            poll.waited()

    def _over(self, now: float) -> Iterator[Poll]:
        """Those whose time is over."""
        for polls in self._until.values():
            for poll, (until, _) in polls.items():
                if until > now:
                    break
                yield poll
