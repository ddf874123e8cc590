"""What was told a moment ago holds together, and is forgotten in time."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
from device_server import Clock, release
from hypothesis import given, settings
from hypothesis import strategies as st
from property_runs import examples

from otaflux.errors import Busy
from otaflux.machine import Machine
from otaflux.model.names import Device
from otaflux.model.record import Record, Standing
from otaflux.model.release import Release
from otaflux.web.devices.conditions import RangeKind
from otaflux.web.devices.continuity import Downloader, DownloadMemory, LastTold
from otaflux.web.devices.offer import NOBODY, offer

LAMP = Device("lamp")
ONE, TWO, THREE = (release(version=f"1.{n}.0", content=f"fw{n}".encode()) for n in range(3))
HERE = Downloader(LAMP, "stable", "192.0.2.1")


class Transport:
    """Something that lives as long as a connection."""


def record(current: Release | None, channel: str = "stable") -> Record:
    """A record that tells that release."""
    channels = {channel: Standing(current, 0.0)} if current else {}
    return Record(LAMP, "test", channels=channels, ever_synced=True)


def test_a_connection_is_told_for_a_minute_and_once() -> None:
    """The request directly after a `/version` may follow it, within 60 s; the one after not."""
    clock = Clock()
    connections = LastTold(clock)
    here, there = Transport(), Transport()
    connections.tell(here, ONE, channel="beta")
    assert connections.follow(there) is None
    clock.value += 60
    followed = connections.follow(here)
    assert followed is not None
    assert (followed.release, followed.channel) == (ONE, "beta")
    assert connections.follow(here) is None
    connections.tell(here, ONE)
    clock.value += 60.1
    assert connections.follow(here) is None


def test_a_connection_that_ends_is_forgotten() -> None:
    """What was told holds no connection, and goes with it."""
    connections = LastTold(Clock())
    here = Transport()
    connections.tell(here, ONE)
    del here
    gc.collect()
    assert len(connections) == 0


@pytest.mark.parametrize("begins", [RangeKind.WHOLE, RangeKind.HEAD, RangeKind.START])
def test_a_download_is_remembered_for_two_minutes_after_its_last_part(begins: RangeKind) -> None:
    """HEAD and a GET from the first byte begin one; each part keeps it for two minutes more."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, begins, ONE, replaced=None)
    for _ in range(3):
        clock.value += 119
        assert downloads.release_of(HERE) is ONE
        downloads.note(HERE, RangeKind.LATER, ONE, replaced=None)
    clock.value += 120
    assert downloads.release_of(HERE) is None


@pytest.mark.parametrize("reached", [RangeKind.LATER, RangeKind.ANCHORED])
def test_a_part_above_the_first_byte_begins_none(reached: RangeKind) -> None:
    """Nobody knows what came before it."""
    downloads = DownloadMemory(Machine(clock=Clock()))
    downloads.note(HERE, reached, ONE, replaced=None)
    assert downloads.release_of(HERE) is None


def test_while_one_is_remembered_no_other_begins_there() -> None:
    """A whole GET of the new release leaves a download of the old one as it is."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None)
    downloads.hear(LAMP, record(TWO))
    clock.value += 100
    downloads.note(HERE, RangeKind.WHOLE, TWO, replaced=None)
    assert downloads.release_of(HERE) is ONE
    clock.value += 20
    assert downloads.release_of(HERE) is None


def test_others_begin_their_own() -> None:
    """Another unit, address, channel or device is another download."""
    downloads = DownloadMemory(Machine(clock=Clock()))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None)
    for other in (
        replace(HERE, who="192.0.2.2"),
        replace(HERE, channel="beta"),
        replace(HERE, device=Device("fan")),
    ):
        assert downloads.release_of(other) is None


def test_a_download_that_is_being_sent_is_not_idle() -> None:
    """Two minutes count from the last byte, however long that took."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    noted = downloads.note(HERE, RangeKind.WHOLE, ONE, replaced=None)
    with downloads.sending(noted):
        clock.value += 600
        assert downloads.release_of(HERE) is ONE
    clock.value += 119
    assert downloads.release_of(HERE) is ONE
    of_another = downloads.note(HERE, RangeKind.WHOLE, TWO, replaced=None)
    with downloads.sending(of_another):
        clock.value += 1
    assert downloads.release_of(HERE) is None


