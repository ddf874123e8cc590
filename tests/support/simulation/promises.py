"""What must always hold, checked in the step in which it could break.

Numbers are those of "What always holds" in docs/architecture.md. Nothing here uses a rule of the
program: the order of tags is written by hand, and what should be told is read off the registry.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable
from hashlib import md5, sha1
from typing import Any
from zlib import crc32

from otaflux.errors import OtaFluxError
from otaflux.model.artifact import Digest
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.state.recordfile import read_record
from simulation.chronicle import Chronicle
from simulation.disk import MemoryDisk
from simulation.program import CHANNELS, EPOCH, URL, WITHDRAW_AFTER, Program
from simulation.registry import Content, SimulatedRegistry
from simulation.signatures import Keys, Signing
from simulation.wire import Answer

DEVICES = tuple(Device(name) for name in ("lamp", "lamp/kitchen", "pump"))
STRANGER = Device("nobody")  # polls name it
GHOST = Device("ghost")  # hooks name it
# Lowest first.
ORDERED = tuple(
    Tag(text)
    for text in ("0.9.0", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "v1.0.0", "1.0.0_b2", "1.2.0-rc.1")
)
PRE = {Tag("1.0.0-rc.2"), Tag("1.0.0-rc.10"), Tag("1.2.0-rc.1")}
OTHERS = (Tag("latest"), Tag("1.0"), Tag("2.0.0-beta.1"))
EVERY_CHANNEL = (STABLE, *CHANNELS)
LINGERS = 14 * 60.0  # seconds, of the 15 minutes that are promised
PATIENCE = 3.0  # seconds that a poll for a device not known yet waits
SUMS_WITHIN = 20.1  # seconds that one which names MD5 and SHA-1 waits besides, just after a publish
BETWEEN_LOOKS = 10.0  # seconds, where a hook said that something was deleted
NO_DIGEST = Digest("sha256", "0" * 64)

Told = tuple[Tag, Digest, Digest]


class Broken(AssertionError):
    """Something that must always hold did not."""


def _told(release: Release | None) -> Told | None:
    if release is None:
        return None
    return release.tag, release.manifest_digest, release.firmware.firmware_digest


def rank(tag: Tag) -> int:
    """Where a tag stands in the order of versions."""
    return ORDERED.index(tag)


class _Shown:
    """A record in a line, for who reads a failure."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __str__(self) -> str:
        record = self._record
        told = {name: _short(standing.release) for name, standing in record.channels.items()}
        retired = [
            f"{_short(x.release)} since {x.at - EPOCH:.3f}{' withdrawn' * x.withdrawn}"
            for x in record.retired
        ]
        return f"{told}, kept {[_short(each) for each in record.kept]}, retired {retired}"


def _short(release: Release) -> str:
    return f"{release.tag}={str(release.firmware.firmware_digest)[7:15]}"


def _version(tag: Tag) -> str:
    return tag.text.removeprefix("v").replace("_", "+")


