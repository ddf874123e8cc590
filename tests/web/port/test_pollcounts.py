"""Polls by kind reach the observer some at a time, and all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from device_port import PortServer
from device_server import release

from otaflux.model.names import Device
from otaflux.web.observer import Nobody, Polled
from otaflux.web.port.pollcounts import PollCounts


class Counting(Nobody):
    """Writes down what it is told at once."""

    def __init__(self) -> None:
        self.told: list[dict[Polled, int]] = []

    def quick(self, answered: Mapping[Polled, int]) -> None:
        """So many polls of each kind."""
        self.told.append(dict(answered))


def test_kinds_are_told_some_at_a_time() -> None:
    """However many kinds there are, a step tells of few, and all are told once; none of 0."""
    observer = Counting()
    kinds = PollCounts(observer)
    counts: Counter[Polled] = Counter(
        {(Device(f"lamp-{number}"), "1.0.0", 200): number for number in range(251)}
    )
    kinds.add(counts)
    steps = 1
    while kinds.tell_some(100):
        steps += 1
    assert steps == 3
    assert [len(told) for told in observer.told] == [100, 100, 50]
    assert sum((Counter(told) for told in observer.told), Counter()) == +counts
    assert not kinds.tell_some(100)
    assert len(observer.told) == 3


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
        server.side.cache.count()
        server.side.cache.counts.tell_some()
    told = sum((Counter(told) for told in observer.told), Counter())
    assert {device.name for device, _, _ in told} == {f"lamp-{number}" for number in range(120)}
