"""Devices that nothing is known of: one look, a short wait, and names that cost nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from device_server import Clock, DeviceServer, HandQueue, release
from structlog.testing import capture_logs

from otaflux.errors import Busy, NotFound, Undecided
from otaflux.machine import Machine
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Namespace
from otaflux.model.record import Record, Standing
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.web.devices.firstlooks import FirstLooks
from otaflux.work.backoff import Backoff
from otaflux.work.outcome import Again, Done, Failed
from otaflux.work.queue import WorkQueue

LAMP = Device("lamp")
KNOWN = Record(LAMP, "test", channels={"stable": Standing(release(), 0.0)}, ever_synced=True)


class House:
    """FirstLooks with a catalog, a queue and a clock in the test's hands."""

    def __init__(
        self,
        *,
        known: bool = False,
        patience: float = 5,
        namespace: Namespace | None = None,
        **bounds: int,
    ) -> None:
        self.catalog = Catalog(Path("nowhere"))
        self.queue = HandQueue()
        self.clock = Clock()
        self.roster = Roster(
            self.catalog,
            devices=frozenset({LAMP} if known else ()),
            machine=Machine(clock=self.clock),
        )
        self.first_looks = FirstLooks(
            self.catalog,
            self.queue,
            namespace or Namespace(),
            roster=self.roster,
            patience=patience,
            **bounds,
        )

    def ask(self, device: Device = LAMP) -> asyncio.Task[Record]:
        """One poll, under way."""
        return asyncio.create_task(self.first_looks.record(device))

    def found(self, record: Record = KNOWN) -> None:
        """A look published a record."""
        self.catalog.load(record)


