"""Who runs when: once at a time, never forgotten, by priority, and patiently after failures.

All in virtual time, with the real queue on a loop whose clock jumps.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from simulation.loop import run_virtually

from otaflux.errors import OtaFluxError, Undecided, Unreachable
from otaflux.machine import Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.work.backoff import PROBE, Backoff
from otaflux.work.outcome import Again, Done, Failed, Outcome, Unasked
from otaflux.work.places import Places
from otaflux.work.queue import GAP, WorkQueue
from otaflux.work.returns import MAX_RETRY_AFTER

LAMP, PUMP = Device("lamp"), Device("pump")
LONGEST = 300.0


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Crashes on purpose leave no tracebacks in the output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


class Bench:
    """A running queue, what it ran and when; `answer` says how a run goes."""

    def __init__(
        self,
        answer: Callable[[Touch], Awaitable[Outcome]],
        *,
        places: int = 4,
        backoff: Backoff | None = None,
        longest_wait: float = LONGEST,
        rate: float = math.inf,
    ) -> None:
        self.clock = asyncio.get_running_loop().time
        self.begun: list[tuple[float, Touch]] = []
        self.running: Counter[Device] = Counter()
        self.priorities: Counter[Priority] = Counter()
        self.places = Places(places)
        self._answer = answer
        self.queue = WorkQueue(
            self._work,
            places=places,
            longest_wait=longest_wait,
            rate=rate,
            backoff=backoff,
            machine=Machine(clock=self.clock, chance=random.Random(1)),
        )

    async def _work(self, touch: Touch) -> Outcome:
        assert not self.running[touch.device], "two runs of a key at once"
        assert self.places.admit(touch.priority, self.priorities, lending=True), (
            "more than there are places"
        )
        self.begun.append((self.clock(), touch))
        self.running[touch.device] += 1
        self.priorities[touch.priority] += 1
        try:
            return await self._answer(touch)
        finally:
            self.running[touch.device] -= 1
            self.priorities[touch.priority] -= 1

    def touch(
        self, device: Device = LAMP, priority: Priority = Priority.HOOK, *tags: str
    ) -> asyncio.Future[Outcome]:
        """Touch a key, now."""
        hooks = tuple(tags) if priority is Priority.HOOK else ()
        return self.queue.touch(
            Touch(device, priority, hooks, self.clock(), tuple(Tag(tag) for tag in tags))
        )

    @property
    def times(self) -> list[float]:
        """When each run began, in seconds since the first."""
        return [at - self.begun[0][0] for at, _ in self.begun]


def _play(
    scenario: Callable[[Bench], Coroutine[Any, Any, None]],
    answer: Callable[[Touch], Awaitable[Outcome]],
    **options: Any,
) -> Bench:
    """Run a queue while the scenario lasts."""

    async def main() -> Bench:
        bench = Bench(answer, **options)
        running = asyncio.ensure_future(bench.queue.run())
        await scenario(bench)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled(), running.exception()
        return bench

    return run_virtually(main())


def _taking(seconds: float) -> Callable[[Touch], Awaitable[Outcome]]:
    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(seconds)
        return Done()

    return answer


def _failing(*errors: OtaFluxError | None) -> Callable[[Touch], Awaitable[Outcome]]:
    """The first runs end so; all others go well."""
    left = list(errors)

    async def answer(touch: Touch) -> Outcome:
        error = left.pop(0) if left else None
        await asyncio.sleep(0.01)
        return Done() if error is None else Failed(error)

    return answer


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.2, 3.0, 40.0]),
        st.sampled_from([Device(name) for name in "abcdef"]),
        st.sampled_from(Priority),
    ),
    min_size=1,
    max_size=40,
)


@given(ACTIONS, st.integers(1, 6), st.integers(0, 2**32))
def test_every_touch_is_answered_by_a_run_that_began_after_it(
    actions: list[tuple[float, Device, Priority]], places: int, seed: int
) -> None:
    """Whatever fails, crashes or is slow: nothing is lost, no key runs twice, no rule is broken."""
    chance = random.Random(seed)
    carried: dict[Device, set[Tag]] = {}
    trouble = True

    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(chance.choice([0.0, 0.05, 1.0, 7.0]))
        error = chance.choice(
            [None, None, Undecided("no", retry_after=9), Unreachable("no"), RuntimeError(), "again"]
        )
        if trouble and isinstance(error, RuntimeError):
            raise error
        if trouble and isinstance(error, Undecided):
            return Failed(error)
        if trouble and error == "again":
            return Again(chance.choice([0.0, 5.0]), touch)
        carried.setdefault(touch.device, set()).update(touch.tags)
        return Done()

    async def scenario(bench: Bench) -> None:
        nonlocal trouble
        sent: dict[Device, set[Tag]] = {}
        futures = []
        last: dict[Device, float] = {}
        for number, (wait, device, priority) in enumerate(actions):
            await asyncio.sleep(wait)
            futures.append(bench.touch(device, priority, f"t{number}"))
            sent.setdefault(device, set()).add(Tag(f"t{number}"))
            last[device] = bench.clock()
        trouble = False
        await asyncio.sleep(2 * LONGEST)
        assert len(bench.queue) == 0
        assert bench.queue.running == 0
        assert not bench.queue.unreachable
        assert all(future.done() for future in futures)
        for device, at in last.items():
            assert max(began for began, t in bench.begun if t.device == device) >= at
            newest = sorted(sent[device], key=lambda tag: int(tag.text[1:]))[-32:]
            assert set(newest) <= carried[device], "a failed run's tags went back to the key"

    _play(scenario, answer, places=places)


def test_touches_while_a_key_waits_are_one_run() -> None:
    """With all their tags and hooks, the more urgent priority and one future."""

    async def scenario(bench: Bench) -> None:
        first = bench.touch(LAMP, Priority.RECHECK)
        bench.touch(LAMP, Priority.HOOK, "a")
        last = bench.touch(LAMP, Priority.HOOK, "b")
        assert first is last
        assert await asyncio.shield(first) == Done()

    bench = _play(scenario, _taking(1))
    [(_, touch)] = bench.begun
    assert touch.priority is Priority.HOOK
    assert touch.tags == (Tag("a"), Tag("b"))
    assert touch.hooks == ("a", "b")


def test_a_touch_during_a_run_is_a_run_of_its_own() -> None:
    """It begins when the one under way is over; its future is another."""

    async def scenario(bench: Bench) -> None:
        first = bench.touch(LAMP, Priority.HOOK, "a")
        await asyncio.sleep(1)
        second = bench.touch(LAMP, Priority.HOOK, "b")
        assert second is not first
        await asyncio.wait([first, second])

    bench = _play(scenario, _taking(3))
    assert bench.times == [0, 3]
    assert bench.begun[1][1].tags == (Tag("b"),)


def test_a_thousand_hooks_for_ten_devices_cost_some_tens_of_runs() -> None:
    """Within a second, while each run takes a tenth of one."""
    devices = [Device(f"d{number}") for number in range(10)]

    async def scenario(bench: Bench) -> None:
        for number in range(1000):
            bench.touch(devices[number % 10], Priority.HOOK, f"t{number}")
            await asyncio.sleep(0.001)
        await asyncio.sleep(20)
        assert len(bench.queue) == 0

    bench = _play(scenario, _taking(0.1))
    assert 10 <= len(bench.begun) <= 60
    for device in devices:
        times = [at for at, touch in bench.begun if touch.device == device]
        assert all(b - a >= GAP for a, b in itertools.pairwise(times))
        assert Tag(f"t{990 + int(device.name[1:])}") in [
            tag for _, t in bench.begun if t.device == device for tag in t.tags
        ]


def test_a_place_is_kept_for_hooks() -> None:
    """However many re-checks wait, a hook that comes now runs now."""

    async def scenario(bench: Bench) -> None:
        for number in range(20):
            bench.touch(Device(f"d{number}"), Priority.RECHECK)
        await asyncio.sleep(1)
        assert bench.queue.running == 3
        bench.touch(LAMP, Priority.HOOK)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert bench.running[LAMP] == 1

    _play(scenario, _taking(50))


@pytest.mark.parametrize(("places", "own", "lent"), [(1, 1, 0), (2, 1, 0), (4, 1, 2), (8, 2, 5)])
def test_first_polls_have_a_quarter_and_are_lent_what_nobody_wants(
    places: int, own: int, lent: int
) -> None:
    """A crowd of unknown devices fills all places but one, and gives them back but for a quarter.

    A hook has a place at once however many come, a start and a re-check within a second.
    """

    async def scenario(bench: Bench) -> None:
        for number in range(30):
            bench.touch(Device(f"d{number}"), Priority.FIRST_POLL)
        await asyncio.sleep(10)
        assert bench.queue.running == own + lent
        hooks = [Device(f"hook{number}") for number in range(1 + lent)] if places > 1 else []
        for device in hooks:
            bench.touch(device, Priority.HOOK)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert all(bench.running[device] for device in hooks)
        assert bench.priorities[Priority.FIRST_POLL] == own
        await asyncio.sleep(51)
        assert bench.priorities[Priority.FIRST_POLL] == own + lent
        bench.touch(LAMP, Priority.RECHECK)
        bench.touch(PUMP, Priority.START)
        await asyncio.sleep(1.001)
        assert bench.running[LAMP] == (lent > 1)
        assert bench.running[PUMP] == (lent > 0)

    _play(scenario, _taking(50), places=places)


def test_a_quick_run_in_a_lent_place_ends_in_peace() -> None:
    """Only who has had a second makes room for a re-check, and it goes on afterwards."""

    async def scenario(bench: Bench) -> None:
        quick, slow = Device("quick"), Device("slow")
        ended = [bench.touch(device, Priority.FIRST_POLL) for device in (Device("own"), slow)]
        await asyncio.sleep(2)
        ended.append(bench.touch(quick, Priority.FIRST_POLL))
        await asyncio.sleep(0.001)
        bench.touch(LAMP, Priority.RECHECK)
        bench.touch(PUMP, Priority.RECHECK)
        await asyncio.sleep(0.001)
        assert bench.running[LAMP] + bench.running[PUMP] == 1
        assert bench.running[quick]
        assert not bench.running[slow]
        outcomes = await asyncio.gather(*ended)
        assert outcomes == [Done(), Done(), Done()]

    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(0.5 if touch.device.name == "quick" else 5)
        return Done()

    bench = _play(scenario, answer)
    assert Counter(t.device.name for _, t in bench.begun) == {
        "own": 1, "slow": 2, "quick": 1, "lamp": 1, "pump": 1,
    }  # fmt: skip


def test_a_run_that_is_called_back_is_touched_meanwhile() -> None:
    """All reasons are taken by the run that follows, and all who wait for it hear of its end."""

    async def scenario(bench: Bench) -> None:
        own, lent = Device("own"), Device("lent")
        bench.touch(own, Priority.FIRST_POLL)
        await asyncio.sleep(1)
        first = bench.touch(lent, Priority.FIRST_POLL)
        await asyncio.sleep(1)
        second = bench.touch(lent, Priority.START, "later")
        for number in range(3):
            bench.touch(Device(f"hook{number}"), Priority.HOOK)
        await asyncio.sleep(0.1)
        assert not bench.running[lent]
        assert await asyncio.gather(first, second) == [Done(), Done()]

    bench = _play(scenario, _taking(5), places=3)
    runs = [touch for _, touch in bench.begun if touch.device.name == "lent"]
    assert len(runs) == 2
    assert runs[1].tags == (Tag("later"),)


def test_stopping_stops_a_run_that_is_called_back_too() -> None:
    """It is cancelled twice then, and does not wait again."""

    async def stubborn(touch: Touch) -> Outcome:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(3)
        return Done()

    async def scenario(bench: Bench) -> None:
        for number in range(3):
            bench.touch(Device(f"d{number}"), Priority.FIRST_POLL)
        await asyncio.sleep(1)
        bench.touch(LAMP, Priority.HOOK)
        bench.touch(PUMP, Priority.HOOK)
        await asyncio.sleep(1)

    bench = _play(scenario, stubborn)
    assert bench.queue.running == 0


def test_what_only_polls_ask_for_begins_in_a_burst_and_then_at_a_rate() -> None:
    """Made-up names ask a registry for 300 at once, and then for five a second; others freely."""

    async def scenario(bench: Bench) -> None:
        for number in range(500):
            bench.touch(Device(f"d{number}"), Priority.FIRST_POLL)
        await asyncio.sleep(10)
        assert 345 <= len(bench.begun) <= 352
        for number in range(490, 500):
            bench.touch(Device(f"d{number}"), Priority.START)
        bench.touch(LAMP, Priority.HOOK)
        await asyncio.sleep(0.1)
        assert bench.running[LAMP] == 0
        assert {touch.device.name for _, touch in bench.begun[-13:]} >= {"lamp", "d499"}
        await asyncio.sleep(100)
        assert len(bench.queue) == 0

    bench = _play(scenario, _taking(0.01))
    assert len(bench.begun) == 501


def test_priorities_go_in_their_order() -> None:
    """A hook, then first polls, then the start, then re-checks; in each as they came."""

    async def scenario(bench: Bench) -> None:
        bench.touch(PUMP)
        await asyncio.sleep(0.1)
        for name, priority in (
            ("re", Priority.RECHECK),
            ("start1", Priority.START),
            ("start2", Priority.START),
            ("poll", Priority.FIRST_POLL),
            ("hook", Priority.HOOK),
        ):
            bench.touch(Device(name), priority)
        await asyncio.sleep(30)

    bench = _play(scenario, _taking(1), places=1)
    order = [touch.device.name for _, touch in bench.begun]
    assert order == ["pump", "hook", "poll", "start1", "start2", "re"]


def test_failures_are_tried_again_later_and_later_up_to_a_bound() -> None:
    """Doubling, give or take the jitter, and no longer than the longest wait."""

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP, Priority.HOOK, "a")
        await asyncio.sleep(2000)

    bench = _play(scenario, _failing(*[Undecided("no")] * 200), longest_wait=40.0)
    waits = [b - a - 0.01 for a, b in itertools.pairwise(bench.times)]
    for number, wait in enumerate(waits):
        expected = min(60.0, 2.0**number)
        assert min(expected * 0.75, 40.0) - 1e-6 <= wait <= min(expected * 1.25, 40.0) + 1e-6
    assert max(waits) == pytest.approx(40.0)
    assert all(touch.tags == (Tag("a"),) for _, touch in bench.begun)


@pytest.mark.parametrize(("asked", "waits"), [(20.0, 20.0), (9999.0, MAX_RETRY_AFTER)])
def test_retry_after_is_honoured_within_bounds(asked: float, waits: float) -> None:
    """What a registry asks for, but never longer than a minute."""

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP, Priority.RECHECK)
        await asyncio.sleep(500)

    bench = _play(scenario, _failing(Undecided("429", retry_after=asked)))
    assert bench.times[1] - 0.01 == pytest.approx(waits)


def test_only_a_fresh_hook_ends_a_wait() -> None:
    """Any other touch joins the waiting one, so that a registry in trouble is not hammered."""

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP, Priority.START)
        await asyncio.sleep(1)
        bench.touch(LAMP, Priority.RECHECK)
        bench.touch(LAMP, Priority.FIRST_POLL)
        await asyncio.sleep(1)
        assert len(bench.begun) == 1
        bench.touch(LAMP, Priority.HOOK)
        await asyncio.sleep(1)
        assert len(bench.begun) == 2

    _play(scenario, _failing(Undecided("no", retry_after=50)))


def test_again_comes_again_with_its_touch_and_counts_as_success() -> None:
    """After the time it named, or the longest wait."""
    outcomes: list[Outcome] = [
        Failed(Undecided("no")),
        Again(12.0, Touch(LAMP, Priority.HOOK, tags=(Tag("b"),))),
        Again(9999.0, Touch(LAMP, Priority.HOOK, tags=(Tag("c"),))),
        Failed(Undecided("no")),
    ]

    async def answer(touch: Touch) -> Outcome:
        return outcomes.pop(0) if outcomes else Done()

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP, Priority.HOOK, "a")
        await asyncio.sleep(1000)

    bench = _play(scenario, answer)
    assert [touch.tags[0].text for _, touch in bench.begun] == ["a", "a", "b", "c", "c"]
    assert bench.times[4] - bench.times[3] == pytest.approx(1, rel=0.25), "a first failure again"
    assert bench.times[2] - bench.times[1] == pytest.approx(12)
    assert bench.times[3] - bench.times[2] == pytest.approx(LONGEST)


def test_in_an_outage_one_key_at_a_time_tries_for_all() -> None:
    """A fresh hook's at once; the first that comes back opens the way for all, at once."""
    away = True

    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(0.01)
        return Failed(Unreachable("no route")) if away else Done()

    async def scenario(bench: Bench) -> None:
        nonlocal away
        for number in range(50):
            bench.touch(Device(f"d{number}"), Priority.RECHECK)
        await asyncio.sleep(120)
        first = len([at for at in bench.times if at < 0.005])
        assert first == 3
        later = [at for at in bench.times if at >= 0.005]
        assert len(later) <= 8
        assert all(b - a > 0.7 for a, b in itertools.pairwise(later))
        assert bench.queue.unreachable

        before = len(bench.begun)
        bench.touch(LAMP, Priority.HOOK)
        await asyncio.sleep(0.005)
        assert [t.device for _, t in bench.begun[before:]] == [LAMP]
        away = False
        bench.touch(PUMP, Priority.HOOK)
        await asyncio.sleep(1)
        assert not bench.queue.unreachable
        assert len(bench.queue) == 0

    _play(scenario, answer)


