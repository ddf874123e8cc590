"""One device brought up to date, step by step, in virtual time: what is told, and what is kept.

The registry, the disk and the clock are the simulation's; everything else is the server's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
import structlog
from lamp import KEEPS, LAMP, RC, V1, V2, V3, Lamp, lamp
from simulation.program import PREFIX, RECHECK, WITHDRAW_AFTER, Program
from simulation.registry import Shape

from otaflux.errors import Undecided, Unreachable
from otaflux.log import Event
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record, Verdict
from otaflux.reconcile import choice
from otaflux.reconcile.choice import MAX_VERDICTS
from otaflux.reconcile.withdrawals import BETWEEN_LOOKS
from otaflux.roster.evictions import NEVER_THERE
from otaflux.roster.roster import MISSED, MOST_FOUND


@pytest.fixture
def lines() -> Iterator[list[structlog.typing.EventDict]]:
    """The log."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_the_highest_that_can_be_used_stands_and_a_verdict_is_final() -> None:
    """What does not unpack is judged once; its bytes are not asked for again."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        bad = rig.push(V2, Shape.BAD)
        await rig.look()
        assert rig.told() == "1.0.0"
        record = rig.program.catalog.get(LAMP)
        assert record is not None
        assert [v.manifest_digest for v in record.verdicts] == [bad.top.digest]
        rig.registry.slowness = 1.0
        began = asyncio.get_running_loop().time()
        await rig.look()
        assert asyncio.get_running_loop().time() - began <= 3.0  # one listing, two small looks
        assert rig.program.catalog.get(LAMP) == record

    lamp(test)


def test_withdrawn_is_what_two_looks_find_gone(lines: list[structlog.typing.EventDict]) -> None:
    """After the first nothing changes; where a hook said so the second is ten seconds later."""

    async def test(rig: Lamp) -> None:
        old, new = rig.push(V1), rig.push(V2)
        await rig.look()
        rig.registry.delete(LAMP, V2)
        again = await rig.look(deletion=True)
        assert rig.told() == "2.0.0"
        assert getattr(again, "after", None) == BETWEEN_LOOKS
        await asyncio.sleep(BETWEEN_LOOKS)
        await rig.look()
        assert rig.heard == ["2.0.0", "1.0.0"]
        assert rig.has(old)
        assert rig.has(new), "it stays on disk, so that it can be pushed again"
        (line,) = [each for each in lines if each["event"] == "release_withdrawn"]
        assert line["file"].endswith(new.firmware_digest.hex)
        assert getattr(await rig.look(), "after", None) is None

    lamp(test)


def test_a_withdrawn_release_is_told_until_its_successor_is_on_disk() -> None:
    """With the registry half down devices keep what they have."""

    async def test(rig: Lamp) -> None:
        low = rig.push(V1)
        rig.push(V2)
        await rig.look()
        rig.registry.delete(LAMP, V2)
        await rig.look(deletion=True)
        rig.registry.missing_blobs.add(low.firmware_digest)
        rig.registry.trouble = 1.0
        await asyncio.sleep(BETWEEN_LOOKS)
        with pytest.raises(Exception, match=r"500|429|reset"):
            await rig.look()
        assert rig.told() == "2.0.0"
        rig.registry.trouble = 0.0
        rig.registry.missing_blobs.clear()
        await rig.look()
        assert rig.heard == ["2.0.0", "1.0.0"]

    lamp(test)


def test_without_the_word_of_a_hook_a_tag_has_to_be_missing_for_long() -> None:
    """Other hooks say nothing of it, and one look that finds it begins anew."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        high = rig.push(V2)
        await rig.look()
        for _ in range(2):
            rig.registry.delete(LAMP, V2)
            for _ in range(9):
                again = await rig.look(priority=Priority.HOOK)
                assert getattr(again, "after", None) is None
                assert rig.told() == "2.0.0"
                await asyncio.sleep(WITHDRAW_AFTER / 9)
            rig.registry.put(LAMP, V2, high)
            await rig.look()
        rig.registry.delete(LAMP, V2)
        await rig.look()
        await asyncio.sleep(WITHDRAW_AFTER)
        await rig.look()
        assert rig.heard == ["2.0.0", "1.0.0"]

    lamp(test)


