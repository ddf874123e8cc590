"""What a start finds is told to everybody at once, and comes to the same as each record alone."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from held_releases import record, release, stored
from simulation.loop import run_virtually
from watched import Watched
from zigbee_files import zigbee, zigbee_file

from otaflux.model.artifact import Digest
from otaflux.model.names import STABLE, Channel, Device, Tag
from otaflux.model.record import Record, Retired, Standing, Verdict
from otaflux.model.release import Release


def warned(held: Release) -> Release:
    """With a sentence for people."""
    return replace(held, warnings=("the image says 0.9.0",))


def of(name: str, **more: Any) -> Record:
    """A device with a release, whose bytes it may share with others."""
    return record(release("1.0.0", b"shared", name), **more)


BAD = Verdict(Tag("2.0.0"), Digest("sha256", "0" * 64), "it is empty", "otaflux 0")
LEFT = (Retired(release("0.9.0", b"left", "left"), 1_790_000_000.0),)
BETA = {
    STABLE: Standing(release("1.0.0", b"shared", "beta"), 1.0),
    Channel("beta"): Standing(release("1.1.0-beta.1", b"beta", "beta"), 2.0),
}
FOUND = (
    of("plain"),
    of("other"),
    of("kept", kept=(release("0.9.0", b"before", "kept"),)),
    of("left", retired=LEFT),
    record(warned(release("1.0.0", b"odd", "odd"))),
    of("refused", verdicts=(BAD,)),
    of("found", found_by_poll=True),
    Record(Device("beta"), "r", "firmware", MappingProxyType(BETA), ever_synced=True),
    Record(Device("nothing"), "r", "firmware", ever_synced=True),
    Record(Device("never-seen"), "r", "firmware"),
    record(zigbee("bulb", "1.0.0", zigbee_file(7))),
)
UNWRITTEN = frozenset({Device("kept"), Device("other")})
OF_NOW = re.compile(
    rb"(?m)^(process|python|otaflux_recheck_age|http_requests_duration|otaflux_disk)[^\n]*$"
)


async def seen(rig: Watched) -> tuple[object, ...]:
    """All that people, metrics and devices are told, and what rests on it."""
    catalog, roster = rig.program.catalog, rig.program.roster
    digests = sorted(catalog.files(), key=str)
    status = await rig.status()
    page = await rig.get("/")
    return (
        {device: catalog.get(device) for device in sorted(catalog.devices())},
        [(digest, catalog.devices_with(digest), catalog.by_digest(digest)) for digest in digests],
        [catalog.references(digest) for digest in digests],
        (catalog.told, catalog.file_count, catalog.file_bytes),
        {name: catalog.lingering(Device(name)) for name in ("left", "plain")},
        (status["devices"], status["wrong"]),
        page.status,
        await rig.program.edge.zigbee.listed(),
        OF_NOW.sub(b"", b"".join(rig.seen.metrics.render())),
        rig.seen.journal.tried,
        roster.found_by_polls(),
        {device: roster.words(device) for device in catalog.devices()},
    )


def started(*, alone: bool, records: tuple[Record, ...]) -> tuple[object, ...]:
    """What is seen after a start, and after each device was forgotten but one."""

    async def main() -> None:
        rig = Watched()
        await rig.begin()
        stored(rig.program.store, zigbee_file(7))
        catalog = rig.program.catalog
        if alone:
            for each in records:
                catalog.load(each, is_written=each.device not in UNWRITTEN)
        else:
            catalog.start(records, unwritten=UNWRITTEN)
        found.append(await seen(rig))
        for each in map(catalog.get, sorted(catalog.devices())):
            assert each is not None
            await catalog.put(each)  # of use where the disk has another
        written = rig.program.machine.disk.names(catalog.path(Device("x")).parent)
        assert len(written) == len(UNWRITTEN)
        for device in sorted(catalog.devices())[1:]:
            await catalog.forget(device)
        found.append(
            (await seen(rig), [digest for digest in DIGESTS if catalog.references(digest)])
        )

    found: list[object] = []
    run_virtually(main())
    return tuple(found)


DIGESTS = sorted(
    {release.firmware.firmware_digest for each in FOUND for release in each.held()}, key=str
)


@pytest.mark.parametrize("seed", range(3))
def test_all_at_once_comes_to_the_same_as_each_alone(seed: int) -> None:
    """For devices, people and metrics; and when these devices go again."""
    records = list(FOUND)
    random.Random(seed).shuffle(records)
    assert started(alone=False, records=tuple(records)) == started(
        alone=True, records=tuple(records)
    )


def test_what_is_wrong_with_a_device_is_seen_from_the_start() -> None:
    """A warning, a release that was refused, and nothing to tell."""

    async def main() -> None:
        rig = Watched()
        await rig.begin()
        rig.program.catalog.start(FOUND)
        wrong = {each["kind"]: each["devices"] for each in (await rig.status())["wrong"]}
        assert wrong == {"odd": 1, "refused": 1, "nothing": 1}

    run_virtually(main())