def test_what_strangers_ask_for_makes_no_outage_and_ends_none() -> None:
    """A registry that fails for made-up names keeps nobody waiting; nor are they asked in one."""
    away = False

    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(0.01)
        is_stranger = touch.device.name.startswith("stranger")
        return Failed(Unreachable("no route")) if away or is_stranger else Done()

    async def scenario(bench: Bench) -> None:
        nonlocal away
        for number in range(5):
            bench.touch(Device(f"stranger{number}"), Priority.FIRST_POLL)
            await asyncio.sleep(0.3)
        assert not bench.queue.unreachable
        ended = bench.touch(LAMP, Priority.RECHECK)
        await asyncio.sleep(0.05)
        assert ended.done()

        away = True
        bench.touch(LAMP, Priority.RECHECK)
        await asyncio.sleep(1)
        assert bench.queue.unreachable
        before = len(bench.begun)
        bench.touch(Device("stranger-of-late"), Priority.FIRST_POLL)
        await asyncio.sleep(30)
        assert {t.device for _, t in bench.begun[before:]} == {LAMP}
        away = False
        await asyncio.sleep(90)
        assert not bench.queue.unreachable
        assert "stranger-of-late" in {t.device.name for _, t in bench.begun[before:]}

    _play(scenario, answer)


def test_a_long_run_does_not_keep_others_from_an_outage_that_is_over() -> None:
    """Neither one that began before it, nor a try that streams: a hook waits for seconds."""
    away = False

    async def answer(touch: Touch) -> Outcome:
        if touch.device.name.startswith("slow"):
            await asyncio.sleep(10_000)
        await asyncio.sleep(0.01)
        return Failed(Unreachable("no route")) if away else Done()

    async def scenario(bench: Bench) -> None:
        nonlocal away
        bench.touch(Device("slow"), Priority.RECHECK)
        await asyncio.sleep(1)
        away = True
        bench.touch(PUMP)
        await asyncio.sleep(0.5)
        assert bench.queue.unreachable
        away = False
        ended = bench.touch(LAMP)
        await asyncio.sleep(1)
        assert ended.done()
        assert not bench.queue.unreachable

        away = True
        bench.touch(PUMP)
        await asyncio.sleep(0.1)
        assert bench.queue.unreachable
        away = False
        bench.touch(Device("slow/too"))
        bench.touch(Device("lamp/two"))
        await asyncio.sleep(PROBE + 0.1)
        assert not bench.queue.unreachable

    _play(scenario, answer)