def test_a_download_ends_15_minutes_after_its_release_was_replaced() -> None:
    """Where a part came lately there is a cooldown of two minutes, then it is forgotten."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None)
    downloads.hear(LAMP, record(TWO))
    for _ in range(14):
        clock.value += 60
        assert downloads.release_of(HERE) is ONE
        downloads.note(HERE, RangeKind.LATER, ONE, replaced=None)
    downloads.hear(LAMP, record(THREE))
    clock.value += 60
    for left in (120, 60, 1):
        with pytest.raises(Busy) as refusal:
            downloads.release_of(HERE)
        assert refusal.value.retry_after == pytest.approx(left)
        downloads.note(HERE, RangeKind.WHOLE, TWO, replaced=None)
        clock.value += left - {120: 60, 60: 1, 1: 0}[left]
    assert downloads.release_of(HERE) is None


def test_no_hush_where_nobody_was_in_the_middle() -> None:
    """A download whose last part was two minutes before its end is over without a word."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=clock() - 900 + 120)
    clock.value += 120
    assert downloads.release_of(HERE) is None


def test_a_hush_for_one_that_is_still_being_sent() -> None:
    """A board whose bytes are going out when its download ends is in the middle."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    noted = downloads.note(HERE, RangeKind.START, ONE, replaced=None)
    downloads.hear(LAMP, record(TWO))
    with downloads.sending(noted):
        clock.value += 900
        with pytest.raises(Busy):
            downloads.release_of(HERE)


def test_a_release_that_comes_back_is_not_replaced() -> None:
    """Where the tag was moved back, the download goes on as if nothing had been."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None)
    downloads.hear(LAMP, record(TWO))
    downloads.hear(LAMP, record(ONE))
    for _ in range(20):
        clock.value += 60
        downloads.note(HERE, RangeKind.LATER, ONE, replaced=None)
        assert downloads.release_of(HERE) is ONE


def test_the_same_bytes_under_another_version_replace_nothing() -> None:
    """What holds together are bytes; a new tag on them changes none."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None)
    downloads.hear(LAMP, record(release(version="9.0.0", content=b"fw0")))
    for _ in range(20):
        clock.value += 60
        downloads.note(HERE, RangeKind.LATER, ONE, replaced=None)
    assert downloads.release_of(HERE) is ONE


def test_a_withdrawn_release_counts_as_replaced() -> None:
    """Who began it before gets it for 15 minutes, though nobody is told it any more."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None)
    downloads.hear(LAMP, None)
    clock.value += 100
    downloads.note(HERE, RangeKind.LATER, ONE, replaced=None)
    assert downloads.release_of(HERE) is ONE


