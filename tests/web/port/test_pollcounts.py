"""Polls by kind reach the observer some at a time, and all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from device_port import PortServer
from device_server import release

from otaflux.model.names import Device
from otaflux.web.devices.ask import Ask
from otaflux.web.observer import Nobody, Polled, Said
from otaflux.web.port.cachedanswer import CachedAnswer
from otaflux.web.port.pollcounts import STEPS, PollCounts


class Counting(Nobody):
    """Writes down what it is told at once."""

    def __init__(self) -> None:
        self.told: list[dict[Polled, int]] = []
        self.versions: list[dict[Said, int]] = []

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """So many polls of each kind."""
        self.told.append(dict(answered))

    def said(self, versions: Mapping[Said, int]) -> None:
        """So many said so."""
        self.versions.append(dict(versions))


def answer(device: str, says: bytes = b"") -> CachedAnswer:
    """An answer about a device, with a version that was left in its request."""
    return CachedAnswer(Ask(Device(device)), 200, b"", b"", closes=False, says=says)


def test_kinds_are_told_some_at_a_time() -> None:
    """However many kinds there are, a step tells of few, and all are told once."""
    observer = Counting()
    counts = PollCounts(observer)
    expected: Counter[Polled] = Counter()
    for number in range(250):
        known = answer(f"lamp-{number}")
        for _ in range(number % 3 + 1):
            counts.answered(known)
        expected[Device(f"lamp-{number}"), 200] = number % 3 + 1
        counts.said(Device(f"lamp-{number}"), b"1.0.0")
    counts.gather()
    steps = 1
    while counts.tell_some():
        steps += 1
    assert steps == 3
    assert [len(told) for told in observer.told] == [100, 100, 50]
    assert [len(told) for told in observer.versions] == [100, 100, 50]
    assert sum((Counter(told) for told in observer.told), Counter()) == expected
    assert not counts.tell_some()
    assert len(observer.told) == 3


def test_however_many_kinds_there_are_they_are_told_in_few_steps() -> None:
    """Or those of the next second would wait behind them, and so on."""
    observer = Counting()
    counts = PollCounts(observer)
    for number in range(20_000):
        counts.answered(answer(f"lamp-{number}"))
        counts.said(Device(f"lamp-{number}"), b"1.0.0")
    counts.gather()
    steps = 1
    while counts.tell_some():
        steps += 1
    assert steps <= STEPS
    assert sum(map(len, observer.told)) == sum(map(len, observer.versions)) == 20_000


def test_requests_of_a_device_are_one_kind_each_status() -> None:
    """Whatever else is in them; and who was put off got 503."""
    observer = Counting()
    counts = PollCounts(observer)
    one, other = answer("lamp", b"0.9.0"), answer("lamp", b"0.9.0")
    for known in (one, one, other):
        counts.answered(known)
    counts.put_off(one)
    counts.said(Device("lamp"), b"0.9.0")
    counts.gather()
    assert not counts.tell_some()
    assert observer.told == [{(Device("lamp"), 200): 3, (Device("lamp"), 503): 1}]
    assert observer.versions == [{(Device("lamp"), "0.9.0"): 5}]


async def test_what_waits_to_be_told_is_told_at_the_end(tmp_path: Path) -> None:
    """A server that ends tells of all polls that it answered."""
    observer = Counting()
    async with PortServer(tmp_path, observer=observer) as server:
        for number in range(120):
            server.publish(release(f"lamp-{number}", "1.0.0"))
        async with await server.connect() as connection:
            for number in range(120):
                for _ in range(2):
                    await connection.get(f"/version?device=lamp-{number}")
        server.side.cache.counts.gather()
        server.side.cache.counts.tell_some()
    told = sum((Counter(told) for told in observer.told), Counter())
    assert {device.name for device, _ in told} == {f"lamp-{number}" for number in range(120)}
    assert set(told.values()) == {2}
