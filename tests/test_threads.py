"""Work that was begun is run to its end, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from contextlib import suppress

import pytest

from otaflux.threads import YieldingThreads, end, to_its_end


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


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has its own niceness")
async def test_what_computes_for_long_yields_to_the_event_loop() -> None:
    """Its thread and those that it starts are nicer than the program, which stays as it is."""
    seen: list[int] = []

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> int:
        thread = threading.Thread(target=lambda: seen.append(niceness()))
        thread.start()
        thread.join()
        return niceness()

    before = niceness()
    yielding = YieldingThreads(most=1, niceness=3)
    expected = min(before + 3, 19)
    assert [await yielding(work), await yielding(work)] == [expected, expected]
    assert seen == [expected, expected]
    assert niceness() == await asyncio.to_thread(niceness) == before


async def test_what_yields_is_called_as_in_any_thread() -> None:
    """It is given its arguments and the caller's context; what it raises is raised."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("the caller's")
    yielding = YieldingThreads()

    def work(first: int, *, second: int) -> tuple[int, str]:
        return first // second, variable.get()

    assert await yielding(work, 8, second=2) == (4, "the caller's")
    with pytest.raises(ZeroDivisionError):
        await yielding(work, 1, second=0)