def test_re_checks_keep_to_their_rate_whatever_comes_of_them() -> None:
    """Also those that fail and come again; hooks and the start do not wait for it."""

    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(0.01)
        return Failed(Undecided("403"))

    async def scenario(bench: Bench) -> None:
        for number in range(200):
            bench.touch(Device(f"d{number}"), Priority.RECHECK)
        bench.touch(PUMP, Priority.START)
        await asyncio.sleep(0.02)
        bench.touch(LAMP, Priority.HOOK)
        await asyncio.sleep(0.02)
        assert {LAMP, PUMP} <= {touch.device for _, touch in bench.begun}
        await asyncio.sleep(60)
        times = [at for at, touch in bench.begun if touch.priority is Priority.RECHECK]
        assert len(times) >= 295
        for first, eleventh in zip(times, times[10:], strict=False):
            assert eleventh - first > 0.99

    _play(scenario, answer, rate=5.0)


def test_time_that_passes_while_it_decides_leaves_nobody_waiting() -> None:
    """Who is refused at one moment is woken for it, however soon after it he may."""

    async def main() -> None:
        late = 0.0

        def clock() -> float:
            nonlocal late
            late += 0.01  # each reading takes its time
            return asyncio.get_running_loop().time() + late

        async def work(touch: Touch) -> Outcome:
            return Done()

        queue = WorkQueue(
            work, places=4, longest_wait=LONGEST, rate=20.0, machine=Machine(clock=clock)
        )
        running = asyncio.ensure_future(queue.run())
        for number in range(40):
            _ = queue.touch(Touch(Device(f"d{number}"), Priority.RECHECK))
        await asyncio.sleep(60)
        assert len(queue) == 0
        running.cancel()

    run_virtually(main())