def test_a_repository_that_is_not_known_for_a_while_begins_the_wait_anew() -> None:
    """Whatever the registry lacked before, it was not itself."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(V2)
        await rig.look()
        rig.registry.delete(LAMP, V2)
        await rig.look()
        await asyncio.sleep(WITHDRAW_AFTER)
        rig.registry.unknown.add(LAMP)
        with pytest.raises(Undecided, match="does not know the repository"):
            await rig.look()
        rig.registry.unknown.clear()
        await rig.look()
        assert rig.told() == "2.0.0"
        await asyncio.sleep(WITHDRAW_AFTER)
        await rig.look()
        assert rig.told() == "1.0.0"

    lamp(test)


def test_a_cache_of_another_registry_withdraws_nothing_without_the_word_of_a_hook() -> None:
    """What it lacks may be there, for as long as its upstream is away."""

    async def test(rig: Lamp) -> None:
        rig.registry.is_cache = True
        rig.push(V1)
        rig.push(V2)
        await rig.look()
        rig.registry.delete(LAMP, V2)
        for _ in range(5):
            await rig.look(priority=Priority.HOOK)
            await asyncio.sleep(WITHDRAW_AFTER)
        assert rig.told() == "2.0.0"
        await rig.look(deletion=True)
        assert rig.told() == "1.0.0"

    lamp(test)


def test_a_kept_tag_that_is_listed_and_not_found_is_not_missing() -> None:
    """Listing and manifest have to agree; a replica that is behind is no proof."""

    async def test(rig: Lamp) -> None:
        for tag in (V1, V2):
            rig.push(tag)
            await rig.look()
        await asyncio.sleep(100.0)
        rig.registry.delete(LAMP, V1)
        rig.registry.stale_for = 100.0
        for _ in range(2):
            await rig.look(V1, deletion=True)
            await asyncio.sleep(BETWEEN_LOOKS)
        assert rig.kept() == ["1.0.0"]

    lamp(test)


def test_a_listing_that_lacks_a_tag_withdraws_nothing() -> None:
    """Its manifest is there, so it is."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        await rig.look()
        await asyncio.sleep(100.0)
        rig.push(V2)
        await rig.look()
        rig.registry.staleness = 50.0
        for _ in range(20):
            await rig.look()
            await asyncio.sleep(1.0)
        assert rig.heard == ["1.0.0", "2.0.0"]

    lamp(test)


def test_a_tag_that_moved_and_goes_is_withdrawn_once(
    lines: list[structlog.typing.EventDict],
) -> None:
    """With the file of what it stood for last, for that is what may be pushed again."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(V2)
        await rig.look()
        last = rig.push(V2)
        await rig.look()
        rig.registry.delete(LAMP, V2)
        for _ in range(2):
            await rig.look(deletion=True)
            await asyncio.sleep(BETWEEN_LOOKS)
        assert rig.told() == "1.0.0"
        (line,) = [each for each in lines if each["event"] == "release_withdrawn"]
        assert line["digest"] == str(last.top.digest)
        assert line["file"].endswith(last.firmware_digest.hex)

    lamp(test)


@pytest.mark.parametrize("restarted", [False, True])
def test_the_old_bytes_of_a_tag_that_moved_and_went_are_never_kept_again(
    restarted: bool,
) -> None:
    """They are the past of a tag: no later run serves them to a pin, after a restart either."""

    async def test(rig: Lamp) -> None:
        for tag in (Tag("0.9.0"), V2):
            rig.push(tag)
            await rig.look()
        for _ in range(2):
            rig.push(V3)
            await rig.look()
        rig.registry.delete(LAMP, V3)
        for _ in range(2):
            await rig.look(deletion=True)
            await asyncio.sleep(BETWEEN_LOOKS)
        assert (rig.told(), rig.kept()) == ("2.0.0", ["0.9.0"])
        if restarted:
            rig.program = Program(rig.registry, rig.disk, random.Random(2), KEEPS)
            await rig.begin()
        rig.push(Tag("4.0.0"))
        for _ in range(3):
            await rig.look()
            assert (rig.told(), rig.kept()) == ("4.0.0", ["2.0.0", "0.9.0"])

    lamp(test)


def test_who_a_hook_named_is_known_after_a_restart_though_nothing_was_learnt() -> None:
    """Where the registry lists nothing, nobody else would name it."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.registry.away = True
        rig.program.roster.name(LAMP)
        with pytest.raises(Unreachable):
            await rig.look(V1, priority=Priority.HOOK)
        again = Program(rig.registry, rig.disk, random.Random(2))
        await again.restore()
        await again.load()
        assert again.roster.is_known(LAMP)
        assert rig.told() is None

    lamp(test)


