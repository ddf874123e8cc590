"""What befalls a registry and a machine, one thing at a time: pushes, faults, hooks, power cuts.

Each is one method of `Luck`; `happen` picks one. What the hooks tell of may come later than they,
and they are lost, doubled, late and out of order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag
from simulation import senders
from simulation.chronicle import Chronicle
from simulation.disk import MemoryDisk
from simulation.program import RECHECK, WITHDRAW_AFTER
from simulation.promises import DEVICES, GHOST, NO_DIGEST, ORDERED, OTHERS
from simulation.registry import Content, Shape, SimulatedRegistry
from simulation.senders import Hook
from simulation.signatures import Keys

NIGHT = 2.5 * RECHECK  # seconds: two re-checks find the same
TEN_YEARS = 10 * 365.0 * 24 * 3600
AHEAD = (0.1, 1.0, 5.0)  # seconds by which a hook may come before what it tells of


class Luck:
    """What happens to one registry and one disk.

    `deliver(hook, seconds)` sends a hook so much later, `ask_for_stranger()` is a poll for a device
    that does not exist; `later` runs them and what else takes time.
    """

    def __init__(
        self,
        registry: SimulatedRegistry,
        disk: MemoryDisk,
        chance: random.Random,
        chronicle: Chronicle,
        *,
        deliver: Callable[[Hook, float], Coroutine[Any, Any, None]],
        ask_for_stranger: Callable[[], Coroutine[Any, Any, None]],
        later: Callable[[Coroutine[Any, Any, None]], None],
        replays: bool = False,
        keys: Keys | None = None,
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._disk = disk
        self._chance = chance
        self._chronicle = chronicle
        self._deliver = deliver
        self._ask_for_stranger = ask_for_stranger
        self.later = later
        self.may_cut = True
        self.night = 0.0  # seconds in which nothing else happens
        self._replays = replays
        self._snapshots: list[tuple[Device, dict[Tag, Content]]] = []
        self._number = 0
        self._lost: set[tuple[Device, Tag]] = set()  # at some time; two times would look like one

    def happen(self) -> None:
        """One thing happens."""
        happenings = {
            self._push: 10,
            self._delete: 3,
            self._noise: 2,
            self._weather: 3,
            self._mend: 2,
            self._hide: 1,
            self._withhold: 1,
            self._set_clock: 1,
            self._lose_upstream: 1,
            self._cut_soon: 2,
            self._cut: 1,
        }
        if self._replays:
            happenings[self._snap] = 4
            happenings[self._replay] = 4
        if self._keys is not None:
            happenings[self._take_signature_away] = 2
            happenings[self._hide_signatures] = 1
            happenings[self._change_keys] = 1
            happenings[self._cut_while_away] = 1
        self._chance.choices([*happenings], [*happenings.values()])[0]()

    def _push(self) -> None:
        device = self._chance.choice(DEVICES)
        tag = self._chance.choice((*ORDERED, *ORDERED, *OTHERS))
        before = list(self._registry.contents.values())
        if before and self._chance.random() < 0.2:
            content = self._chance.choice(before)
        else:
            content = self.content(good=self._chance.random() < 0.8)
        if self._keys is not None:
            self._sign_perhaps(device, content)
        if self._chance.random() < 0.1:
            self._registry.missing_blobs.add(content.firmware_digest)
            self._chronicle.note("the blob of {} is missing", content)
        if self._chance.random() < 0.8:
            self._registry.put(device, tag, content)
        else:
            self.later(self.put_later(device, tag, content, self._chance.choice(AHEAD)))
        self._send(self.pushed(device, tag, content))

    def _sign_perhaps(self, device: Device, content: Content) -> None:
        """Most of what is pushed is signed: before, or later with a hook or without, or not."""
        by = self._chance.choices(["a", "b", "ab"], [4, 1, 2])[0]
        way = self._chance.random()
        if way < 0.5:
            self._sign(content, by)
        elif way < 0.8:
            delay = self._chance.choice([0.3, 4.0, 40.0])
            self.later(self._sign_later(content, by, delay, device))
        elif self._registry.contents:
            other = self._chance.choice([*self._registry.contents])
            if other != content.top.digest:
                self._chronicle.note("{} has a signature of {}", content, other)
                self._registry.signatures.sign_wrongly(content.top.digest, other, by[0])

    def _sign(self, content: Content, by: str) -> Digest:
        self._chronicle.note("{} is signed by {}", content, by)
        signed = [self._registry.signatures.sign(content.top.digest, name) for name in by]
        return signed[-1]

    async def _sign_later(
        self, content: Content, by: str, delay: float, device: Device | None = None
    ) -> None:
        await asyncio.sleep(delay)
        digest = self._sign(content, by)
        if device is not None:
            self._send(senders.attached(device, content.top.digest, digest, self._chance))

    def _take_signature_away(self) -> None:
        """Somebody takes back what was signed."""
        device = self._chance.choice(DEVICES)
        contents = list(self._registry.tags_of[device].values())
        if contents:
            content = self._chance.choice(contents)
            self._chronicle.note("{} is not signed any more", content)
            self._registry.signatures.take_away(content.top.digest)
            self._send(senders.detached(device, content.top.digest, self._chance))

    def _hide_signatures(self) -> None:
        """A registry that was taken over, or is behind, lists no signature of a release."""
        contents = list(self._registry.tags_of[self._chance.choice(DEVICES)].values())
        if contents:
            content = self._chance.choice(contents)
            self._chronicle.note("the signatures of {} are hidden", content)
            self._registry.signatures.hide(content.top.digest)

    def _change_keys(self) -> None:
        """Others may sign."""
        assert self._keys is not None
        names = self._chance.choice(["a", "ab", "b"])
        self._chronicle.note("from now on may sign: {}", names)
        self._keys.change(*names)

    def usable(self, *, late: Sequence[float] = (0.0,)) -> Content:
        """Firmware that nobody pushed before, signed if it has to be; so `late`, without a hook."""
        content = self.content(good=True)
        if self._keys is not None:
            by, delay = self._chance.choice(self._keys.names), self._chance.choice(late)
            if delay:
                self.later(self._sign_later(content, by, delay))
            else:
                self._sign(content, by)
        return content

    def _snap(self) -> None:
        """Whoever took the registry over remembers what it was."""
        device = self._chance.choice(DEVICES)
        self._snapshots.append((device, dict(self._registry.tags_of[device])))

    def _replay(self) -> None:
        """The registry is what it was once, or has its tags the other way round."""
        if not self._snapshots:
            return
        device, before = self._chance.choice(self._snapshots)
        now = self._registry.tags_of[device]
        self._chronicle.note("{} is as it was: {}", device, sorted(before))
        if self._chance.random() < 0.3:
            contents = list(before.values())
            self._chance.shuffle(contents)
            before = dict(zip(before, contents, strict=True))
        for tag in sorted(set(now) - set(before)):
            self._registry.delete(device, tag)
        for tag, content in sorted(before.items()):
            if now.get(tag) != content:
                self._registry.put(device, tag, content)
        self._send(senders.removed(device))
        self._send(senders.somewhere(device))

    async def put_later(self, device: Device, tag: Tag, content: Content, delay: float) -> None:
        """The registry comes later than its hook."""
        await asyncio.sleep(delay)
        self._registry.put(device, tag, content)

    def pushed(self, device: Device, tag: Tag, content: Content) -> Hook:
        """The hook for a push."""
        digest, wanted = content.top.digest, tag not in OTHERS
        return senders.pushed(device, tag, digest, self._chance, wanted=wanted)

    def content(self, *, good: bool) -> Content:
        """What nobody pushed before."""
        self._number += 1
        shape = self._chance.choices([Shape.PLAIN, Shape.INDEX], [3, 1])[0] if good else Shape.BAD
        return Content(self._number, shape)

    def _delete(self) -> None:
        device = self._chance.choice(DEVICES)
        tags = sorted(self._registry.tags_of[device])
        if tags:
            tag = self._chance.choice(tags)
            digest = self._registry.tags_of[device][tag].top.digest
            self._registry.delete(device, tag)
            wanted = tag not in OTHERS
            self._send(senders.deleted(device, tag, digest, self._chance, wanted=wanted))

    def _noise(self) -> None:
        """A hook that names a tag which nobody pushed, or says nothing; a stranger's poll."""
        device, tag = self._chance.choice(DEVICES), self._chance.choice((*ORDERED, Tag("9.9.9")))
        self._send(senders.pushed(device, tag, NO_DIGEST, self._chance, wanted=True))
        self._send(senders.noise(device, tag, self._chance))
        self.later(self._ask_for_stranger())
        self._send(senders.pushed(GHOST, tag, NO_DIGEST, self._chance, wanted=True))

    def _weather(self) -> None:
        self._registry.trouble = self._chance.choice([0.0, 0.1, 0.5])
        self._registry.slowness = self._chance.choice([0.0, 0.5, 4.0])
        self._registry.staleness = self._chance.choice([0.0, 3.0, 60.0])
        self._registry.away = self._chance.random() < 0.2
        self._disk.trouble = self._chance.choice([0.0, 0.1, 0.3])
        self._chronicle.note(
            "weather: registry trouble {}, slowness {}, staleness {}, away {}; disk trouble {}",
            self._registry.trouble,
            self._registry.slowness,
            self._registry.staleness,
            self._registry.away,
            self._disk.trouble,
        )

    def _mend(self) -> None:
        self._registry.missing_blobs.clear()
        self._chronicle.note("all blobs are there")
        if self._chance.random() < 0.3:
            self._registry.show_all()
            self._registry.signatures.show_all()
        if self._chance.random() < 0.5:
            self._registry.withheld.clear()

    def _withhold(self) -> None:
        """A policy of the registry withholds a tag: it is there, and nobody may have it."""
        device = self._chance.choice(DEVICES)
        tags = sorted(self._registry.tags_of[device])
        if tags:
            self._registry.withheld.add((device, self._chance.choice(tags)))
            self._send(senders.somewhere(device))

    def _set_clock(self) -> None:
        """The wall clock is wrong, a little or by years, or right again."""
        ahead = self._chance.choice([0.0, 0.0, -3600.0, 3600.0, TEN_YEARS, -TEN_YEARS])
        self._chronicle.note("the wall clock is {} s ahead", ahead)
        self._disk.set_clock(ahead)

    def _hide(self) -> None:
        """A registry that is being restored: for less than what two looks are apart."""
        device = self._chance.choice(DEVICES)
        for tag in sorted(self._registry.tags_of[device]):
            if (device, tag) in self._lost:
                continue
            self._lost.add((device, tag))
            self._registry.hide(device, tag, self._chance.choice([1.0, 8.0]))
        self._send(senders.somewhere(device))

    def _lose_upstream(self) -> None:
        """A cache whose upstream is away lists whole what it happens to have, and that for long.

        For less than WITHDRAW_AFTER, or nobody could know, but where it says what it is.
        """
        registry, device = self._registry, self._chance.choice(DEVICES)
        if self._chance.random() < 0.2:
            registry.not_know(device)
        for tag in sorted(registry.tags_of[device]):
            if self._chance.random() < 0.7 and (
                registry.is_cache or (device, tag) not in self._lost
            ):
                self._lost.add((device, tag))
                longest = NIGHT if registry.is_cache else WITHDRAW_AFTER / 2
                registry.hide(device, tag, self._chance.choice([60.0, longest]))
        if registry.is_cache and self._chance.random() < 0.5:
            self.night = NIGHT
        self._send(senders.somewhere(device))

    def _cut(self) -> None:
        if self.may_cut:
            self._disk.cut()

    def _cut_while_away(self) -> None:
        """The server has to say what it may tell without its registry."""
        self._chronicle.note("the registry is away")
        self._registry.away = True
        self._cut()

    def _cut_soon(self) -> None:
        if self.may_cut:
            self._disk.cut_in = self._chance.randrange(40)

    def _send(self, hook: Hook) -> None:
        """Lost, once, or twice; at once, or later than the next one."""
        for _ in range(self._chance.choice([0, 1, 1, 1, 2])):
            self.later(self._deliver(hook, self._chance.choice([0.0, 0.2, 5.0, 20.0])))
