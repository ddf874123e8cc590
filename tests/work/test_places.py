"""Who may have one of a few places."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation.loop import run_virtually

from otaflux.errors import Busy
from otaflux.model.event import Priority
from otaflux.work.places import Gate, Places

OTHERS = [priority for priority in Priority if priority is not Priority.HOOK]


@pytest.mark.parametrize("total", range(1, 10))
def test_the_rule_holds_for_every_crowd(total: int) -> None:
    """One of two or more is a hook's, of one none is; first polls have a quarter, at least one.

    Where nobody else waits, all that others could have is lent to them.
    """
    places = Places(total)
    for counts in itertools.product(range(total + 1), repeat=4):
        busy = Counter(dict(zip(Priority, counts, strict=True)))
        full = busy.total() >= total
        assert places.admit(Priority.HOOK, busy) == (not full)
        others = busy.total() - busy[Priority.HOOK]
        for priority in OTHERS:
            allowed = not full and others < (total if total == 1 else total - 1)
            assert places.admit(priority, busy, lending=True) == allowed
            if priority is Priority.FIRST_POLL:
                allowed = allowed and busy[priority] < (1 if total < 4 else total // 4)
            assert places.admit(priority, busy) == allowed


@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(
            st.sampled_from(Priority), st.floats(0, 5), st.floats(0, 5), st.none() | st.floats(0, 9)
        ),
        max_size=20,
    ),
)
def test_a_gate_lets_everybody_in_once_and_never_too_many(
    total: int, guests: list[tuple[Priority, float, float, float | None]]
) -> None:
    """Whoever comes, stays, or gives up while waiting or inside: no place is lost, none doubled."""

    async def scenario() -> None:
        gate, inside = Gate(total), Counter[Priority]()
        came: list[int] = []

        async def guest(
            number: int, priority: Priority, arrives: float, stays: float, gives_up: float | None
        ) -> None:
            await asyncio.sleep(arrives)
            with contextlib.suppress(TimeoutError, Busy):
                async with asyncio.timeout(gives_up), gate.place(priority):
                    assert Places(total).admit(priority, inside, lending=True)
                    inside[priority] += 1
                    try:
                        await asyncio.sleep(stays)
                        came.append(number)
                    finally:
                        inside[priority] -= 1

        async with asyncio.TaskGroup() as tasks:
            for number, each in enumerate(guests):
                tasks.create_task(guest(number, *each))
        assert not inside.total()
        patient = {
            number
            for number, (priority, *_, gives_up) in enumerate(guests)
            if gives_up is None and priority is not Priority.FIRST_POLL  # may have to make room
        }
        assert patient <= set(came)
        async with asyncio.timeout(1), gate.place(Priority.RECHECK):
            pass

    run_virtually(scenario())


async def test_the_more_urgent_goes_first_then_who_came_first() -> None:
    """In a gate of one place."""
    gate, order = Gate(1), []

    async def guest(name: str, priority: Priority) -> None:
        async with gate.place(priority):
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for name, priority in (
            ("first", Priority.RECHECK),
            ("recheck", Priority.RECHECK),
            ("start", Priority.START),
            ("start again", Priority.START),
            ("hook", Priority.HOOK),
        ):
            tasks.create_task(guest(name, priority))
    assert order == ["first", "hook", "start", "start again", "recheck"]


def test_a_gate_lends_first_polls_what_nobody_else_waits_for() -> None:
    """All but one while they are alone; their quarter, at least one, while others wait too."""

    async def scenario() -> None:
        gate, inside = Gate(8), Counter[Priority]()

        async def guest(priority: Priority) -> None:
            async with gate.place(priority):
                inside[priority] += 1
                await asyncio.sleep(0.9)
                inside[priority] -= 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(guest(Priority.FIRST_POLL))
            await asyncio.sleep(0.5)
            assert inside == {Priority.FIRST_POLL: 7}
            for _ in range(20):
                tasks.create_task(guest(Priority.RECHECK))
            await asyncio.sleep(1)
            assert inside == {Priority.FIRST_POLL: 2, Priority.RECHECK: 5}

    run_virtually(scenario())


def test_a_place_that_was_lent_is_called_back() -> None:
    """At once for a hook, else after a second; whoever has it to himself keeps it."""

    async def scenario() -> None:
        gate, began = Gate(4), asyncio.get_running_loop().time()
        ends: list[float] = []

        async def guest() -> None:
            try:
                async with gate.place(Priority.FIRST_POLL):
                    await asyncio.sleep(100)
            except Busy:
                ends.append(asyncio.get_running_loop().time() - began)

        guests = [asyncio.create_task(guest()) for _ in range(3)]
        await asyncio.sleep(0)
        async with gate.place(Priority.HOOK), gate.place(Priority.HOOK):
            assert ends == [0]
            async with gate.place(Priority.RECHECK):
                assert ends == [0, 1]
        await asyncio.sleep(50)
        assert [task.done() for task in guests].count(False) == 1
        for task in guests:
            task.cancel()
        results = await asyncio.gather(*guests, return_exceptions=True)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 1

    run_virtually(scenario())
