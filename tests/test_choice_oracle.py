"""The choice of a release against an oracle that is written another way, on random tag sets."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterable

import semver
from hypothesis import given
from hypothesis import strategies as st

from otaflux.choice import Nothing, Stands, candidates, of_channel, settle
from otaflux.model.artifact import Digest
from otaflux.model.look import Look, Unfit, Usable
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.release import Firmware, Release, Sums
from otaflux.model.version import Version

SETS = 10_000
CHANNELS = (STABLE, "beta", "rc")
DIGEST = Digest("sha256", "0" * 64)
FIRMWARE = Firmware(Sums(1, 1, "0", "0", "0"))


def some_tags(chance: random.Random) -> list[Tag]:
    """Tags as people write them: versions, nearly versions, and anything else."""
    number = lambda: str(chance.choice([0, 1, 2, 9, 10, 11]))  # noqa: E731 - named for what it is
    pre = ["", "", "-beta", "-beta.2", "-beta.11", "-rc.1", "-alpha", "-beta1", "-0.3", "-01"]
    build = ["", "", "", "_a", "_b.2", "_b.10", "_7"]
    other = ["latest", "1.2", "2025.08.01", "sha256-" + "a" * 64 + ".sig", "v", "_", "1.0.0.0"]
    tags = [
        chance.choice(["", "", "v", "V"])
        + f"{number()}.{number()}.{number()}"
        + chance.choice(pre)
        + chance.choice(build)
        for _ in range(chance.randint(0, 8))
    ]
    tags += chance.sample(other, chance.randint(0, 3))
    return [Tag(tag) for tag in tags]


def release(tag: Tag) -> Release:
    """A release of that tag; nothing of it counts but tag and version."""
    version = Version.parse(tag.text)
    return Release(Device("lamp"), tag, version, DIGEST, DIGEST, FIRMWARE)


def chosen(tags: Iterable[Tag], channel: str, unfit: frozenset[Tag]) -> Tag | None:
    """What the program settles on, looking as the reconciler does."""
    found = of_channel(candidates(tags)[0], channel)
    looks: dict[Tag, Look] = {}
    while True:
        step = settle(found, looks, None, frozenset())
        match step:
            case Stands(stands):
                return stands.tag
            case Nothing():
                return None
            case _:
                tag = step.candidate.tag
                looks[tag] = Unfit(DIGEST, "it is") if tag in unfit else Usable(release(tag))


def oracle(tags: Iterable[Tag], channel: str, unfit: frozenset[Tag]) -> Tag | None:
    """The same by SemVer's own library and comparisons, pair by pair."""

    def identifiers(one: str, other: str) -> int:
        a, b = one.split(".") if one else [], other.split(".") if other else []
        for x, y in zip(a, b, strict=False):
            if x != y:
                if x.isdigit() and y.isdigit():
                    return -1 if int(x) < int(y) else 1 if int(x) > int(y) else 0
                if x.isdigit() != y.isdigit():
                    return -1 if x.isdigit() else 1
                return -1 if x < y else 1
        return (len(a) > len(b)) - (len(a) < len(b))

    def compare(one: Tag, other: Tag) -> int:
        a, b = (semver.Version.parse(bare(tag)) for tag in (one, other))
        return (
            a.compare(b)
            or identifiers(a.build or "", b.build or "")
            or ((one.text > other.text) - (one.text < other.text))
        )

    def bare(tag: Tag) -> str:
        return re.sub("^[vV]", "", tag.text).replace("_", "+")

    def counts(tag: Tag) -> bool:
        if tag in unfit or not semver.Version.is_valid(bare(tag)):
            return False
        pre = semver.Version.parse(bare(tag)).prerelease
        return pre is None or (channel != STABLE and pre.split(".")[0] == channel)

    able = [tag for tag in tags if counts(tag)]
    return max(able, key=functools.cmp_to_key(compare), default=None)


def test_the_choice_agrees_with_an_oracle() -> None:
    """On ten thousand random tag sets, every channel is told what the oracle says."""
    chance = random.Random(20261124)
    for _ in range(SETS):
        tags = some_tags(chance)
        unfit = frozenset(tag for tag in tags if chance.random() < 0.2)
        for channel in CHANNELS:
            assert chosen(tags, channel, unfit) == oracle(tags, channel, unfit), (tags, channel)


@given(st.randoms(use_true_random=False))
def test_the_order_of_tags_does_not_count(chance: random.Random) -> None:
    """A listing in any order gives the same release, and never one of the ignored tags."""
    tags = some_tags(chance)
    unfit = frozenset(tag for tag in tags if chance.random() < 0.2)
    shuffled = chance.sample(tags, len(tags))
    _, ignored = candidates(tags)
    for channel in CHANNELS:
        answer = chosen(tags, channel, unfit)
        assert chosen(shuffled, channel, unfit) == answer
        assert answer not in {each.tag for each in ignored}