def test_what_asked_nobody_ends_no_outage() -> None:
    """A run that had nothing to ask says nothing of whether somebody would have answered."""

    async def answer(touch: Touch) -> Outcome:
        await asyncio.sleep(0.01)
        return Unasked() if touch.device == PUMP else Failed(Unreachable("no route"))

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP)
        await asyncio.sleep(0.1)
        assert bench.queue.unreachable
        await asyncio.sleep(PROBE)
        ended = bench.touch(PUMP)
        await asyncio.sleep(0.1)
        assert ended.done()
        assert bench.queue.unreachable

    _play(scenario, answer)


def test_giving_up_leaves_what_anything_else_touched() -> None:
    """A start that was added to a first poll still has its run."""

    async def scenario(bench: Bench) -> None:
        for number in range(4):
            bench.touch(Device(f"busy{number}"), Priority.START)
        bench.touch(Device("poll"), Priority.FIRST_POLL)
        bench.touch(LAMP, Priority.FIRST_POLL)
        started = bench.touch(LAMP, Priority.START)
        bench.touch(PUMP, Priority.FIRST_POLL)
        await asyncio.sleep(0.1)
        for device in (LAMP, PUMP):
            bench.queue.give_up(device)
        await asyncio.sleep(60)
        assert started.done()
        assert not started.cancelled()
        assert PUMP not in {touch.device for _, touch in bench.begun}

    _play(scenario, _taking(10.0))