def test_moved_tags_keep_the_old_bytes_until_the_new_can_be_used(
    lines: list[structlog.typing.EventDict],
) -> None:
    """Then it is a warning, for boards that run that version will not notice."""

    async def test(rig: Lamp) -> None:
        old = rig.push(V1)
        await rig.look()
        rig.push(V1, Shape.BAD)
        await rig.look()
        record = rig.program.catalog.get(LAMP)
        assert record is not None
        assert [release.manifest_digest for release in record.served()] == [old.top.digest]
        new = rig.push(V1)
        await rig.look()
        record = rig.program.catalog.get(LAMP)
        assert record is not None
        assert [release.manifest_digest for release in record.served()] == [new.top.digest]
        (line,) = [each for each in lines if each["event"] == "release_warning"]
        assert "the tag moved" in line["reason"]

    lamp(test)


def test_kept_are_the_highest_below_and_what_left_goes_after_a_while() -> None:
    """Two are kept here; a third stays fifteen minutes, then its file goes at the next look."""

    async def test(rig: Lamp) -> None:
        contents = {}
        for tag in (Tag("0.1.0"), V1, V2, V3):
            contents[tag] = rig.push(tag)
            await rig.look()
        assert rig.kept() == ["2.0.0", "1.0.0"]
        assert rig.has(contents[Tag("0.1.0")])
        await asyncio.sleep(15 * 60.0)
        await rig.look()
        assert not rig.has(contents[Tag("0.1.0")])
        assert all(rig.has(contents[tag]) for tag in (V1, V2, V3))

    lamp(test)


def test_a_kept_release_whose_tag_a_hook_says_moved_is_served_no_more() -> None:
    """The old bytes of a moved tag are nobody's."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        await rig.look()
        rig.push(V2)
        await rig.look()
        rig.push(V1)
        await rig.look(priority=Priority.HOOK)
        assert rig.kept() == ["1.0.0"], "the hook asks about what may be current"
        await rig.look(V1, priority=Priority.HOOK)
        assert rig.kept() == []

    lamp(test)


def test_a_kept_release_whose_tag_moved_unheard_is_found_by_re_checks() -> None:
    """Each looks at one of them: hooks may be lost."""

    async def test(rig: Lamp) -> None:
        for tag in (V1, V2, V3):
            rig.push(tag)
            await rig.look()
        assert rig.kept() == ["2.0.0", "1.0.0"]
        rig.push(V1)
        for _ in range(20):
            await rig.look()
        assert rig.kept() == ["2.0.0"]

    lamp(test)


@pytest.mark.parametrize("befell", ["nothing", "moved", "deleted", "unclear"])
def test_what_left_is_kept_again_only_where_its_tag_still_stands_for_it(befell: str) -> None:
    """While it was not served nobody looked at it."""

    async def test(rig: Lamp) -> None:
        for tag in (Tag("0.9.0"), V1, V2, V3):
            rig.push(tag)
            await rig.look()
        assert rig.kept() == ["2.0.0", "1.0.0"]
        match befell:
            case "moved":
                rig.push(Tag("0.9.0"))
            case "deleted":
                rig.registry.delete(LAMP, Tag("0.9.0"))
            case "unclear":
                rig.registry.unclear.add(Tag("0.9.0"))
        kept: list[list[str]] = []
        rig.program.catalog.listen(lambda *_: kept.append(rig.kept()))
        rig.registry.delete(LAMP, V2)
        for _ in range(2):
            await rig.look(deletion=True)
            await asyncio.sleep(BETWEEN_LOOKS)
        again = ["1.0.0", "0.9.0"] if befell == "nothing" else ["1.0.0"]
        assert rig.kept() == again
        assert all(each in (["2.0.0", "1.0.0"], ["1.0.0"], again) for each in kept)

    lamp(test)


def test_old_bytes_whose_tag_moved_to_useless_ones_are_told_on_and_not_kept() -> None:
    """Who is told them is told on, but once there is a higher release a pin gets nothing."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        await rig.look()
        rig.push(V1, Shape.BAD)
        await rig.look()
        assert rig.told() == "1.0.0"
        rig.push(V2)
        await rig.look()
        assert (rig.told(), rig.kept()) == ("2.0.0", [])

    lamp(test)


def test_a_tag_of_which_nothing_is_learnt_holds_up_no_other(
    lines: list[structlog.typing.EventDict],
) -> None:
    """A kept release whose tag left the listing, and errs: newer ones are told all the same."""

    async def test(rig: Lamp) -> None:
        for tag in (V1, V2):
            rig.push(tag)
            await rig.look()
        rig.registry.delete(LAMP, V1)
        rig.registry.unclear.add(V1)
        for tag in (V3, Tag("3.1.0")):
            rig.push(tag)
            await rig.look(tag, priority=Priority.HOOK)
        assert rig.told() == "3.1.0"
        assert rig.kept() == ["3.0.0", "2.0.0"]
        failed = [each["tag"] for each in lines if each["event"] == "registry_failed"]
        assert failed == ["1.0.0", "1.0.0"]  # a warning, then one for who debugs

    lamp(test)


