"""What is pushed, and where: contents that repeat, states that devices may hear of, two sources.

    async with registry(tmp_path / "data", chance) as source:
        pushed = Pushed()
        tag, number = pushed.change(chance, withdraw=False)
        source.put("lamp", tag, number)
        await source.away()                      # nobody can be asked

Each device gets one of few contents each time, and few tags, so that what a server keeps of them is
bounded however long it goes on.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fake_faults import Cut, Drip, Fault, Status, WrongByte
from fake_registry import FakeRegistry
from layout_files import REF_NAME, LayoutFiles

DEVICES = ("lamp", "pump", "door")
GUEST = "guest"  # in the registry nothing but polls names it
TAGS = ("1.0.0", "1.1.0", "1.2.0")
CONTENTS = 8  # of each device
SIZE = 150_000  # bytes of each
MOST_FILES = (len(DEVICES) + 1) * CONTENTS
MOST_BYTES = MOST_FILES * (SIZE + 8_000)  # a release takes some 400 bytes of a record, in each part


def firmware(device: str, number: int) -> bytes:
    """One of the contents that a device ever gets."""
    return random.Random(f"{device} {number}").randbytes(SIZE)


def layer(device: str, number: int) -> bytes:
    """The content as it is pushed: every second one is packed."""
    content = firmware(device, number)
    return gzip.compress(content, 1, mtime=0) if number % 2 else content


class Source(Protocol):
    """Where releases come from, and how a test takes it away."""

    withdraws: bool  # within one life of a server
    prefix: str  # of its repositories

    def settings(self) -> dict[str, str]:
        """What makes a server ask it."""

    def put(self, device: str, tag: str, number: int) -> None:
        """Push, or move the tag."""

    def remove(self, device: str, tag: str) -> None:
        """Take the tag away."""

    async def away(self) -> None:
        """Be there for nobody."""

    async def back(self) -> None:
        """Be there again."""


class Registry:
    """A registry over a socket. Blobs come slowly; now and then something goes wrong besides."""

    withdraws = False  # two looks ten seconds apart: a server seldom lives so long here
    prefix = "acme/"

    def __init__(self, fake: FakeRegistry, chance: random.Random) -> None:
        self._fake = fake
        self._chance = chance

    def settings(self) -> dict[str, str]:
        """What makes a server ask it."""
        names = {"REPOSITORY_PREFIX": "acme", "DEVICES": " ".join(DEVICES)}
        return {"REGISTRY_URL": self._fake.url, "REGISTRY_RATE": "100", **names}

    def put(self, device: str, tag: str, number: int) -> None:
        """Push, or move the tag."""
        self._fake.content.put(f"acme/{device}", tag, layers=[layer(device, number)])

    def remove(self, device: str, tag: str) -> None:
        """Take the tag away."""
        self._fake.content.delete_tag(f"acme/{device}", tag)

    async def away(self) -> None:
        """Refuse connections."""
        await self._fake.stop()

    async def back(self) -> None:
        """Answer again, for a third of its lives with some fault in it."""
        self._fake.heal()
        faults: list[Fault] = [Cut(at=SIZE // 2), WrongByte(at=100), Status(503)]
        if self._chance.random() < 1 / 3:
            fault = self._chance.choice(faults)
            self._fake.fail("blob", fault, times=None, when=lambda _: self._chance.random() < 0.3)
        self._fake.fail("blob", Drip(size=20_000, pause=0.01), times=None)
        await self._fake.start()


class Folder:
    """The embedded folder, as another tool writes it. One look is enough for a withdrawal."""

    withdraws = True
    prefix = ""

    def __init__(self, data: Path) -> None:
        self._root = data / "registry"
        self._aside = data.with_name("aside")
        self._layouts = {name: LayoutFiles(self._root / name) for name in (*DEVICES, GUEST)}

    def settings(self) -> dict[str, str]:
        """It is the default."""
        return {}

    def put(self, device: str, tag: str, number: int) -> None:
        """Push, or move the tag, with one write of the index."""
        layout = self._layouts[device]
        layout.entries = self._others(layout, tag)
        layout.artifact([layer(device, number)], tag=tag)

    def remove(self, device: str, tag: str) -> None:
        """Take the tag out of the index."""
        layout = self._layouts[device]
        layout.entries = self._others(layout, tag)
        layout.write()

    def _others(self, layout: LayoutFiles, tag: str) -> list[dict[str, object]]:
        return [entry for entry in layout.entries if entry["annotations"][REF_NAME] != tag]

    async def away(self) -> None:
        """As if its disk were not mounted."""
        self._root.rename(self._aside)

    async def back(self) -> None:
        """It is there again."""
        self._aside.rename(self._root)


@dataclass
class Pushed:
    """What the source held of one device, state after state, and how far devices heard of it."""

    tags: dict[str, int] = field(default_factory=dict)
    states: list[tuple[str, int]] = field(default_factory=list)
    heard: int = -1  # the first state that the last answer may have been
    told: set[str] = field(default_factory=set)  # the SHA-256 of what must still lie on the disk

    def change(self, chance: random.Random, *, withdraw: bool) -> tuple[str, int | None]:
        """Push a higher tag, move the highest one, or take that away: which, and to what."""
        highest = max(self.tags, default="")
        if withdraw and len(self.tags) > 1:
            del self.tags[highest]
            self._now()
            return highest, None
        higher = [tag for tag in TAGS if tag > highest]
        tag = higher[0] if higher and (not highest or chance.random() < 0.5) else highest
        number = chance.choice([n for n in range(CONTENTS) if n not in self.tags.values()])
        self.tags[tag] = number
        self._now()
        return tag, number

    def _now(self) -> None:
        highest = max(self.tags)
        self.states.append((highest, self.tags[highest]))


@asynccontextmanager
async def registry(data: Path, chance: random.Random) -> AsyncIterator[Source]:
    """A fake registry that does not list what it has."""
    async with FakeRegistry(catalog=False) as fake:
        yield Registry(fake, chance)


@asynccontextmanager
async def folder(data: Path, chance: random.Random) -> AsyncIterator[Source]:
    """The embedded folder."""
    yield Folder(data)
