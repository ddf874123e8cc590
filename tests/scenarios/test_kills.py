"""SIGKILL at all kinds of instants, each followed by a start without the source.

A few devices are pushed to without a pause, from a small set of contents, so that pulls, records
and evictions happen all the time; while nobody runs, what left is made older, so that the next look
evicts it. The kill waits for a name to appear or to go in DATA_DIR, or for nothing, and falls some
moments later. `KILLS` says how many, for each of the two sources; where one kind of kill never hit
what it aimed at there are some more.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from changing_sources import (
    DEVICES,
    GUEST,
    MOST_BYTES,
    MOST_FILES,
    SIZE,
    Pushed,
    Source,
    firmware,
    folder,
    registry,
)
from folder_events import Event, FolderEvents
from programs import Server, server
from remains import Remains

KILLS = int(os.environ.get("KILLS", "16"))
SECRET = "s3cret"
WEEK = 8 * 24 * 3600.0  # seconds, and some: withdrawn firmware goes too
PATIENCE = 30.0  # seconds


class Rounds:
    """A server that is killed again and again, and what has to be so after each time."""

    def __init__(self, running: Server, source: Source, chance: random.Random) -> None:
        self.running = running
        self.source = source
        self.chance = chance
        self.pushed = {name: Pushed() for name in (*DEVICES, GUEST)}
        self.hits: Counter[str] = Counter()
        self.killed = asyncio.Event()
        self.data = running.folder / "data"

    # --- a life -------------------------------------------------------------------------------

    def push(self, device: str, *, withdraw: bool = False) -> str:
        """Change what the source holds of a device; which tag."""
        pushed = self.pushed[device]
        tag, number = pushed.change(self.chance, withdraw=withdraw and self.source.withdraws)
        if number is None:
            self.source.remove(device, tag)
        else:
            self.source.put(device, tag, number)
        return tag

    async def pushing(self, *, withdraw: bool) -> None:
        """Push to one device after another, with a hook each, until the kill fell."""
        while not self.killed.is_set():
            device = self.chance.choice(tuple(self.pushed))
            tag = self.push(device, withdraw=withdraw or self.chance.random() < 0.3)
            if device != GUEST:
                hook = json.dumps({"repository": self.source.prefix + device, "tag": tag}).encode()
                with suppress(OSError):
                    await asyncio.to_thread(self.running.hook, hook, secret=SECRET)
            await asyncio.sleep(self.chance.uniform(0, 0.15))

    async def polling(self) -> None:
        """Poll until the kill fell."""
        for device in itertools.cycle(self.pushed):
            if self.killed.is_set():
                return
            with suppress(OSError):
                await self.poll(device)
            await asyncio.sleep(0.005)

    async def poll(self, device: str) -> tuple[str, int] | None:
        """One poll: a state that the source held, none before the one that was told last."""
        pushed = self.pushed[device]
        answer = await asyncio.to_thread(self.running.get, f"/version?device={device}")
        if answer.status in {404, 503} and pushed.heard < 0:
            return None
        assert answer.status == 200, (device, answer)
        version, crc32, size = answer.body.decode().split("\n")
        for at in range(max(pushed.heard, 0), len(pushed.states)):
            content = firmware(device, pushed.states[at][1])
            if (version, int(crc32), int(size)) == (
                pushed.states[at][0],
                zlib.crc32(content),
                SIZE,
            ):
                pushed.heard = at
                pushed.told.add(sha256(content).hexdigest())
                return pushed.states[at]
        raise AssertionError((device, answer.body, pushed.heard, pushed.states))

    # --- a kill -------------------------------------------------------------------------------

    def kill(self, kind: str, events: FolderEvents) -> None:
        """Wait for the instant, and kill. Blocks."""

        def wanted(event: Event) -> bool:
            at, new = event.folder.name, event.made and event.name.startswith(".new-")
            match kind:
                case "pull" | "withdrawal":
                    return at == "sha256" and new
                case "record":
                    return at == "catalog" and new
                case "eviction":
                    return (at == "catalog" and event.renamed) or (
                        at == "sha256" and event.removed and not event.name.startswith(".")
                    )
            return False

        if kind == "any":
            time.sleep(self.chance.uniform(0.2, 1.2))
        elif events.wait(wanted, 1.5) and kind == "pull":
            time.sleep(self.chance.uniform(0, 0.06))
        self.running.stop(signal.SIGKILL)

    async def life(self, kind: str) -> None:
        """Let the server live, with its source, until a kill of that kind."""
        self.killed.clear()
        with FolderEvents(self.data / "catalog", self.data / "firmware" / "sha256") as events:
            kill = asyncio.create_task(asyncio.to_thread(self.kill, kind, events))
            kill.add_done_callback(lambda _: self.killed.set())
            await asyncio.gather(kill, self.polling(), self.pushing(withdraw=kind == "withdrawal"))

    async def start_and_kill(self) -> None:
        """Start, and kill before anything was answered: at a change of a file, or whenever."""
        with FolderEvents(self.data / "catalog", self.data / "firmware" / "sha256") as events:
            self.running.launch()
            within = self.chance.choice([self.chance.uniform(0, 0.5), 0.5])
            await asyncio.to_thread(events.wait, lambda _: True, within=within)
            self.running.stop(signal.SIGKILL)

    # --- what is left ---------------------------------------------------------------------------

    def look_at_what_is_left(self, began: float, *, older: float) -> None:
        """Count what the kill was in the middle of, then let what lies there be older."""
        left = Remains(self.data)
        unnamed = [path for name, path in left.files.items() if name not in left.named()]
        self.hits["pull"] += bool(left.temporaries("firmware"))
        self.hits["record"] += bool(left.temporaries("catalog"))
        self.hits["eviction"] += any(path.stat().st_mtime < began for path in unnamed)
        self.hits["withdrawal"] += any(
            (told := left.current(device)) is not None and told[0] not in pushed.tags
            for device, pushed in self.pushed.items()
        )
        self.check_what_was_told(left)
        if older:
            left.age(older)
            for device, pushed in self.pushed.items():
                told = left.current(device)
                pushed.told = {told[1]} if told else set()
        if self.chance.random() < 0.3:
            left.forget(GUEST)
            self.pushed[GUEST].heard = -1
            self.pushed[GUEST].told.clear()

    def check_what_was_told(self, left: Remains) -> None:
        """What devices were told within the last 15 minutes is there for who begins it now."""
        for device, pushed in self.pushed.items():
            assert pushed.told <= set(left.files), device

    async def check(self) -> None:
        """Without the source: a whole release each, and nothing on the disk that nobody names."""
        for device in self.pushed:
            told = await self.poll(device)
            if told is not None:
                given = await asyncio.to_thread(self.running.get, f"/firmware?device={device}")
                assert given.body == firmware(device, told[1])
        left = Remains(self.data)
        assert not left.temporaries()
        assert not left.set_aside()
        assert set(left.files) == left.named()
        for name, path in left.files.items():
            assert sha256(path.read_bytes()).hexdigest() == name
        self.check_what_was_told(left)
        assert set(left.records) <= set(self.pushed)
        assert len(left.files) <= MOST_FILES
        assert left.size() <= MOST_BYTES

    async def settle(self) -> None:
        """With the source: the newest is told, and what left long ago is gone from the disk."""
        self.running.stop(signal.SIGTERM)
        Remains(self.data).age(WEEK)
        began = time.time()
        self.running.start()
        while not await self.is_settled(began):
            assert time.time() < began + PATIENCE, self.pushed
            await asyncio.sleep(0.1)
        assert self.running.stop(signal.SIGTERM) == 0

    async def is_settled(self, began: float) -> bool:
        """Whether devices are told the last state, and nothing left is from before `began`."""
        told = [await self.poll(device) for device in self.pushed]
        left = Remains(self.data)
        return (
            told == [pushed.states[-1] for pushed in self.pushed.values()]
            and left.left_since(began)
            and set(left.files) == left.named()
        )


MakesSource = Callable[[Path, random.Random], AbstractAsyncContextManager[Source]]

# An eviction needs a life before it in which much was replaced.
KINDS = ("any", "eviction", "start", "pull", "record", "any", "eviction", "withdrawal")
BEFORE_EVICTIONS = ("any",)


@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize("source", [registry, folder])
async def test_kills_at_any_instant(tmp_path: Path, source: MakesSource) -> None:
    """Each start without the source tells what was told or newer, whole; DATA_DIR does not grow."""
    chance = random.Random(5)
    kinds = [kind for kind in KINDS if kind != "withdrawal" or source is folder]
    async with source(tmp_path / "data", chance) as from_where:
        settings = {"RECHECK_INTERVAL": "0.2", "KEEP_VERSIONS": "0", "WEBHOOK_SECRET": SECRET}
        with server(tmp_path, **from_where.settings(), **settings) as running:
            rounds = Rounds(running, from_where, chance)
            for device in rounds.pushed:
                rounds.push(device)
            for number, kind in enumerate(itertools.cycle(kinds)):
                missed = [kind for kind in kinds if kind != "any" and not rounds.hits[kind]]
                if number >= KILLS and not missed:
                    break
                assert number < 2 * KILLS + 30, f"no kill was in the middle of {missed}"
                began = time.time()
                if kind == "start":
                    await from_where.away()
                    running.stop(signal.SIGKILL)
                    await rounds.start_and_kill()
                    rounds.hits["start"] += 1
                else:
                    await rounds.life(kind)
                    await from_where.away()
                old_enough = [1000.0, WEEK] if kind in BEFORE_EVICTIONS else [0.0, 1000.0, WEEK]
                rounds.look_at_what_is_left(began, older=chance.choice(old_enough))
                running.start()
                await rounds.check()
                await from_where.back()
            await rounds.settle()
            print(f"{number} kills, amid {dict(rounds.hits)}")  # noqa: T201 - shown with -s