def test_a_crash_of_one_run_ends_no_other() -> None:
    """Its key comes again after a wait; the others do not notice."""
    crashes = 2

    async def answer(touch: Touch) -> Outcome:
        nonlocal crashes
        if touch.device == LAMP and crashes:
            crashes -= 1
            raise RuntimeError("a bug")
        await asyncio.sleep(5)
        return Done()

    async def scenario(bench: Bench) -> None:
        lamp, pump = bench.touch(LAMP), bench.touch(PUMP)
        outcome = await lamp
        assert isinstance(outcome, Failed)
        assert await pump == Done()
        await asyncio.sleep(30)

    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        bench = _play(scenario, answer)
    assert Counter(t.device for _, t in bench.begun) == {LAMP: 3, PUMP: 1}
    assert [(line["event"], line["device"]) for line in lines] == [("run_crashed", "lamp")] * 2


def test_an_error_of_ours_that_is_raised_counts_as_failed() -> None:
    """With what it asks for."""
    calls = 0

    async def answer(touch: Touch) -> Outcome:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Undecided("no", retry_after=30)
        return Done()

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP)
        await asyncio.sleep(100)

    assert _play(scenario, answer).times == [0, pytest.approx(30)]


def test_giving_up_takes_out_who_only_polls_put_in() -> None:
    """Its future is cancelled; a key that a hook touched stays, and so does one that runs."""

    async def scenario(bench: Bench) -> None:
        bench.touch(Device("busy"), Priority.FIRST_POLL)
        await asyncio.sleep(0.1)
        bench.queue.give_up(Device("busy"))
        lamp = bench.touch(LAMP, Priority.FIRST_POLL)
        bench.touch(PUMP, Priority.FIRST_POLL)
        pump = bench.touch(PUMP, Priority.HOOK)
        bench.queue.give_up(LAMP)
        bench.queue.give_up(PUMP)
        bench.queue.give_up(Device("nobody"))
        assert lamp.cancelled()
        await asyncio.sleep(100)
        assert pump.result() == Done()

    bench = _play(scenario, _taking(1), places=1)
    assert [t.device.name for _, t in bench.begun] == ["busy", "pump"]