class Promises:
    """What one server told so far, and what is wrong about it."""

    def __init__(
        self,
        registry: SimulatedRegistry,
        clock: Callable[[], float],
        chronicle: Chronicle,
        *,
        never_fall: bool = False,
        keys: Keys | None = None,
    ) -> None:
        self._never_fall = never_fall
        self._signing = Signing(keys, registry.signatures)
        self._highest: dict[tuple[Device, str], Release] = {}  # told in the catalog
        self._answered: dict[tuple[Device, str], int] = {}  # told in an answer
        self._registry = registry
        self._clock = clock
        self._chronicle = chronicle
        self._told: dict[tuple[Device, str], Release | None] = {}
        self._broken: list[str] = []
        self.program: Program
        self.disk: MemoryDisk

    def check(self) -> None:
        """Raise `Broken` for the first that did not hold."""
        program = self.program
        if program.overlaps:
            raise Broken(f"9: two runs of {program.overlaps[0]} at once")
        if program.bugs:
            raise Broken(f"8: {program.bugs[0]!r}") from program.bugs[0]
        if not self.disk.is_off:
            for record in program.catalog.records():
                for release in record.held():
                    self._check_there(release)
                self._check_signed(record)
        if self._broken:
            raise Broken(self._broken[0])

    def hear(self, device: Device, record: Record | None) -> None:
        """In the step of each publish, before anybody can be told."""
        self._chronicle.note("{} has the record {}", device, record and _Shown(record))
        for channel in EVERY_CHANNEL:
            now = record.current(channel) if record else None
            before = self._told.get((device, channel))
            self._told[device, channel] = now
            self._check_floor(device, channel, record)
            if record is not None:
                self._check_signed(record)
            if _told(now) == _told(before):
                continue
            if now is not None:
                self._check_published(channel, now)
            if before is not None and (now is None or rank(now.tag) < rank(before.tag)):
                self._check_gone(before)

    def _check_signed(self, record: Record) -> None:
        """11: what is served was signed by who may sign, or could until a few seconds ago."""
        for release in record.served():
            if not self._signing.was_signed(release.manifest_digest):
                self._broken.append(f"11: {_short(release)} is served, and is not signed")

    def is_usable(self, content: Content) -> bool:
        """Whether it is firmware that can be served, signed where it has to be."""
        return content.good and self._signing.is_signed(content.top.digest)

    def _may_be_told(self, content: Content) -> bool:
        return self.is_usable(content) or self._signing.may_lapse(content.top.digest)

    def _check_floor(self, device: Device, channel: str, record: Record | None) -> None:
        """10: what a channel tells never falls, where that is asked; it may end, if unsigned."""
        own = record.current(channel) if record else None
        now = own or self._unfallen(device, channel, record.current(STABLE) if record else None)
        highest = self._highest.get((device, channel))
        if now is None and highest and self._signing.may_lapse(highest.manifest_digest):
            return
        if self._never_fall and highest and (now is None or rank(now.tag) < rank(highest.tag)):
            self._broken.append(
                f"10: {device} {channel} was told {_short(highest)}, and then {now and _short(now)}"
            )
        elif now is not None:
            self._highest[device, channel] = now

    def _unfallen(self, device: Device, channel: str, stable: Release | None) -> Release | None:
        """The stable release for a channel that has none of its own; not where that were a fall."""
        highest = self._highest.get((device, channel)) if self._never_fall else None
        if stable and highest and rank(stable.tag) < rank(highest.tag):
            return None
        return stable

    def _check_answer(self, device: Device, channel: str, answer: Answer, *, as_json: bool) -> None:
        """10: nor does any answer."""
        if not self._never_fall or answer.status != 200:
            return
        text = answer.body.decode()
        version = json.loads(text)["version"] if as_json else text.split("\n", 1)[0]
        place = [_version(tag) for tag in ORDERED].index(version)
        highest = self._answered.get((device, channel), -1)
        if place < highest:
            self._broken.append(
                f"10: {device} {channel} was told {_version(ORDERED[highest])} by an answer, and"
                f" then {version}"
            )
        self._answered[device, channel] = max(place, highest)

    def _check_gone(self, release: Release) -> None:
        """What is withdrawn was gone for as long as it takes, by all that the registry said."""
        if self._signing.may_lapse(release.manifest_digest):
            return
        registry, device = self._registry, release.device
        if registry.is_authoritative:
            needed = 0.0
        elif self.program.knows_of_deletion(device):
            needed = BETWEEN_LOOKS
        else:
            needed = math.inf if registry.is_cache else WITHDRAW_AFTER
        gone_for = registry.account.gone_for(device, release.tag)
        if gone_for < needed:
            self._broken.append(
                f"5: {device} {release.tag} was withdrawn, and the registry said for {gone_for} s"
                f" that it is gone, which has to be {needed} s"
            )

    def _check_published(self, channel: str, release: Release) -> None:
        device = release.device
        pushed = (device, release.tag, release.manifest_digest, release.firmware.firmware_digest)
        if pushed not in self._registry.pushed:
            self._broken.append(f"3: {release} was never in the registry")
        if not self._content(release).good:
            self._broken.append(f"3: {release} cannot be served")
        if release.tag in OTHERS or (channel == STABLE and release.tag in PRE):
            self._broken.append(f"4: {release} is not for {channel}")
        self._check_whole(release)

    def _content(self, release: Release) -> Content:
        return self._registry.contents[release.manifest_digest]

    def _check_whole(self, release: Release) -> None:
        path = self.program.store.path(release.firmware.firmware_digest)
        if self.disk.platter(path) != self._content(release).data:
            self._broken.append(f"6: {release} is told, and its file would not survive a crash")

    def _check_there(self, release: Release) -> None:
        path = self.program.store.path(release.firmware.firmware_digest)
        if self.disk.seen(path) != self._content(release).data:
            self._broken.append(f"6: {release} is held, and its file is not there")

    # Polls

    async def poll(self, device: Device, channel: str, chance: random.Random) -> None:
        """1 and 2: who is known is answered at once, from memory, and the answer holds together."""
        record = self.program.catalog.get(device)
        at_hand = record is not None and (record.ever_synced or bool(record.channels))
        began, before = self._clock(), self._would_be_told(device, channel)
        plain = channel == STABLE and chance.random() < 0.5
        query = f"device={device}" if plain else f"device={device}&channel={channel}"
        as_json = chance.random() < 0.3
        accept = "Accept: application/json\r\n" if as_json else ""
        sums_late = as_json and before is not None and not before.firmware.sums.is_complete
        answer = await self.program.wire.get(f"/version?{query}", accept)
        waited = self._clock() - began
        longest = 0.0 if at_hand else PATIENCE + 0.1
        if waited > longest + sums_late * SUMS_WITHIN:
            self._broken.append(f"1: a poll of {device} waited {waited} s")
        self._chronicle.note("{} {} is polled and told {}", device, channel, answer)
        told = self._would_be_told(device, channel)
        if not at_hand and answer.status in {404, 503}:
            return
        if answer.status == 503 and None in {before, told} and not (record and record.ever_synced):
            return  # another channel has its release, and this one is not settled yet
        if answer.status == 503 and sums_late:
            return  # its file could not be read now, or the disk is slow
        # It took some steps of the loop, and in one of them the record may have changed.
        if not any(self._agrees(answer, each, as_json=as_json) for each in (before, told)):
            self._broken.append(f"2: {device} {channel} is {_told(told)}, and was told {answer}")
        self._check_answer(device, channel, answer, as_json=as_json)
        if as_json and answer.status == 200:
            times_set = self.disk.times_set
            await asyncio.sleep(chance.choice([0.0, 100.0, LINGERS]))
            if self.disk.times_set == times_set:  # what lingers does so by that clock
                await self._download(json.loads(answer.body))

    async def _download(self, said: dict[str, Any]) -> None:
        """2: what was told a while ago is still there under its address, over restarts too."""
        if self.disk.is_off or self._signing.may_lapse(Digest.parse(said["manifest_digest"])):
            return
        answer = await self.program.wire.get(said["url"].removeprefix(URL), method="HEAD")
        self._chronicle.note("{} is asked for: {}", said["url"], answer.status)
        if answer.status != 200 or int(answer.headers["content-length"]) != said["size"]:
            self._broken.append(f"2: {said} was told, and then its address answers {answer}")
        if self.disk.seen(self.program.store.path(Digest("sha256", said["sha256"]))) is None:
            self._broken.append(f"2: {said} was told, and then its file is not there")

    def _would_be_told(self, device: Device, channel: str) -> Release | None:
        own = self._told.get((device, channel))
        return own or self._unfallen(device, channel, self._told.get((device, STABLE)))

    def _agrees(self, answer: Answer, told: Release | None, *, as_json: bool) -> bool:
        if told is None or answer.status != 200:
            return told is None and answer.status == 404
        content = self._content(told)
        version = _version(told.tag)
        crc, size = crc32(content.data), len(content.data)
        if not as_json:
            return answer.body.decode() == f"{version}\n{crc}\n{size}"
        said = json.loads(answer.body)
        return bool(
            (said["version"], said["crc32"], said["size"]) == (version, crc, size)
            and said["sha256"] == content.firmware_digest.hex
            and said["md5"] == md5(content.data).hexdigest()
            and said["sha1"] == sha1(content.data).hexdigest()
            and said["manifest_digest"] == str(told.manifest_digest)
        )

    # Crashes

    def possible(self) -> dict[Device, list[Record]]:
        """After a cut: the records that the disk may hold, by device."""
        found: dict[Device, list[Record]] = {}
        for device in DEVICES:
            for data in self.disk.possible(self.program.catalog.path(device)):
                try:
                    record = read_record(data) if data is not None else None
                except OtaFluxError:
                    record = None
                if record is not None:
                    found.setdefault(device, []).append(record)
        return found

    def check_restart(self, possible: dict[Device, list[Record]]) -> None:
        """6: after a crash, what was told is told again, whole, without the registry."""
        for device in DEVICES:
            record = self.program.catalog.get(device)
            for channel in EVERY_CHANNEL:
                now = record.current(channel) if record else None
                before = self._told.get((device, channel))
                able = [before, *(put.current(channel) for put in possible.get(device, ()))]
                lapsed = now is None and before and self._signing.may_lapse(before.manifest_digest)
                if _told(now) not in map(_told, able) and not lapsed:
                    self._broken.append(
                        f"6: {device} {channel} was told {_told(before)},"
                        f" and {_told(now)} after a crash"
                    )
                if now is not None:
                    self._check_whole(now)
                self._told[device, channel] = now
                self._check_floor(device, channel, record)
        self._check_swept()

    def _check_swept(self) -> None:
        """7: after a start, no file lies there that nobody names."""
        held = {
            release.firmware.firmware_digest.hex
            for record in self.program.catalog.records()
            for release in record.held()
        }
        lying = set(self.disk.live_names(self.program.store.path(NO_DIGEST).parent))
        if lying != held:
            self._broken.append(f"7: {lying ^ held} are left over or missing after a start")

    # The end

    def check_settled(self, when: str) -> None:
        """5: what is told is a function of the registry alone."""
        program = self.program
        if program.queue.unreachable or len(program.queue):
            raise Broken(f"9: {when}, {len(program.queue)} keys wait")
        if program.catalog.get(STRANGER) is not None:
            raise Broken(f"7: {when}, there is a record of a device that has no release")
        ghost = program.catalog.get(GHOST)
        if ghost is not None and list(ghost.held()):
            raise Broken(f"4: {when}, a hook's word made a release: {ghost}")
        for device in DEVICES:
            record = program.catalog.get(device)
            for release in record.held() if record else ():
                if not release.firmware.sums.is_complete:
                    raise Broken(f"2: {when}, {_short(release)} still lacks sums")
            for channel in EVERY_CHANNEL:
                told = _told(record.current(channel) if record else None)
                if self._never_fall and told is None and record is not None:
                    stable = record.current(STABLE)  # which may be above all of its own
                    told = _told(self._unfallen(device, channel, stable))
                able = self._may_be_told_now(device, channel)
                if told not in able:
                    raise Broken(f"5: {when}, {device} {channel} is told {told}, not {able}")

    async def check_pins(self, when: str, *, all_were_named: bool) -> None:
        """5: a pin gives what its tag stands for now, or nothing.

        Where hooks did not name each tag, one that moved may be found later: its old bytes count.
        """
        for device in DEVICES:
            tags = self._registry.tags_of[device]
            ables = [self._may_be_told_now(device, channel) for channel in EVERY_CHANNEL]
            current = set().union(*ables)
            must = {told[0] for able in ables for told in able if told and len(able) == 1}
            # Of a tag that moved before it went, one channel may be told on what another is not.
            told_on = [(told[0], self._registry.contents[told[1]]) for told in current if told]
            for tag in ORDERED:
                version = _version(tag)
                same = [each for each in tags if _version(each) == version]
                contents = [tags[each] for each in same]
                contents += [content for each, content in told_on if _version(each) == version]
                if not all_were_named:
                    contents += self._registry.pushed_as(device, same)
                contents = [
                    x
                    for x in contents
                    if self._signing.may_lapse(x.top.digest) or self.is_usable(x)
                ]
                able = {f"{version}\n{crc32(x.data)}\n{len(x.data)}".encode() for x in contents}
                answer = await self.program.wire.get(f"/version?device={device}&version={tag}")
                self._chronicle.note("{} {} is pinned and told {}", device, tag, answer)
                if answer.body not in able if answer.status == 200 else tag in must:
                    raise Broken(f"5: {when}, a pin of {device} {tag} is told {answer}")

    def _may_be_told_now(self, device: Device, channel: str) -> set[Told | None]:
        """What one is told once all is settled: one thing, but of what may be unsigned by now."""
        best = self._best(device, channel)
        highest = self._highest.get((device, channel)) if self._never_fall else None
        if highest is None or (best is not None and rank(best[0]) >= rank(highest.tag)):
            return {best}
        if self._signing.may_lapse(highest.manifest_digest):
            return {_told(highest), None}
        return {_told(highest)}

    def _best(self, device: Device, channel: str) -> Told | None:
        """The highest that the registry has."""
        tags = self._registry.tags_of[device]
        for tag in reversed(ORDERED):
            if tag in tags and self.is_usable(tags[tag]) and (channel != STABLE or tag not in PRE):
                content = tags[tag]
                return tag, content.top.digest, content.firmware_digest
        return None