async def settle() -> None:
    """Let everything that can run now run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_known_device_needs_no_look() -> None:
    """What the catalog knows is answered at once, also where it knows of no release."""
    house = House()
    for record in (KNOWN, Record(LAMP, "test", ever_synced=True)):
        house.found(record)
        assert await house.first_looks.record(LAMP) is record
    assert house.queue.touches == []


async def test_all_who_ask_share_one_look() -> None:
    """A hundred polls of a new device make one touch, and all get what it found."""
    house = House()
    polls = [house.ask() for _ in range(100)]
    await settle()
    assert house.queue.touches == [Touch(LAMP, Priority.FIRST_POLL)]
    house.found()
    house.queue.end("lamp", Done())
    assert await asyncio.gather(*polls) == [KNOWN] * 100
    assert house.first_looks.waiting == 0


async def test_a_client_that_leaves_ends_nobodys_look() -> None:
    """One of two hangs up; the other gets its answer."""
    house = House()
    leaving, staying = house.ask(), house.ask()
    await settle()
    leaving.cancel()
    await settle()
    house.found()
    house.queue.end("lamp", Done())
    assert await staying == KNOWN
    assert leaving.cancelled()


async def test_a_look_that_takes_long_goes_on() -> None:
    """After the patience 503, while the look goes on; its result is there for the next poll."""
    house = House(patience=0.01)
    with pytest.raises(Busy, match="being looked up"):
        await house.first_looks.record(LAMP)
    house.found()
    house.queue.end("lamp", Done())
    assert await house.first_looks.record(LAMP) == KNOWN
    assert len(house.queue.touches) == 1


async def test_a_device_that_does_not_exist_is_remembered_for_30_s() -> None:
    """Within 30 seconds no second look is made, then one is."""
    house = House()
    poll = house.ask()
    await settle()
    house.queue.end("lamp", Done())
    with pytest.raises(NotFound, match="No firmware for device 'lamp'"):
        await poll
    house.clock.value += 29.9
    with pytest.raises(NotFound):
        await house.first_looks.record(LAMP)
    assert len(house.queue.touches) == 1
    house.clock.value += 0.1
    poll = house.ask()
    await settle()
    assert len(house.queue.touches) == 2
    house.found()
    house.queue.end("lamp", Done())
    assert await poll == KNOWN


async def test_a_look_that_is_not_over_is_no_absence() -> None:
    """One that gave its place back, for there is much to look at, goes on: ask again."""
    house = House()
    poll = house.ask()
    await settle()
    again = Again(2.0, Touch(LAMP, Priority.START), is_settled=False)
    house.queue.end("lamp", again)
    with pytest.raises(Busy, match="being looked up"):
        await poll
    assert not house.roster.is_absent(LAMP)


async def test_what_appears_meanwhile_is_told_at_once() -> None:
    """A hook that finds the device ends the memory of its absence."""
    house = House()
    poll = house.ask()
    await settle()
    house.queue.end("lamp", Again(2.0, Touch(LAMP, Priority.FIRST_POLL)))
    with pytest.raises(NotFound):
        await poll
    house.found()
    assert await house.first_looks.record(LAMP) == KNOWN


async def test_too_many_who_wait_are_answered_at_once() -> None:
    """Beyond the bound of those who wait, 503 comes at once and nothing is asked."""
    house = House(most_waiting=4)
    polls = [house.ask() for _ in range(4)]
    await settle()
    with pytest.raises(Busy, match="Too many"):
        await house.first_looks.record(Device("other"))
    assert [touch.device for touch in house.queue.touches] == [LAMP]
    house.found()
    house.queue.end("lamp", Done())
    assert await asyncio.gather(*polls) == [KNOWN] * 4


async def test_a_registry_that_cannot_be_asked_is_503() -> None:
    """A failed look is no verdict: ask again, when the registry said, and never what it said."""
    house = House()
    poll = house.ask()
    await settle()
    house.queue.end("lamp", Failed(Undecided("https://registry: 401", retry_after=17)))
    with pytest.raises(Busy) as refusal:
        await poll
    assert refusal.value.retry_after == 17
    assert "registry" not in str(refusal.value)
    assert not house.roster.is_absent(LAMP)


async def test_a_failed_look_that_found_something_is_good_enough() -> None:
    """Where the stable channel was settled before the run failed, it is told."""
    house = House()
    poll = house.ask()
    await settle()
    house.found()
    house.queue.end("lamp", Failed(Undecided("the beta channel")))
    assert await poll == KNOWN


async def test_made_up_names_take_no_room_from_known_devices() -> None:
    """A device that somebody named waits for its look however many ask for what is not there."""
    house = House(known=True, most_waiting=4)
    strangers = [house.ask(Device(f"d{n}")) for n in range(4)]
    await settle()
    known = house.ask()
    await settle()
    house.found()
    house.queue.end("lamp", Done())
    assert await known == KNOWN
    for poll in strangers:
        poll.cancel()
    await settle()


async def test_a_look_that_nobody_waits_for_makes_room() -> None:
    """Who asks now goes before who left: the queue holds no more names than may wait."""
    house = House(most_looks=3)
    for n in range(3):
        left = house.ask(Device(f"d{n}"))
        await settle()
        left.cancel()
    await settle()
    poll = house.ask()
    await settle()
    assert house.queue.given_up == [Device("d0")]
    house.found()
    house.queue.end("lamp", Done())
    assert await poll == KNOWN


async def test_names_that_fail_do_not_pile_up() -> None:
    """The queue holds a bounded number of unknown devices; those that fail make room."""
    house = House(most_looks=3)
    for n in range(10):
        poll = house.ask(Device(f"d{n}"))
        await settle()
        house.queue.end(f"d{n}", Failed(Undecided("403")))
        with pytest.raises(Busy):
            await poll
        assert len(house.queue.waiting) <= 3
    assert len(house.queue.given_up) == 7
    polls = [house.ask(device) for device in list(house.queue.waiting)]
    await settle()
    with pytest.raises(Busy, match="Too many"):
        await house.first_looks.record(Device("one-more"))
    for poll in polls:
        poll.cancel()
    await settle()


async def test_a_name_that_fails_is_dropped_once_nobody_asks() -> None:
    """A look that failed is made again by itself once, and further only for those who ask."""
    house = House()
    poll = house.ask()
    await settle()
    house.queue.end("lamp", Failed(Undecided("403")))
    with pytest.raises(Busy):
        await poll
    house.queue.end("lamp", Failed(Undecided("403")))
    await settle()
    assert house.queue.given_up == [LAMP]
    assert house.queue.waiting == {}


async def test_a_known_device_never_looked_at_goes_as_at_start() -> None:
    """It waits for its look like an unknown one, without taking an unknown one's place."""
    house = House(known=True)
    poll = house.ask()
    await settle()
    assert house.queue.touches == [Touch(LAMP, Priority.START)]
    house.found()
    house.queue.end("lamp", Done())
    assert await poll == KNOWN


