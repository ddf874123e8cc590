"""What is told once it has to be signed: keys that change, signatures that go; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from lamp import KEEPS, LAMP, V1, V2, V3, Lamp, lamp
from simulation.signatures import Keys

from otaflux.model.artifact import VERSION
from otaflux.model.event import Priority
from otaflux.model.names import Tag
from otaflux.reconcile.rounds import EVERY


def signed(test: Callable[[Lamp], Awaitable[None]]) -> None:
    """Run a test over a lamp whose firmware the key `a` has to sign."""

    async def begun(rig: Lamp) -> None:
        await rig.restart(KEEPS, Keys("a"))
        await test(rig)

    lamp(begun)


def test_what_was_told_while_no_key_was_set_is_judged_whole() -> None:
    """Though its bytes were proven before: under another tag they are for another version."""

    async def test(rig: Lamp) -> None:
        old = rig.push(V1, **{VERSION: "1.0.0"})
        rig.sign(old)
        await rig.look()
        assert rig.told() == "1.0.0"
        await rig.restart(KEEPS)
        rig.registry.put(LAMP, V2, old)
        await rig.look()
        assert rig.told() == "2.0.0"
        await rig.restart(KEEPS, Keys("a"))
        assert rig.told() is None
        await rig.look()
        assert rig.told() == "1.0.0"

    signed(test)


def test_the_old_bytes_of_a_moved_tag_are_told_while_they_are_signed() -> None:
    """Their signature is asked about too, though the tag stands for other bytes by now."""

    async def test(rig: Lamp) -> None:
        first = rig.push(V1)
        rig.sign(first)
        await rig.look()
        rig.push(V1)
        rig.registry.tags_of[LAMP][Tag("old")] = first
        for _ in range(2 * EVERY):
            await rig.look()
        assert rig.told() == "1.0.0"
        rig.registry.signatures.take_away(first.top.digest)
        await rig.look(priority=Priority.HOOK)
        assert rig.told() is None

    signed(test)


def test_old_bytes_that_the_registry_dropped_with_their_signature_are_told_on() -> None:
    """Registries collect what no tag names, its signatures too: nobody took those away."""

    async def test(rig: Lamp) -> None:
        first = rig.push(V1)
        rig.sign(first)
        await rig.look()
        rig.push(V1)
        rig.registry.signatures.take_away(first.top.digest)
        await rig.look(priority=Priority.HOOK)
        assert rig.told() == "1.0.0"

    signed(test)


def test_a_signature_that_went_is_noticed_within_so_many_looks_whatever_comes_meanwhile() -> None:
    """New releases put off nothing for those that are kept."""

    async def test(rig: Lamp) -> None:
        first = rig.push(V1)
        rig.sign(first)
        await rig.look()
        rig.sign(rig.push(V2))
        await rig.look()
        assert rig.kept() == ["1.0.0"]
        rig.registry.signatures.take_away(first.top.digest)
        looks = 0
        while "1.0.0" in rig.kept():
            if looks % 4 == 3:
                rig.sign(rig.push(V3))
            await rig.look()
            looks += 1
            assert looks <= EVERY + 1

    signed(test)


def test_nothing_falls_and_nothing_unsigned_is_told_where_both_are_asked_for() -> None:
    """`DOWNGRADES=never`: deletions, unsigned pushes, starts, a key that goes and comes."""
    never = replace(KEEPS, never_fall=True)

    async def test(rig: Lamp) -> None:
        await rig.restart(never, Keys("a"))
        for tag in (V1, V2):
            rig.sign(rig.push(tag))
        await rig.look()
        assert rig.told() == "2.0.0"
        rig.registry.delete(LAMP, V2)
        for _ in range(3):
            await rig.look(deletion=True)
            await asyncio.sleep(20)
        assert rig.told() == "2.0.0"
        await rig.restart(never, Keys("a"))
        assert rig.told() == "2.0.0"
        rig.push(V3)
        await rig.look()
        assert rig.told() == "2.0.0"
        await rig.restart(never, Keys("b"))
        assert rig.told() is None
        await rig.look(priority=Priority.HOOK)
        assert rig.told() is None  # and not 1.0.0, whoever signs it
        rig.sign(rig.registry.tags_of[LAMP][V1], "b")
        await rig.look(priority=Priority.HOOK)
        assert rig.told() is None
        await rig.restart(never, Keys("b", "a"))
        rig.sign(rig.registry.tags_of[LAMP][V3])
        await rig.look(priority=Priority.HOOK)
        assert rig.told() == "3.0.0"

    lamp(test)
