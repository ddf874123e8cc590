"""`DOWNGRADES=never` with keys, in many short histories: what devices are told never falls.

The registry was taken over: it deletes, replays, reorders, hides and errs, and moves signed tags to
what nobody signed. Keys change meanwhile, and the server starts anew. Of the server only its
sockets are missing; longer and slower histories with all the rest are in `test_simulation.py`.

`HISTORIES` says how many. A failure names its seed, and what happened.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from dataclasses import replace

import pytest
from lamp import LAMP, Lamp
from simulation.chronicle import Chronicle
from simulation.loop import run_virtually
from simulation.program import NEVER_FALL
from simulation.promises import EVERY_CHANNEL, ORDERED, rank
from simulation.registry import Content
from simulation.signatures import CarelessKeys, Keys, Signing

from otaflux.errors import OtaFluxError
from otaflux.model.event import Priority
from otaflux.model.names import Channel, Tag
from otaflux.model.release import Release
from otaflux.policy import Policy
from otaflux.web.devices.offer import NOBODY, offer

HISTORIES = int(os.environ.get("HISTORIES", "200"))
PARTS = 4
RULES = replace(NEVER_FALL, keep_versions=2, withdraw_after=60.0)
PAUSES = (0.0, 3.0, 15.0, 100.0)  # seconds
# Which happens how often.
HAPPENINGS = {
    "push": 8,
    "replay": 4,
    "shuffle": 2,
    "delete": 4,
    "sign late": 3,
    "take a signature": 2,
    "hide signatures": 1,
    "weather": 3,
    "other keys": 1,
    "start anew": 2,
}


class Broken(AssertionError):
    """Something fell, or was told that nobody signed."""


class History:
    """One device, its registry, and what was told of it."""

    def __init__(self, seed: int, rig: Lamp, keys: Keys, rules: Policy) -> None:
        self._chance = random.Random(seed)
        self._rig = rig
        self._keys = keys
        self._rules = rules
        self._signing = Signing(keys, rig.registry.signatures)
        self._snapshots: list[dict[Tag, Content]] = []
        self._highest: dict[Channel, Release] = {}
        self.chronicle = Chronicle(rig.clock)
        rig.registry.note = self.chronicle.note

    @property
    def _tags(self) -> dict[Tag, Content]:
        return self._rig.registry.tags_of[LAMP]

    async def live(self) -> None:
        """Let things happen, look after each, and hold what is told against what was told."""
        for _ in range(self._chance.randrange(4, 30)):
            what = self._chance.choices([*HAPPENINGS], [*HAPPENINGS.values()])[0]
            self.chronicle.note("{}", what)
            await self._happen(what)
            self.check()
            await asyncio.sleep(self._chance.choice(PAUSES))
            priority = self._chance.choice([Priority.HOOK, Priority.RECHECK])
            tags = self._chance.sample(ORDERED, self._chance.randrange(3))
            with suppress(OtaFluxError):
                await self._rig.look(*tags, priority=priority, deletion=self._chance.random() < 0.5)
            self.check()

    async def _happen(self, what: str) -> None:
        if what == "other keys":
            self._keys.change(*self._chance.choice(["a", "ab", "b"]))
        if what in {"other keys", "start anew"}:
            await self._rig.restart(self._rules, self._keys)
        elif what == "push":
            content = self._rig.push(self._chance.choice(ORDERED))
            self._sign(content, self._chance.choice(["a", "a", "a", "b", "ab", ""]))
            self._snapshots.append(dict(self._tags))
        elif what == "weather":
            registry = self._rig.registry
            registry.trouble = self._chance.choice([0.0, 0.0, 0.3])
            registry.staleness = self._chance.choice([0.0, 30.0, 500.0])
            registry.away = self._chance.random() < 0.2
            if self._chance.random() < 0.5:
                registry.signatures.show_all()
        elif what == "replay" and self._snapshots:
            self._become(self._chance.choice(self._snapshots))
        elif self._tags:
            self._take_over(what, self._chance.choice(sorted(self._tags)))

    def _take_over(self, what: str, tag: Tag) -> None:
        registry, digest = self._rig.registry, self._tags[tag].top.digest
        match what:
            case "shuffle":
                contents = list(self._tags.values())
                self._chance.shuffle(contents)
                self._become(dict(zip(list(self._tags), contents, strict=True)))
            case "delete":
                registry.delete(LAMP, tag)
            case "sign late":
                self._sign(self._tags[tag], self._chance.choice(["a", "b"]))
            case "take a signature":
                registry.signatures.take_away(digest)
            case "hide signatures":
                registry.signatures.hide(digest)
            case _:
                pass  # there was nothing to replay yet

    def _sign(self, content: Content, by: str) -> None:
        for name in by:
            self._rig.sign(content, name)
        if not by and len(self._rig.registry.contents) > 1:
            other = self._chance.choice([*self._rig.registry.contents])
            if other != content.top.digest:
                signatures = self._rig.registry.signatures
                signatures.sign_wrongly(content.top.digest, other, "a")

    def _become(self, tags: dict[Tag, Content]) -> None:
        for tag in sorted(self._tags.keys() - tags.keys()):
            self._rig.registry.delete(LAMP, tag)
        for tag, content in tags.items():
            if self._tags.get(tag) != content:
                self._rig.registry.put(LAMP, tag, content)

    def check(self) -> None:
        """Raise `Broken` where something fell, ended for no reason, or was not signed."""
        record = self._rig.program.catalog.get(LAMP)
        for channel in EVERY_CHANNEL:
            offered = offer(record, channel, NOBODY, self._rig.program.machine.now())
            told, highest = offered and offered.release, self._highest.get(channel)
            if told is not None:
                if not self._signing.was_signed(told.manifest_digest):
                    raise Broken(f"{channel} is told {told.tag}, which nobody signed")
                if highest and rank(told.tag) < rank(highest.tag):
                    raise Broken(f"{channel} was told {highest.tag}, and then {told.tag}")
                self._highest[channel] = told
            elif highest and not self._signing.may_lapse(highest.manifest_digest):
                raise Broken(f"{channel} was told {highest.tag}, and then nothing")


def live(seed: int, rules: Policy = RULES, kind: type[Keys] = Keys) -> None:
    """One history."""

    async def main() -> None:
        rig = Lamp(rules)
        keys = kind("a", clock=rig.clock)
        await rig.restart(rules, keys)
        history = History(seed, rig, keys, rules)
        try:
            await history.live()
        except Broken as broken:
            raise Broken(f"history {seed}: {broken}\n{history.chronicle}") from None

    run_virtually(main())


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_told_never_falls_whatever_a_registry_does(part: int) -> None:
    """In each history, over restarts and changes of keys; and nothing unsigned is told."""
    for seed in range(part, HISTORIES, PARTS):
        live(seed)


@pytest.mark.parametrize(
    ("rules", "kind", "broken"),
    [
        (replace(RULES, never_fall=False), Keys, "was told .*, and then"),
        (RULES, CarelessKeys, "which nobody signed"),
    ],
    ids=["channels fall", "a signature of something else counts"],
)
def test_a_fall_would_be_seen(rules: Policy, kind: type[Keys], broken: str) -> None:
    """A deliberate bug is found within some histories."""

    def many() -> None:
        for seed in range(100):
            live(seed, rules, kind)

    with pytest.raises(Broken, match=broken):
        many()
