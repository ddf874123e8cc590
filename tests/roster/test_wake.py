"""Who is woken when, in virtual time: the start, the timer with its rate, listings, the folder."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from held_releases import record, release
from simulation.loop import run_virtually
from structlog.testing import capture_logs

from otaflux.errors import Undecided
from otaflux.log import Event
from otaflux.machine import Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device
from otaflux.roster.roster import Roster
from otaflux.roster.wake import SPREAD, Wake
from otaflux.state.catalog import Catalog

LAMP, FAN, PUMP = Device("lamp"), Device("fan"), Device("pump")
INTERVAL = 100.0
BEGAN = 1000.0  # where the virtual clock stands at first


def now() -> float:
    """Virtual seconds since the test began."""
    return asyncio.get_running_loop().time() - BEGAN


class Source:
    """A listing that may fail, refuse, or change; `login` is what a ping raises, while it does."""

    def __init__(
        self, *answers: frozenset[Device] | Exception | None, login: Sequence[Exception] = ()
    ) -> None:
        self._answers = list(answers)
        self._login = list(login)
        self.asked: list[float] = []
        self.pinged = 0

    async def ping(self) -> None:
        """Refused so often, then taken."""
        self.pinged += 1
        if self._login:
            raise self._login.pop(0)

    async def devices(self) -> frozenset[Device] | None:
        """The next answer; the last one for ever."""
        self.asked.append(now())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Woken:
    """A wake that runs for a while, and whom it touched when."""

    def __init__(self, folder: Path, source: Source, **more: Any) -> None:
        self.touches: list[tuple[float, Touch]] = []
        self.crash_at: set[tuple[Device, int]] = set()  # devices, and the touch that crashes
        self.catalog = Catalog(folder)
        self._source = source
        self._devices: frozenset[Device] = more.pop("devices", frozenset())
        self._more: dict[str, Any] = {"rate": 20.0, **more}

    def run(self, seconds: float, then: Callable[[Roster], None] = lambda _: None) -> None:
        """Run it so long in virtual time; `then` is called with the roster after half of that."""

        async def main() -> None:
            roster = Roster(self.catalog, devices=self._devices)
            wake = Wake(
                self._source,
                roster,
                self.catalog,
                self._touched,
                interval=INTERVAL,
                machine=Machine(
                    in_thread=inline,
                    clock=asyncio.get_running_loop().time,
                    chance=random.Random(1),
                ),
                **self._more,
            )
            task = asyncio.ensure_future(wake.run())
            await asyncio.sleep(seconds / 2)
            then(roster)
            await asyncio.sleep(seconds / 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run_virtually(main())

    def _touched(self, touch: Touch) -> None:
        self.touches.append((now(), touch))
        if (touch.device, len(self.of(touch.device))) in self.crash_at:
            raise RuntimeError("not foreseen")

    def of(self, device: Device) -> list[tuple[float, Priority]]:
        """When a device was touched, and how urgently."""
        return [(at, touch.priority) for at, touch in self.touches if touch.device == device]


async def inline(work: Callable[..., Any], *arguments: Any) -> Any:
    """Blocking work at once."""
    return work(*arguments)


def test_devices_with_nothing_are_looked_at_at_once(tmp_path: Path) -> None:
    """DEVICES and the listing are touched at the start, without waiting for the rate."""
    woken = Woken(tmp_path, Source(frozenset({FAN})), devices=frozenset({LAMP}), rate=0.001)
    woken.run(5)
    assert [priority for _, priority in woken.of(LAMP)] == [Priority.START]
    assert [priority for _, priority in woken.of(FAN)] == [Priority.START]
    assert max(at for at, _ in woken.touches) < 2


def test_each_device_is_looked_at_again_every_interval(tmp_path: Path) -> None:
    """Give or take a tenth, for ever."""
    woken = Woken(tmp_path, Source(frozenset({LAMP})))
    woken.run(20 * INTERVAL)
    times = [at for at, _ in woken.of(LAMP)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) >= 17
    assert all(INTERVAL * (1 - SPREAD) <= gap <= INTERVAL * (1 + SPREAD) + 1 for gap in gaps)


def test_the_rate_holds_for_devices_that_have_something(tmp_path: Path) -> None:
    """No second sees more re-checks than the rate, and no device is left out."""
    woken = Woken(tmp_path, Source(None), rate=5.0)
    devices = [Device(f"d{number}") for number in range(300)]
    for device in devices:
        woken.catalog.load(record(release("1.0.0", b"x", device.name)))
    woken.run(140)
    assert {touch.device for _, touch in woken.touches} == set(devices)
    times = sorted(at for at, _ in woken.touches)
    for first, sixth in zip(times, times[11:], strict=False):
        assert sixth - first > 1.0


def test_a_listing_that_fails_forgets_nobody_and_is_asked_again(tmp_path: Path) -> None:
    """Known devices go on being looked at; who is listed later is looked at then."""
    source = Source(frozenset({LAMP}), Undecided("it is away"), frozenset({LAMP, FAN}))
    woken = Woken(tmp_path, source)
    woken.run(4 * INTERVAL)
    assert source.asked[2] - source.asked[1] < 3
    assert len(woken.of(LAMP)) >= 3
    assert woken.of(FAN)[0] == (source.asked[2], Priority.START)


def test_a_login_that_is_refused_is_a_warning_where_nobody_else_would_hear_of_it(
    tmp_path: Path,
) -> None:
    """A registry that lists nothing is asked once whether it takes the login, until it does."""
    source = Source(None, login=[Undecided("refused", hint="Look at REGISTRY_PASSWORD")] * 2)
    with capture_logs() as lines:
        Woken(tmp_path, source).run(10 * INTERVAL)
    told = [line for line in lines if line["event"] == "listing_unavailable"]
    assert [(line["log_level"], line["hint"]) for line in told] == [
        ("warning", "Look at REGISTRY_PASSWORD")
    ]
    assert source.pinged == 3


def test_a_registry_that_is_away_for_weeks_is_still_asked(tmp_path: Path) -> None:
    """The wait grows to the interval and no further, however often the listing failed."""
    source = Source(Undecided("it is away"))
    Woken(tmp_path, source).run(1100 * INTERVAL)
    assert len(source.asked) > 1050
    assert source.asked[-1] - source.asked[-2] == INTERVAL


def test_a_bug_in_the_listing_ends_nothing(tmp_path: Path) -> None:
    """It is logged with its traceback and asked again; the timer goes on meanwhile."""
    source = Source(*[ValueError("not foreseen")] * 3, frozenset({FAN}))
    woken = Woken(tmp_path, source, devices=frozenset({LAMP}))
    with capture_logs() as lines:
        woken.run(3 * INTERVAL)
    crashed = [line for line in lines if line["event"] == Event.WAKE_CRASHED]
    assert [(line["task"], line["log_level"]) for line in crashed] == [("listing", "error")] * 3
    assert all(line["exc_info"] for line in crashed)
    assert len(woken.of(LAMP)) >= 3
    assert woken.of(FAN)[0] == (source.asked[3], Priority.START)


def test_a_bug_in_the_timer_or_the_folder_ends_nothing(tmp_path: Path) -> None:
    """A touch that crashes costs that device one round, and no other anything."""
    stamps: list[Mapping[Device, object] | Exception] = [
        {FAN: 1},
        RuntimeError("not foreseen"),
        {FAN: 2},
    ]

    def folder() -> Mapping[Device, object]:
        answer = stamps.pop(0) if len(stamps) > 1 else stamps[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    woken = Woken(tmp_path, Source(None), devices=frozenset({LAMP, PUMP}), stamps=folder)
    woken.crash_at = {(LAMP, 2), (LAMP, 3)}
    with capture_logs() as lines:
        woken.run(6 * INTERVAL)
    crashed = [line["task"] for line in lines if line["event"] == Event.WAKE_CRASHED]
    assert sorted(crashed) == ["embedded folder", "re-check timer", "re-check timer"]
    assert len(woken.of(LAMP)) >= 5
    assert len(woken.of(PUMP)) >= 5
    assert Priority.HOOK in {priority for _, priority in woken.of(FAN)}


def test_who_is_not_listed_any_more_and_has_nothing_is_left_alone(tmp_path: Path) -> None:
    """A repository that went, and was never told, costs no more requests."""
    source = Source(frozenset({LAMP}), frozenset())
    woken = Woken(tmp_path, source)
    woken.run(5 * INTERVAL)
    assert max(at for at, _ in woken.of(LAMP)) <= source.asked[1]


def test_who_a_hook_names_is_known_from_then_on(tmp_path: Path) -> None:
    """Its first look is the hook's; the timer comes an interval later."""
    woken = Woken(tmp_path, Source(None))
    woken.run(5 * INTERVAL, then=lambda roster: roster.name(PUMP))
    times = [at for at, _ in woken.of(PUMP)]
    assert times
    assert times[0] >= 2.5 * INTERVAL + INTERVAL * (1 - SPREAD)


def test_who_changed_in_the_folder_is_as_urgent_as_a_hook(tmp_path: Path) -> None:
    """Pushed, changed or removed: told within two looks; a folder that errs says nothing."""
    looks: list[Mapping[Device, object] | Exception] = [
        {LAMP: 1},
        {LAMP: 1},
        {LAMP: 2},
        Undecided("it cannot be read"),
        {LAMP: 2, FAN: 1},
        {FAN: 1},
    ]

    def stamps() -> Mapping[Device, object]:
        answer = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    woken = Woken(tmp_path, Source(frozenset({LAMP})), stamps=stamps)
    woken.run(20)
    urgent = [(round(at), t.device) for at, t in woken.touches if t.priority is Priority.HOOK]
    assert urgent == [(2, LAMP), (4, FAN), (5, LAMP)]