def test_stopping_stops_the_runs_under_way() -> None:
    """Nothing of the queue is left running."""

    async def scenario(bench: Bench) -> None:
        bench.touch(LAMP)
        await asyncio.sleep(1)
        assert bench.queue.running == 1

    bench = _play(scenario, _taking(1000))
    assert bench.queue.running == 0


def test_a_failure_that_knows_what_is_due_waits_no_longer_than_that() -> None:
    """However often its key failed before."""

    async def answer(touch: Touch) -> Outcome:
        return Failed(Undecided("one tag of several"), within=1.0)

    async def scenario(bench: Bench) -> None:
        _ = bench.touch(LAMP, Priority.RECHECK)
        await asyncio.sleep(20.5)

    bench = _play(scenario, answer)
    waits = [later - before for before, later in itertools.pairwise(bench.times)]
    assert len(waits) >= 20
    assert max(waits) <= 1.0


def test_a_run_that_asks_for_another_one_soon_has_it_within_the_gap() -> None:
    """It knows that what it waits for is near; hooks that come meanwhile make it no sooner."""

    async def answer(touch: Touch) -> Outcome:
        return Again(0.05, touch) if len(bench[0].begun) == 1 else Done()

    bench: list[Bench] = []

    async def scenario(running: Bench) -> None:
        bench.append(running)
        _ = running.touch()
        await asyncio.sleep(0.01)
        _ = running.touch()
        await asyncio.sleep(GAP)

    assert _play(scenario, answer).times == pytest.approx([0.0, 0.05])


