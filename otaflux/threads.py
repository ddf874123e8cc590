"""Blocking work in threads, begun on the event loop and run to its end.

A thread cannot be stopped. Whoever is cancelled while one works for it waits for its end, so that
what the thread writes to, reads from or holds is given back only when nobody uses it any more. The
same goes for a task that must not be left running behind its caller's back.

Work that computes for long has threads of its own, which yield the processor to all others: devices
are answered meanwhile. Where there is nobody else it is as quick.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

NICENESS = 10  # steps of nice(2); at 19 a busy neighbour would all but stop it
MOST_YIELDING = 16  # threads: every pull that streams or goes on beside, and those that re-read

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


class YieldingThreads:
    """Runs what computes for long, in at most `most` threads that yield the processor to others.

    They have `niceness` steps of nice(2) more than the program, and so has what they start. Only on
    Linux, where each thread has its own; it cannot be taken back, so they do nothing else.
    """

    def __init__(self, most: int = MOST_YIELDING, niceness: int = NICENESS) -> None:
        self._pool = ThreadPoolExecutor(
            most, thread_name_prefix="yielding", initializer=_yield_to_others, initargs=(niceness,)
        )

    async def __call__(self, work: Work[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Run `work(*arguments, **options)` and wait for what it returns or raises."""
        context = contextvars.copy_context()
        bound: Callable[[], T] = partial(context.run, work, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._pool, bound)


def _yield_to_others(niceness: int) -> None:
    """Make this thread nicer. Where a sandbox forbids it, it goes on as it is."""
    if sys.platform == "linux":  # elsewhere it would be the whole program
        thread = threading.get_native_id()
        with suppress(OSError):
            now = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(now + niceness, 19))


yielding_threads = YieldingThreads()  # the process's


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