async def test_a_device_that_is_not_served_is_not_there_and_not_asked_for() -> None:
    """404 without a look; the log says why, once."""
    house = House(namespace=Namespace(is_closed=lambda: True))
    with capture_logs() as logs:
        for name in ("lamp", "fan"):
            with pytest.raises(NotFound, match="No firmware for device"):
                await house.first_looks.record(Device(name))
    assert [line["event"] for line in logs] == ["device_not_served"]
    assert "DEVICES" in logs[0]["reason"]
    assert house.queue.touches == []


async def test_a_key_that_nobody_wants_leaves_the_real_queue() -> None:
    """Giving up a first poll takes its key out; one that a hook touched stays."""
    runs: list[Device] = []

    async def work(touch: Touch) -> Done:
        runs.append(touch.device)
        return Done()

    queue = WorkQueue(work, places=4, longest_wait=60, backoff=Backoff())
    given_up = queue.touch(Touch(Device("a"), Priority.FIRST_POLL))
    queue.touch(Touch(Device("b"), Priority.FIRST_POLL))
    kept = queue.touch(Touch(Device("b"), Priority.HOOK))
    for name in ("a", "b", "nobody"):
        queue.give_up(Device(name))
    assert given_up.cancelled()
    running = asyncio.create_task(queue.run())
    assert await kept == Done()
    running.cancel()
    assert runs == [Device("b")]


async def test_a_look_that_made_room_while_it_ran_is_not_tried_for_ever() -> None:
    """What fails goes back to its queue, and nobody would take it out there any more."""
    house, answers = House(), asyncio.Event()

    async def work(_: Touch) -> Done:
        await answers.wait()
        raise Undecided("403")

    queue = WorkQueue(work, places=4, longest_wait=60, backoff=Backoff())
    looks = FirstLooks(
        house.catalog, queue, Namespace(), roster=house.roster, patience=0.001, most_looks=1
    )
    running = asyncio.create_task(queue.run())
    for name in ("a", "b"):
        with pytest.raises(Busy):
            await looks.record(Device(name))
    assert queue.running == 2
    answers.set()
    await settle()
    await settle()
    assert (queue.running, len(queue)) == (0, 1), "the one that there is room for is tried again"
    running.cancel()


async def test_over_http_a_new_device_is_found_while_its_poll_waits(tmp_path: Path) -> None:
    """The first poll of a device that the registry has gets its version, not a 404."""
    async with DeviceServer(tmp_path, patience=5) as server, await server.connect() as board:
        await board.send(b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n\r\n")
        await server.queue.touched.wait()
        server.publish(release("lamp", "1.0.0"))
        server.queue.end("lamp", Done())
        reply = await board.reply()
        assert reply.status == 200
        assert reply.body.startswith(b"1.0.0\n")


async def test_over_http_a_slow_registry_is_503_with_retry_after(tmp_path: Path) -> None:
    """While the look goes on, boards hear when to ask again."""
    async with DeviceServer(tmp_path, patience=0.01) as server:
        reply = await server.get("/version?device=lamp")
        assert reply.status == 503
        assert int(reply["Retry-After"]) >= 1
        assert reply.body == b"Device 'lamp' is being looked up"