def test_runs_that_always_ask_for_another_one_soon_are_as_many_as_others_under_a_storm() -> None:
    """Three at once, as one hook needs whose tag is late; hooks without end cause one a gap."""

    async def answer(touch: Touch) -> Outcome:
        return Again(0.05, touch)

    async def scenario(running: Bench) -> None:
        for _ in range(500):
            _ = running.touch()
            await asyncio.sleep(0.01)

    times = _play(scenario, answer).times
    assert times[:3] == pytest.approx([0.0, 0.05, 0.1])
    assert len(times) <= 5 / GAP + 3


def test_a_run_that_steps_aside_gives_its_place_to_others() -> None:
    """It goes on, is not run twice, and counts again once it steps back."""
    other, third = Device("other"), Device("third")
    running: list[Device] = []
    go_on = asyncio.Event()

    async def answer(touch: Touch) -> Outcome:
        running.append(touch.device)
        await go_on.wait()
        return Done()

    async def main() -> None:
        queue = WorkQueue(answer, places=1, longest_wait=60.0)
        run = asyncio.create_task(queue.run())
        for device in (LAMP, other, third):
            _ = queue.touch(Touch(device, Priority.HOOK))
        await asyncio.sleep(0.01)
        assert running == [LAMP]
        assert queue.is_crowded
        queue.step_aside(LAMP)
        _ = queue.touch(Touch(LAMP, Priority.HOOK))
        await asyncio.sleep(0.01)
        assert running == [LAMP, other]
        queue.step_back(LAMP)
        queue.step_aside(other)
        await asyncio.sleep(0.01)
        assert running == [LAMP, other]
        go_on.set()
        await asyncio.sleep(0.5)
        assert running == [LAMP, other, third, LAMP]
        run.cancel()
        await asyncio.wait([run])

    asyncio.run(main())


def test_what_failed_is_tried_at_once_where_its_cause_is_another() -> None:
    """Who waits for something else, or runs, is not hurried."""

    async def scenario(running: Bench) -> None:
        _ = running.touch(LAMP, Priority.START)
        await asyncio.sleep(5)
        _ = running.touch(PUMP, Priority.START)
        began = len(running.begun)
        running.queue.hurry()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [touch.device for _, touch in running.begun[began:]].count(LAMP) == 1

    error = Undecided("those credentials", retry_after=60.0)
    _play(scenario, _failing(error, error, error, error))


def test_who_waits_for_a_rate_crowds_nobody() -> None:
    """Made-up names that wait for their turn are no reason to hurry slow pulls along."""

    async def scenario(bench: Bench) -> None:
        for number in range(320):
            bench.touch(Device(f"d{number}"), Priority.FIRST_POLL)
        await asyncio.sleep(1.5)
        assert len(bench.queue) > 0
        assert not bench.queue.is_crowded

    _play(scenario, _taking(0.01))
