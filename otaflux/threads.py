"""Blocking work in threads, begun on the event loop and run to its end.

A thread cannot be stopped. Whoever is cancelled while one works for it waits for its end, so that
what the thread writes to, reads from or holds is given back only when nobody uses it any more. The
same goes for a task that must not be left running behind its caller's back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[P, T_co]):
    """What a thread does: a function that blocks."""

    def __call__(self, *arguments: P.args, **options: P.kwargs) -> T_co:
        """Do it."""
        ...


class InThread(Protocol):
    """Runs what blocks beside the event loop, as `asyncio.to_thread` does."""

    def __call__(
        self, work: Work[P, T], /, *arguments: P.args, **options: P.kwargs
    ) -> Awaitable[T]:
        """Begin `work(*arguments, **options)`; what is awaited is what it returns or raises."""
        ...


async def to_its_end(running: Awaitable[T], *, stop: Callable[[], object] = lambda: None) -> T:
    """The outcome of `running`, which has ended when this returns or raises, cancelled or not.

    `stop` is called before its end is waited for: work that looks out for it ends sooner.
    """
    begun = asyncio.ensure_future(running)
    try:
        return await asyncio.shield(begun)
    finally:
        stop()
        await ended(begun)


async def ended(begun: asyncio.Future[Any]) -> None:
    """Wait for the end of something whose outcome nobody may want any more.

    Whoever wants it has it already; an error is taken, so that none is said to be left lying.
    """
    await asyncio.wait([begun])
    if not begun.cancelled():
        begun.exception()


async def end(*begun: asyncio.Future[Any]) -> None:
    """Cancel each, and return once all have ended; their outcomes are nobody's."""
    for each in begun:
        each.cancel()
    for each in begun:
        await ended(each)