def test_a_kept_tag_that_moved_to_something_unreadable_is_served_no_more() -> None:
    """And it is no error of the device: its newer release is told."""

    async def test(rig: Lamp) -> None:
        for tag in (V1, V2):
            rig.push(tag)
            await rig.look()
        rig.registry.flawed.add(V1)
        rig.push(V3)
        await rig.look(V1, V3, priority=Priority.HOOK)
        assert rig.told() == "3.0.0"
        assert rig.kept() == ["2.0.0"]

    lamp(test)


def test_what_lacks_a_blob_or_was_judged_is_asked_about_and_not_asked_for() -> None:
    """Where manifests count as pulls an unchanged one is not pulled again."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        rig.push(V2, Shape.BAD)
        lacking = rig.push(V3)
        rig.registry.missing_blobs.add(lacking.firmware_digest)
        await rig.look()
        rig.push(V1, Shape.BAD)
        await rig.look()
        pulled = rig.registry.manifests
        await rig.look()
        assert rig.registry.manifests == pulled
        assert rig.told() == "1.0.0"
        rig.registry.missing_blobs.clear()
        await rig.look()
        assert rig.told() == "3.0.0"
        assert rig.registry.manifests == pulled
        good = rig.push(V2)
        rig.registry.delete(LAMP, V3)
        await rig.look(deletion=True)
        await asyncio.sleep(BETWEEN_LOOKS)
        await rig.look()
        assert rig.told() == "2.0.0"
        pulled = rig.registry.manifests
        await rig.look()
        assert rig.registry.manifests == pulled
        assert rig.has(good)

    lamp(test)


def test_a_tag_that_a_hook_names_is_looked_for_though_the_listing_lacks_it() -> None:
    """It is pulled from a stale listing's registry, and waited for where it is not there yet."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        await rig.look()
        again = await rig.look(V2, priority=Priority.HOOK)
        assert 0 < getattr(again, "after", 0.0) < 5.0
        rig.push(V2)
        rig.registry.staleness = 60.0
        await rig.look(V2, priority=Priority.HOOK)
        assert rig.told() == "2.0.0"

    lamp(test)


def test_what_was_never_there_is_not_looked_for_for_ever() -> None:
    """A hook that names nothing costs some looks within seconds."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        task = asyncio.ensure_future(rig.program.run())
        await asyncio.sleep(1.0)
        _ = rig.program.touch(Touch(LAMP, Priority.HOOK, ("hook",), rig.clock(), (V3,)))
        await asyncio.sleep(60.0)
        assert len(rig.program.queue) == 0
        assert rig.told() == "1.0.0"
        task.cancel()

    lamp(test)


def test_a_missing_tag_that_was_replaced_meanwhile_is_not_looked_for_any_more() -> None:
    """The device rests until its next re-check, whatever came between the two looks."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        task = asyncio.ensure_future(rig.program.run())
        await asyncio.sleep(1.0)
        rig.registry.delete(LAMP, V1)
        _ = rig.program.touch(Touch(LAMP, Priority.HOOK, ("hook",), rig.clock()))
        await asyncio.sleep(1.0)
        assert rig.told() == "1.0.0"
        rig.push(V2)
        _ = rig.program.touch(Touch(LAMP, Priority.HOOK, ("hook",), rig.clock(), (V2,)))
        await asyncio.sleep(RECHECK / 4)
        assert rig.told() == "2.0.0"
        assert len(rig.program.queue) == 0
        task.cancel()

    lamp(test)