def test_memory_is_bounded() -> None:
    """Of more downloads than fit, the longest idle are forgotten; what is over goes by itself."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock), most=10)
    for n in range(100):
        clock.value += 1
        downloads.note(replace(HERE, who=str(n)), RangeKind.HEAD, ONE, replaced=None)
        assert len(downloads) <= 10
    assert downloads.release_of(replace(HERE, who="99")) is ONE
    assert downloads.release_of(replace(HERE, who="89")) is None
    clock.value += 1000
    for n in range(10):
        downloads.note(replace(HERE, who=f"new{n}"), RangeKind.HEAD, ONE, replaced=None)
    assert len(downloads) == 10


def test_one_that_is_forgotten_while_it_is_sent_does_no_harm() -> None:
    """A download that had to make room ends like any other."""
    downloads = DownloadMemory(Machine(clock=Clock()), most=1)
    noted = downloads.note(HERE, RangeKind.WHOLE, ONE, replaced=None)
    with ExitStack() as sending:
        sending.enter_context(downloads.sending(noted))
        downloads.note(replace(HERE, who="other"), RangeKind.WHOLE, ONE, replaced=None)
        assert downloads.release_of(HERE) is None
    assert len(downloads) == 1


STRANGER = "203.0.113.66"
BEGINNINGS = [
    [RangeKind.HEAD],
    [RangeKind.START],
    [RangeKind.WHOLE],
    [RangeKind.HEAD, RangeKind.START],
    [RangeKind.START, RangeKind.LATER],  # of one address, made-up boards may read on too
    [RangeKind.HEAD, RangeKind.LATER, RangeKind.LATER],
]


def crowd(downloads: DownloadMemory, kinds: list[RangeKind], count: int, address: str) -> None:
    """So many made-up units of one address begin, and go on."""
    for n in range(count):
        for kind in kinds:
            unit = replace(HERE, who=f"made-up-{n}")
            downloads.note(unit, kind, TWO, replaced=None, address=address)


@pytest.mark.parametrize("kinds", BEGINNINGS)
def test_made_up_units_throw_no_board_out_that_is_amid_its_ranges(kinds: list[RangeKind]) -> None:
    """However many begin, or seem to go on, whoever reads on gets the release that it began."""
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock), most=1000)
    board = replace(HERE, who="board")
    downloads.note(board, RangeKind.HEAD, ONE, replaced=None, address="192.0.2.9")
    downloads.note(board, RangeKind.LATER, ONE, replaced=None, address="192.0.2.9")
    for _ in range(5):
        crowd(downloads, kinds, 2100, STRANGER)
        clock.value += 60
        assert downloads.release_of(board) is ONE
        downloads.note(board, RangeKind.LATER, ONE, replaced=None, address="192.0.2.9")
    assert len(downloads) <= 1000


@pytest.mark.parametrize("kinds", BEGINNINGS)
def test_boards_begin_beside_a_crowd_of_made_up_units(kinds: list[RangeKind]) -> None:
    """A board of another address that begins amid it is remembered until it reads on."""
    downloads = DownloadMemory(Machine(clock=Clock()), most=1000)
    crowd(downloads, kinds, 2100, STRANGER)
    board = replace(HERE, who="board")
    downloads.note(board, RangeKind.HEAD, ONE, replaced=None, address="192.0.2.9")
    crowd(downloads, kinds, 2100, STRANGER)
    assert downloads.release_of(board) is ONE


def test_heads_of_many_addresses_throw_nobody_out_that_reads_on() -> None:
    """Addresses may be made up too: what was only begun goes before what had ranges."""
    downloads = DownloadMemory(Machine(clock=Clock()), most=1000)
    downloads.note(HERE, RangeKind.HEAD, ONE, replaced=None, address="192.0.2.9")
    downloads.note(HERE, RangeKind.LATER, ONE, replaced=None, address="192.0.2.9")
    for n in range(2100):
        unit = replace(HERE, who=f"unit-{n}")
        downloads.note(unit, RangeKind.HEAD, TWO, replaced=None, address=f"2001:db8::{n:x}")
    assert downloads.release_of(HERE) is ONE


@dataclass
class Board:
    """A board that reads a firmware in four ranges after a HEAD, and begins anew at any error."""

    release: Release | None = None
    parts: tuple[Release, ...] = ()
    at: float = 1000.0

    def step(self, downloads: DownloadMemory, current: Record, now: float) -> tuple[Release, ...]:
        """One request; returns the parts of a download that is whole now."""
        reached = (
            RangeKind.HEAD
            if self.release is None
            else RangeKind.LATER
            if self.parts
            else RangeKind.START
        )
        told_now = offer(current, "stable", NOBODY, now)
        assert told_now is not None
        try:
            got = downloads.release_of(HERE)
        except Busy:
            self.release, self.parts = None, ()
            return ()
        if got is None and reached is RangeKind.LATER and told_now.replaced_lately:
            self.release, self.parts = None, ()
            return ()
        got = got or told_now.release
        downloads.note(HERE, reached, got, replaced=None)
        if reached is RangeKind.HEAD:
            self.release = got
            return ()
        self.parts += (got,)
        if len(self.parts) < 4:
            return ()
        whole, self.release, self.parts = self.parts, None, ()
        return whole


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, "publish"]), st.integers(0, 29)),
        min_size=20,
        max_size=150,
    )
)
def test_boards_that_share_an_address_never_mix(steps: list[tuple[int | str, int]]) -> None:
    """Whatever is published meanwhile, no board ends with parts of two releases.

    Three boards behind one address, each with less than two minutes between its requests.
    """
    clock = Clock()
    downloads = DownloadMemory(Machine(clock=clock))
    boards = [Board(), Board(), Board()]
    releases = iter(release(version=f"1.{n}.0", content=str(n).encode()) for n in range(200))
    current = Record(LAMP, "test", channels={"stable": Standing(next(releases), 0.0)})
    for who, seconds in steps:
        clock.value += seconds
        if who == "publish":
            standing = Standing(next(releases), clock(), replaced_another=True)
            current = replace(current, channels={"stable": standing})
            downloads.hear(LAMP, current)
        # A board that waits two minutes between its requests is on its own: none does here.
        late = [board for board in boards if clock() - board.at > 85]
        for board in [*late, boards[who]] if isinstance(who, int) else boards:
            board.at = clock()
            whole = board.step(downloads, current, clock())
            assert len(set(whole)) <= 1
