"""Who may have one of a few places: the rule, and a gate that keeps to it.

Of two or more places one is kept for hooks; of one none is, and priority decides. First polls of
unknown devices have a quarter, at least one, and all but the one for hooks are lent to them while
nobody else waits. The work queue's runs and the streams of pulls keep to the same rule. All on one
event loop.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from otaflux.errors import Busy
from otaflux.model.event import Priority

LENT_FOR = 1.0  # seconds that whoever was lent a place has it in peace


class Places(msgspec.Struct, frozen=True):
    """How many there are at once, and how many of them a priority may have."""

    total: int

    @property
    def for_first_polls(self) -> int:
        """How many first polls may have whoever waits."""
        return max(1, self.total // 4)

    def admit(
        self, priority: Priority, busy: Mapping[Priority, int], *, lending: bool = False
    ) -> bool:
        """Whether one more of that priority may have a place beside the `busy` ones.

        `lending` says that nobody else waits for one.
        """
        if sum(busy.values()) >= self.total:
            return False
        if priority is Priority.HOOK:
            return True
        others = sum(busy.values()) - busy.get(Priority.HOOK, 0)
        if others >= max(1, self.total - 1):
            return False
        if priority is not Priority.FIRST_POLL or lending:
            return True
        return busy.get(priority, 0) < self.for_first_polls


@dataclass(slots=True, eq=False)
class _Holder:
    """Who streams in a place of a gate."""

    priority: Priority
    began: float
    task: asyncio.Task[Any] | None
    called_back: bool = False


class Gate:
    """Lets in as many as there are places, by priority, then in the order they came.

    A place that was lent to a first poll is called back from whoever had it for `LENT_FOR` where
    somebody else waits, and at once for a hook.
    """

    def __init__(self, total: int) -> None:
        self._places = Places(total)
        self._busy: Counter[Priority] = Counter()
        self._line: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._holders: list[_Holder] = []

    @property
    def is_crowded(self) -> bool:
        """Whether somebody waits for a place."""
        return any(not turn.done() for _, _, turn in self._line)

    @asynccontextmanager
    async def place(self, priority: Priority) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place and have it while the context lasts.

        What the context gives gives it back before, when it is called. Raises `Busy` in the place
        of what is done there, where a lent place is called back.
        """
        await self._turn(priority)
        holder = _Holder(priority, asyncio.get_running_loop().time(), asyncio.current_task())
        self._holders.append(holder)

        def give_back() -> None:
            if holder in self._holders:
                self._holders.remove(holder)
                self._leave(priority)

        try:
            yield give_back
        except asyncio.CancelledError:
            if holder.called_back and holder.task is not None and not holder.task.uncancel():
                raise Busy("A first look made room for another", retry_after=LENT_FOR) from None
            raise
        finally:
            give_back()

    async def _turn(self, priority: Priority) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        heapq.heappush(self._line, (priority, next(self._order), turn))
        self._let_in()
        try:
            while not turn.done():
                wait = self._call_back(priority, loop.time())
                await asyncio.wait({turn}, timeout=wait)
        except asyncio.CancelledError:
            if turn.done():
                self._leave(priority)
            turn.cancel()
            raise

    def _call_back(self, priority: Priority, now: float) -> float | None:
        """Have one lent place back for who waits; returns when to ask again, None for never."""
        if priority is Priority.FIRST_POLL:
            return None
        polls = [each for each in self._holders if each.priority is Priority.FIRST_POLL]
        lent = [each for each in polls[self._places.for_first_polls :] if not each.called_back]
        if not lent:
            return LENT_FOR
        last = lent[-1]
        left = 0.0 if priority is Priority.HOOK else last.began + LENT_FOR - now
        if left <= 0 and last.task is not None:
            last.called_back = last.task.cancel()
            return LENT_FOR
        return left

    def _leave(self, priority: Priority) -> None:
        self._busy[priority] -= 1
        self._let_in()

    def _let_in(self) -> None:
        self._admit(lending=False)
        if all(priority is Priority.FIRST_POLL for priority, _, _ in self._line):
            self._admit(lending=True)

    def _admit(self, *, lending: bool) -> None:
        passed = []
        while self._line:
            entry = heapq.heappop(self._line)
            priority, _, turn = entry
            if turn.done():
                continue
            if self._places.admit(priority, self._busy, lending=lending):
                self._busy[priority] += 1
                turn.set_result(None)
            else:
                passed.append(entry)
        self._line = passed
        heapq.heapify(self._line)
