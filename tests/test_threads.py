"""Work that was begun is run to its end, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from otaflux.threads import end, to_its_end


async def test_who_is_cancelled_waits_for_the_thread() -> None:
    """The caller's end comes after the work's, so nothing is taken away under the thread."""
    begun, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        may_end.wait(10)
        done.append("work")

    async def caller() -> None:
        await to_its_end(asyncio.to_thread(work))

    task = asyncio.create_task(caller())
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["work"]


async def test_the_outcome_is_that_of_the_work() -> None:
    """What it returns is returned, and what it raises is raised."""
    assert await to_its_end(asyncio.to_thread(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        await to_its_end(asyncio.to_thread(lambda: 1 / 0))


async def test_an_error_that_nobody_wants_is_taken() -> None:
    """Work that fails after its caller was cancelled leaves no error lying."""
    begun = threading.Event()

    def work() -> None:
        begun.set()
        raise ValueError

    task = asyncio.create_task(_call(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with suppress(asyncio.CancelledError, ValueError):
        await task


async def _call(work: object) -> None:
    await to_its_end(asyncio.to_thread(work))  # type: ignore[arg-type]


async def test_tasks_that_are_ended_have_ended() -> None:
    """Also one that takes its time to be cancelled, and one that fails at it."""
    ends: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ends.append("slow")
            raise ValueError

    tasks = [asyncio.create_task(slow()), asyncio.create_task(asyncio.sleep(60))]
    await asyncio.sleep(0)
    await end(*tasks)
    assert ends == ["slow"]
    assert all(task.done() for task in tasks)