def test_channels_are_settled_stable_first_and_each_for_itself() -> None:
    """What was learnt before the registry failed stands; the other channel stays as it was."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        candidate = rig.push(RC)
        await rig.look()
        assert (rig.told(), rig.told("rc")) == ("1.0.0", "4.0.0-rc.1")
        rig.push(V2)
        newer = rig.push(Tag("4.0.0-rc.2"))
        rig.registry.missing_blobs.add(newer.firmware_digest)
        await rig.look()
        assert (rig.told(), rig.told("rc")) == ("2.0.0", "4.0.0-rc.1")
        assert rig.has(candidate)

    lamp(test)


def test_what_a_hook_named_and_nobody_finds_is_forgotten(
    lines: list[structlog.typing.EventDict],
) -> None:
    """After three re-checks, on the disk too; a hook that names it again begins anew."""

    async def test(rig: Lamp) -> None:
        catalog = rig.program.catalog
        for _ in range(2):
            rig.program.roster.name(LAMP)
            await rig.look(V1, priority=Priority.HOOK)
            await rig.look(V1, priority=Priority.HOOK)
            for _ in range(MISSED - 1):
                await rig.look()
            assert rig.program.roster.is_known(LAMP)
            assert rig.disk.seen(catalog.path(LAMP)) is not None
            await rig.look()
            assert not rig.program.roster.is_there(LAMP)
            assert rig.disk.seen(catalog.path(LAMP)) is None
        forgotten = [line for line in lines if line["event"] == Event.DEVICE_FORGOTTEN]
        assert [line["reason"] for line in forgotten] == [NEVER_THERE] * 2
        rig.push(V1)
        rig.program.roster.name(LAMP)
        await rig.look(V1, priority=Priority.HOOK)
        assert rig.told() == "1.0.0"

    lamp(test)


def test_what_had_a_release_is_not_forgotten_when_it_has_none_any_more() -> None:
    """Its last tag is withdrawn; a week later, when nothing of it is held, it is known still."""

    async def test(rig: Lamp) -> None:
        rig.program.roster.name(LAMP)
        rig.push(V1)
        await rig.look(V1, priority=Priority.HOOK)
        rig.registry.delete(LAMP, V1)
        for _ in range(9):
            await rig.look()
            await asyncio.sleep(WITHDRAW_AFTER)
        assert rig.told() is None
        await asyncio.sleep(choice.WITHDRAWN_LINGERS)
        for _ in range(9):
            await rig.look()
        record = rig.program.catalog.get(LAMP)
        assert record is not None
        assert not list(record.held())
        assert rig.program.roster.is_known(LAMP)

    lamp(test)


def test_of_devices_that_only_polls_found_those_over_go_with_their_files() -> None:
    """The next run sees to it; it may come again."""

    async def test(rig: Lamp) -> None:
        content = rig.push(V1)
        await rig.look(priority=Priority.FIRST_POLL)
        assert rig.told() == "1.0.0"
        assert rig.has(content)
        for number in range(MOST_FOUND):
            device = Device(f"d{number}")
            rig.program.catalog.load(Record(device, "simulated", PREFIX, found_by_poll=True))
        await rig.look()
        assert rig.told() is None
        assert not rig.has(content)
        await rig.look(priority=Priority.FIRST_POLL)
        assert rig.told() == "1.0.0"

    lamp(test)


def test_a_file_that_cannot_be_removed_fails_no_run(
    lines: list[structlog.typing.EventDict],
) -> None:
    """It is said once, and tried again when the next one goes."""

    async def test(rig: Lamp) -> None:
        contents = []
        for tag in (Tag("0.1.0"), V1, V2, V3):
            contents.append(rig.push(tag))
            await rig.look()
        await asyncio.sleep(15 * 60.0)
        rig.disk.stuck = True
        await rig.look()
        assert rig.told() == "3.0.0"
        assert [each["event"] for each in lines].count("disk_failed") == 1
        assert rig.has(contents[0])
        rig.disk.stuck = False
        rig.push(Tag("5.0.0"))
        await rig.look()
        await asyncio.sleep(15 * 60.0)
        await rig.look()
        assert not rig.has(contents[0])
        assert not rig.has(contents[1])

    lamp(test)


def test_a_thousand_verdicts_are_kept_and_the_highest_first() -> None:
    """Oldest first would judge all of them again, each time."""
    tags = [Tag(f"1.0.{number}") for number in range(MAX_VERDICTS + 5)]
    found = choice.candidates(tags)
    record = Record(LAMP, "source")
    there = {candidate.tag for candidate in found}
    for candidate in found:
        digest = Digest("sha256", f"{candidate.version.key[2]:064x}")
        record = choice.judge(record, Verdict(candidate.tag, digest, "it is empty", "x"), there)
    assert [each.tag for each in record.verdicts] == [each.tag for each in found[:MAX_VERDICTS]]
    left = {candidate.tag for candidate in found[10:]}
    verdict = Verdict(found[-1].tag, Digest("sha256", "f" * 64), "it is empty", "x")
    assert choice.judge(record, verdict, left).verdicts[-1] == verdict


def test_what_no_record_came_to_name_is_not_left_on_the_disk() -> None:
    """A record that cannot be written leaves neither a new release told nor its file."""

    async def test(rig: Lamp) -> None:
        rig.push(V1)
        await rig.look()
        content = rig.push(V2)
        rig.disk.full = True
        with pytest.raises(Exception, match="No space left"):
            await rig.look()
        assert rig.told() == "1.0.0"
        assert not rig.has(content)

    lamp(test)
