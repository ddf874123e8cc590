"""Which tag is current: the same for everybody, and what looks at tags settle."""

from __future__ import annotations

import functools
import hashlib
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.artifact import Digest, Gone
from otaflux.model.look import Lacking, Look, Unfit, Usable
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.record import REPLACED_LINGERS, Record, Retired
from otaflux.model.release import Firmware, Release, Sums
from otaflux.model.version import Version
from otaflux.reconcile import choice
from otaflux.reconcile.choice import LookAt, Nothing, Stands

LAMP = Device("lamp")
CHANNELS = (STABLE, Channel("rc"), Channel("beta"))

# An oracle of its own: the grammar and the comparison of semver.org, written as they are read.
_NUMBER = r"(0|[1-9][0-9]*)"
_SEMVER = re.compile(
    rf"[vV]?{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:_([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)


def _compare_identifiers(a: list[str], b: list[str]) -> int:
    for x, y in zip(a, b, strict=False):
        if x.isdigit() and y.isdigit():
            if int(x) != int(y):
                return 1 if int(x) > int(y) else -1
        elif x.isdigit() != y.isdigit():
            return -1 if x.isdigit() else 1
        elif x != y:
            return 1 if x > y else -1
    return (len(a) > len(b)) - (len(a) < len(b))


def _compare(a: str, b: str) -> int:
    one, other = _SEMVER.fullmatch(a), _SEMVER.fullmatch(b)
    assert one
    assert other
    for group in (1, 2, 3):
        if int(one[group]) != int(other[group]):
            return 1 if int(one[group]) > int(other[group]) else -1
    if (one[4] is None) != (other[4] is None):
        return 1 if one[4] is None else -1
    if one[4] is not None and (
        order := _compare_identifiers(one[4].split("."), other[4].split("."))
    ):
        return order
    builds = [m[5].split(".") if m[5] else [] for m in (one, other)]
    return _compare_identifiers(*builds) or (a > b) - (a < b)


def _oracle(tags: list[str], channel: str) -> str | None:
    able = []
    for tag in tags:
        match = _SEMVER.fullmatch(tag)
        if match and (match[4] is None or match[4].split(".")[0] == channel):
            able.append(tag)
    return max(able, key=functools.cmp_to_key(_compare), default=None)


def _random_tag(chance: random.Random) -> str:
    numbers = ".".join(chance.choice(["0", "1", "2", "10", "01"]) for _ in range(3))
    if chance.random() < 0.1:
        numbers = chance.choice(["latest", "1.0", "1", "sha256-abc.sig", "2025.08.01", "v"])
    pre = chance.choice(
        ["", "", "-rc.1", "-rc.2", "-rc.10", "-rc", "-rc1", "-beta.1", "-1", "-rc.01"]
    )
    build = chance.choice(["", "", "_b1", "_b2", "_10", "_9", "_1.2", "_", "_a_b"])
    return chance.choice(["", "", "v", "V"]) + numbers + pre + build


def _chosen(tags: list[str], channel: str) -> str | None:
    found = choice.candidates(Tag(tag) for tag in tags)
    step = choice.settle(choice.of_channel(found, channel), {}, None, ())
    return step.candidate.tag.text if isinstance(step, LookAt) else None


def test_the_choice_agrees_with_an_independent_reading_of_semver() -> None:
    """On ten thousand sets of tags, of which many are no versions and many are equal."""
    chance = random.Random(20)
    several = 0
    for _ in range(10_000):
        tags = [_random_tag(chance) for _ in range(chance.randrange(1, 8))]
        channel = chance.choice(CHANNELS)
        assert _chosen(tags, channel) == _oracle(tags, channel), (tags, channel)
        several += _oracle(tags, channel) is not None
    assert several > 3000


@given(st.randoms(use_true_random=False))
def test_the_order_of_tags_does_not_matter(chance: random.Random) -> None:
    """Whatever order a registry lists in, candidates and ignored tags are the same."""
    tags = [Tag(_random_tag(chance)) for _ in range(8)]
    shuffled = chance.sample(tags, len(tags))
    assert choice.candidates(tags) == choice.candidates(shuffled)
    found = choice.candidates(tags)
    ignored = choice.ignored(tags, found)
    assert {c.tag for c in found} | {i.tag for i in ignored} == set(tags)
    assert not {c.tag for c in found} & {i.tag for i in ignored}


def _release(tag: str, number: int = 0) -> Release:
    data = f"{tag} {number}"
    digest = hashlib.sha256(data.encode()).hexdigest()
    return Release(
        LAMP,
        Tag(tag),
        Version.parse(tag),
        Digest("sha256", digest),
        Digest("sha256", digest),
        Firmware(Sums(len(data), number, "", "", digest)),
    )


def _settle(
    tags: list[str], looks: dict[str, Look], told: Release | None = None, *gone: str
) -> choice.Step:
    found = choice.candidates(Tag(tag) for tag in tags)
    return choice.settle(
        found, {Tag(t): look for t, look in looks.items()}, told, {Tag(t) for t in gone}
    )


BAD = Digest("sha256", "0" * 64)


def test_a_moved_tag_is_told_with_its_new_bytes_once_these_are_usable() -> None:
    """What was told before does not count then."""
    old, new = _release("1.0.0", 1), _release("1.0.0", 2)
    assert _settle(["1.0.0"], {"1.0.0": Usable(new)}, old) == Stands(new)


def test_a_moved_tag_keeps_its_old_bytes_while_the_new_ones_are_unusable() -> None:
    """And a server that never had them looks lower."""
    old, lower = _release("1.0.0", 1), _release("0.9.0")
    for look in (Unfit(BAD, "no"), Lacking(BAD, "no")):
        looks: dict[str, Look] = {"1.0.0": look, "0.9.0": Usable(lower)}
        assert _settle(["1.0.0", "0.9.0"], looks, old) == Stands(old)
        assert _settle(["1.0.0", "0.9.0"], looks) == Stands(lower)


def test_a_tag_is_told_until_it_is_known_to_be_gone() -> None:
    """One look that misses it is not enough; then the next lower one stands, or nothing."""
    told, lower = _release("1.0.0"), _release("0.9.0")
    looks: dict[str, Look] = {"1.0.0": Gone(), "0.9.0": Usable(lower)}
    assert _settle(["1.0.0", "0.9.0"], looks, told) == Stands(told)
    assert _settle(["1.0.0", "0.9.0"], looks, told, "1.0.0") == Stands(lower)
    assert _settle(["1.0.0"], looks, told, "1.0.0") == Nothing()


def test_nothing_below_a_usable_release_is_looked_at() -> None:
    """From the top, one after the other, and no further than to the first that stands."""
    step = _settle(["1.0.0", "0.9.0"], {})
    assert isinstance(step, LookAt)
    assert step.candidate.tag == Tag("1.0.0")
    assert _settle(["1.0.0", "0.9.0"], {"1.0.0": Usable(_release("1.0.0"))}) == Stands(
        _release("1.0.0")
    )


VERSIONS = st.sampled_from(["0.8.0", "0.9.0", "1.0.0", "v1.0.0", "1.1.0-rc.1", "1.1.0", "1.2.0"])
RELEASES = st.builds(_release, VERSIONS, st.integers(0, 2))


@given(
    st.lists(st.tuples(st.sampled_from([STABLE, "rc"]), st.none() | RELEASES), max_size=8),
    st.integers(0, 3),
    st.sets(VERSIONS.map(Tag), max_size=2),
    st.sets(st.integers(0, 7), max_size=4),
)
def test_what_is_kept_is_below_the_current_and_neither_withdrawn_nor_moved(
    settled: list[tuple[str, Release | None]], most: int, gone: set[Tag], movers: set[int]
) -> None:
    """At most so many, highest first, one for a tag; and nothing that was told just now is lost.

    What was kept no more because its tag had moved stays so, though the next run knows nothing of
    it.
    """
    record = Record(LAMP, "here")
    moved = {release for at, (_, release) in enumerate(settled) if at in movers and release}
    for at, (channel, release) in enumerate(settled):
        before = set(record.held())
        record = choice.stand(record, channel, release, now=float(at))
        record = choice.keep(record, most=most, gone=gone, moved=moved, now=float(at))
        current = {standing.release for standing in record.channels.values()}
        kept = record.kept
        assert len(kept) <= most
        assert len({r.tag for r in kept}) == len(kept)
        assert list(kept) == sorted(kept, key=lambda r: r.order, reverse=True)
        assert not current & set(kept)
        assert not {r.tag for r in kept} & ({r.tag for r in current} | gone)
        assert not set(kept) & moved
        assert all(r.order < max(c.order for c in current) for r in kept)
        assert before <= set(record.held()), "nothing leaves the disk within its quarter of an hour"
        assert len(list(record.held())) == len(set(record.held()))
        later = choice.keep(record, most=most, gone=gone, moved=(), now=float(at))
        assert not set(later.kept) & {x.release for x in record.retired} & moved
        for tag in gone - {release.tag for release in current}:
            left = [retired for retired in record.retired if retired.release.tag == tag]
            assert not left or max(left, key=lambda retired: retired.at).withdrawn


@pytest.mark.parametrize("withdrawn", [False, True])
def test_what_left_in_the_future_stays_no_longer(withdrawn: bool) -> None:
    """A clock that was years ahead and is right again keeps no file for as long."""
    retired = Retired(_release("1.0.0"), 3e8, withdrawn=withdrawn)
    after = choice.keep(
        Record(LAMP, "here", retired=(retired,)), most=0, gone=(), moved=(), now=1.0
    )
    assert after.retired == ()


@given(st.booleans(), st.floats(0, 2_000_000), st.booleans())
def test_what_left_stays_on_disk_for_its_time(
    withdrawn: bool, age: float, lingers_on: bool
) -> None:
    """A quarter of an hour, or a week where its tag was withdrawn, so that it can come back.

    Just after a start nobody knows whether what left last was told until then: that stays.
    """
    retired = Retired(_release("1.0.0"), 0.0, withdrawn=withdrawn)
    record = Record(LAMP, "here", retired=(retired,))
    lingering = {retired.release} if lingers_on else ()
    after = choice.keep(record, most=0, gone=(), moved=(), now=age, lingering=lingering)
    lingers = choice.WITHDRAWN_LINGERS if withdrawn else REPLACED_LINGERS
    assert bool(after.retired) == (lingers_on or age < lingers)
    assert after.kept == ()


@given(st.integers(0, 300), st.integers(1, 300 << 20), st.booleans())
def test_a_burst_of_releases_holds_little_of_the_disk_and_of_the_catalog(
    count: int, size: int, withdrawn: bool
) -> None:
    """Of those that left within the quarter of an hour the last stay, whatever their size."""
    sums = replace(_release("1.0.0").firmware.sums, size=size)
    left = [
        Retired(
            replace(_release(f"1.0.{n}"), firmware=Firmware(sums)), float(n), withdrawn=withdrawn
        )
        for n in range(count)
    ]
    record = Record(LAMP, "here", retired=tuple(left))
    stay = choice.keep(record, most=0, gone=(), moved=(), now=float(count)).retired
    assert {x.at for x in stay} == {float(n) for n in range(count - len(stay), count)}
    assert len(stay) <= choice.MAX_RETIRED
    assert sum(x.release.firmware.sums.size for x in stay) <= max(
        choice.MAX_RETIRED_BYTES, 2 * size
    )
    assert len(stay) >= min(count, 2)
